#include "app/local_workspace.h"

#include <QSignalSpy>
#include <QTest>
#include <memory>

#include "app/conversation_export.h"
#include "app/settings.h"
#include "tests/app/fake_engine.h"
#include "tests/app/temporary_folder.h"

using lectern::app::AskOptions;
using lectern::app::ContextUse;
using lectern::app::EngineState;
using lectern::app::LocalWorkspace;
using lectern::app::LocalWorkspaceOptions;
using lectern::app::Message;
using lectern::app::MessageState;
using lectern::app::testing::TemporaryFolder;
using lectern::test::FakeEngine;

namespace {

constexpr int patience_ms = 20000;

struct Fixture {
  Fixture() {
    setenv("LECTERN_READER", LECTERN_BINARY_DIR "/bin/lectern-reader", 1);
    folder.write("models/fake.gguf", "not opened");
    document = folder.write(
        "agreement.txt",
        "SERVICES AGREEMENT\n\n1. Payment\n\nThe Client shall pay each invoice within thirty-five (35) days.\n\n"
        "2. Governing law\n\nThis Agreement is governed by the laws of the Republic of Austria.\n");
  }
  std::unique_ptr<LocalWorkspace> open() {
    LocalWorkspaceOptions options;
    options.library = folder.file("library.sqlite");
    options.settings = folder.file("settings.json");
    options.models_folder = folder.file("models");
    options.opener = [this](const std::string& file) {
      if (!opener_problem.empty()) throw lectern::Error(lectern::ErrorKind::bad_file, file + ": " + opener_problem);
      return engine;
    };
    options.kept_folder = folder.file("kept");
    auto workspace = std::make_unique<LocalWorkspace>(options);
    return workspace;
  }
  /// A session with the document; 0 if something went wrong.
  std::int64_t session_with_document(LocalWorkspace& workspace) {
    workspace.add_paths({QString::fromStdString(document)});
    const bool ready = QTest::qWaitFor(
        [&] {
          return workspace.documents().size() == 1 &&
                 workspace.documents()[0].state == lectern::app::DocumentState::ready;
        },
        patience_ms);
    return ready ? workspace.create_session({QString::fromStdString(workspace.documents()[0].fingerprint)}) : 0;
  }
  TemporaryFolder folder;
  std::string document, opener_problem;
  std::shared_ptr<FakeEngine> engine = std::make_shared<FakeEngine>();
};

bool is_ready(LocalWorkspace& workspace) {
  return QTest::qWaitFor([&] { return workspace.engine().phase == EngineState::Phase::ready; }, patience_ms);
}

}  // namespace

class LocalWorkspaceTest : public QObject {
  Q_OBJECT

 private Q_SLOTS:
  void asks_about_a_file_and_shows_the_proof() {
    Fixture fixture;
    fixture.engine->answer = "The agreement is governed by the laws of the Republic of Austria.";
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    const std::int64_t session = fixture.session_with_document(*workspace);
    QVERIFY(session > 0);
    QCOMPARE(workspace->session_documents(session).size(), std::size_t{1});  // at once, before it is written

    QSignalSpy started(workspace.get(), &LocalWorkspace::answer_started);
    QSignalSpy text(workspace.get(), &LocalWorkspace::answer_text);
    QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
    workspace->ask(session, QStringLiteral("Which law governs this agreement?"));
    QVERIFY(workspace->is_busy(session));
    QVERIFY(finished.wait(patience_ms));
    QVERIFY(!workspace->is_busy(session));
    QCOMPARE(started.size(), 1);
    QString streamed;
    for (const auto& call : text) {
      QCOMPARE(call[1], started[0][2]);  // of the answer that was started
      streamed += call[2].toString();
    }
    QCOMPARE(streamed.toStdString(), fixture.engine->answer);
    const auto answer = finished[0][1].value<Message>();
    QCOMPARE(answer.state, MessageState::complete);
    QVERIFY(answer.report && answer.report->unsupported.empty());
    QVERIFY(!answer.citations.empty());
    QVERIFY(answer.citations[0].lines.has_value());
    const std::vector<Message> messages = workspace->messages(session);
    QCOMPARE(messages.size(), std::size_t{2});
    QCOMPARE(messages[1].id, answer.id);
    QCOMPARE(workspace->sessions().size(), std::size_t{1});
    QVERIFY(workspace->export_session(session, QStringLiteral("md")).contains("Austria"));
    QVERIFY(workspace->export_session(session, QStringLiteral("docx")).isEmpty());
  }

  void joins_text_to_one_signal_a_frame() {
    Fixture fixture;
    fixture.engine->answer.clear();
    for (int word = 0; word < 2000; ++word) fixture.engine->answer += "word ";
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    const std::int64_t session = workspace->create_session({});
    QSignalSpy text(workspace.get(), &LocalWorkspace::answer_text);
    QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
    workspace->ask(session, QStringLiteral("Words?"));
    QVERIFY(finished.wait(patience_ms));
    qsizetype characters = 0;
    for (const auto& call : text) characters += call[2].toString().size();
    QCOMPARE(characters, static_cast<qsizetype>(fixture.engine->answer.size()));
    QVERIFY2(text.size() < 500, qPrintable(QString::number(text.size())));
  }

  void stops_one_session_and_keeps_what_was_written() {
    Fixture fixture;
    fixture.engine->answer.clear();
    for (int word = 0; word < 500; ++word) fixture.engine->answer += "word ";
    fixture.engine->pause = std::chrono::milliseconds(10);
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    const std::int64_t first = workspace->create_session({});
    const std::int64_t second = workspace->create_session({});
    QVERIFY(first != second);
    QSignalSpy text(workspace.get(), &LocalWorkspace::answer_text);
    QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
    workspace->ask(first, QStringLiteral("One?"));
    workspace->ask(second, QStringLiteral("Two?"));  // waits
    QVERIFY(text.wait(patience_ms));
    workspace->stop(second);
    workspace->stop(first);
    QTRY_COMPARE_WITH_TIMEOUT(finished.size(), 2, patience_ms);
    const auto stopped = finished[0][1].value<Message>();
    QCOMPARE(finished[0][0].toLongLong(), first);
    QCOMPARE(stopped.state, MessageState::stopped);
    QVERIFY(!stopped.text.empty());
    QVERIFY(stopped.text.size() < fixture.engine->answer.size());
    QCOMPARE(workspace->messages(first).back().text, stopped.text);
    QCOMPARE(finished[1][1].value<Message>().state, MessageState::stopped);
  }

  void shows_a_failure_as_a_message() {
    Fixture fixture;
    fixture.engine->answer = "one two three four";
    fixture.engine->fails_with = "device: it stopped working; start the program again";
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    const std::int64_t session = workspace->create_session({});
    QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
    workspace->ask(session, QStringLiteral("One?"));
    QVERIFY(finished.wait(patience_ms));
    const auto answer = finished[0][1].value<Message>();
    QCOMPARE(answer.state, MessageState::failed);
    QCOMPARE(answer.problem, fixture.engine->fails_with);
    QVERIFY(answer.id > 0);
    QVERIFY(answer.text.starts_with("one "));
  }

  void says_why_there_is_no_model() {
    Fixture fixture;
    std::filesystem::remove(fixture.folder.file("models/fake.gguf"));
    const auto workspace = fixture.open();
    QCOMPARE(workspace->engine().phase, EngineState::Phase::none);
    QVERIFY(!workspace->engine().problem.isEmpty());
    QVERIFY(workspace->models().isEmpty());
    const std::int64_t session = workspace->create_session({});
    QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
    workspace->ask(session, QStringLiteral("One?"));
    QVERIFY(finished.wait(patience_ms));
    QCOMPARE(finished[0][1].value<Message>().state, MessageState::failed);
  }

  void shows_a_model_that_cannot_be_opened_and_opens_another() {
    Fixture fixture;
    fixture.opener_problem = "it is truncated; fetch it again";
    const auto workspace = fixture.open();
    QTRY_COMPARE_WITH_TIMEOUT(workspace->engine().phase, EngineState::Phase::failed, patience_ms);
    QVERIFY(workspace->engine().problem.contains(QStringLiteral("truncated")));
    fixture.opener_problem.clear();
    QSignalSpy changed(workspace.get(), &LocalWorkspace::engine_changed);
    workspace->open_model(QStringLiteral("fake.gguf"));
    QCOMPARE(workspace->engine().phase, EngineState::Phase::loading);
    QVERIFY(is_ready(*workspace));
    QCOMPARE(workspace->engine().model.name, std::string("Fake"));
    QCOMPARE(lectern::app::load_settings(fixture.folder.file("settings.json")).settings.model,
             std::string("fake.gguf"));
  }

  void measures_the_context() {
    Fixture fixture;
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    const std::int64_t session = fixture.session_with_document(*workspace);
    QVERIFY(session > 0);
    const std::vector<QString> documents = workspace->session_documents(session);
    QSignalSpy measured(workspace.get(), &LocalWorkspace::context_measured);
    workspace->measure_context(session, documents);
    QVERIFY(measured.wait(patience_ms));
    auto use = measured[0][1].value<ContextUse>();
    QCOMPARE(use.window, fixture.engine->window);
    QCOMPARE(use.parts.size(), std::size_t{2});  // instructions and the document
    QCOMPARE(use.parts[1].name, QStringLiteral("agreement.txt"));
    QCOMPARE(use.parts[1].fingerprint, documents[0]);
    QVERIFY(use.parts[1].tokens > 10);
    QCOMPARE(use.parts[1].kept, 0);
    QVERIFY(use.fits);
    QCOMPARE(use.to_read, use.parts[0].tokens + use.parts[1].tokens);
    QCOMPARE(use.documents_to_read, use.to_read);
    QVERIFY(use.seconds_to_read < 0);  // nothing tells the speed
    QTRY_VERIFY_WITH_TIMEOUT(workspace->documents()[0].tokens > 10, patience_ms);

    QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
    workspace->ask(session, QStringLiteral("What?"));
    QVERIFY(finished.wait(patience_ms));
    workspace->measure_context(session, documents);
    QVERIFY(measured.wait(patience_ms));
    QTRY_COMPARE_WITH_TIMEOUT(measured.back()[1].value<ContextUse>().parts.back().name, QStringLiteral("conversation"),
                              patience_ms);
    use = measured.back()[1].value<ContextUse>();
    QCOMPARE(use.parts[1].kept, use.parts[1].tokens);
    QCOMPARE(use.parts.back().kept, use.parts.back().tokens);
    QCOMPARE(use.to_read, 0);
    QCOMPARE(use.documents_to_read, 0);
    QVERIFY(use.in_memory > use.parts[1].tokens);
  }

  void keeps_names_pins_places_and_answers_for_the_next_start() {
    Fixture fixture;
    std::int64_t session = 0;
    {
      const auto workspace = fixture.open();
      QVERIFY(is_ready(*workspace));
      session = workspace->create_session({});
      QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
      workspace->ask(session, QStringLiteral("One?"));
      QVERIFY(finished.wait(patience_ms));
      workspace->regenerate(session, finished[0][1].value<Message>().id);
      QVERIFY(finished.wait(patience_ms));
      workspace->rename_session(session, QStringLiteral("Leases"));
      workspace->pin_session(session, true);
      workspace->remember(session, QStringLiteral("page"), QStringLiteral("7"));
      QCOMPARE(workspace->remembered(session, QStringLiteral("page")), QStringLiteral("7"));
      workspace->delete_session(workspace->create_session({}));
    }
    const auto workspace = fixture.open();
    const auto rows = workspace->sessions();
    QCOMPARE(rows.size(), std::size_t{1});
    QCOMPARE(rows[0].id, session);
    QCOMPARE(rows[0].name, std::string("Leases"));
    QVERIFY(rows[0].pinned);
    QCOMPARE(workspace->remembered(session, QStringLiteral("page")), QStringLiteral("7"));
    QCOMPARE(workspace->messages(session).size(), std::size_t{2});
  }

  void ends_while_an_answer_is_being_written() {
    Fixture fixture;
    fixture.engine->answer.assign(4000, 'x');
    for (std::size_t at = 4; at < fixture.engine->answer.size(); at += 5) fixture.engine->answer[at] = ' ';
    fixture.engine->pause = std::chrono::milliseconds(5);
    std::int64_t session = 0;
    {
      const auto workspace = fixture.open();
      QVERIFY(is_ready(*workspace));
      session = workspace->create_session({});
      QSignalSpy text(workspace.get(), &LocalWorkspace::answer_text);
      workspace->ask(session, QStringLiteral("One?"));
      QVERIFY(text.wait(patience_ms));
    }
    const auto workspace = fixture.open();
    const std::vector<Message> messages = workspace->messages(session);
    QCOMPARE(messages.size(), std::size_t{2});
    QCOMPARE(messages[1].state, MessageState::stopped);
    QVERIFY(!messages[1].text.empty());
  }

  void names_a_file_that_cannot_be_read() {
    Fixture fixture;
    const auto workspace = fixture.open();
    QSignalSpy failed(workspace.get(), &LocalWorkspace::document_failed);
    workspace->add_paths({QString::fromStdString(fixture.folder.write("empty.pdf", ""))});
    QVERIFY(failed.wait(patience_ms));
    QVERIFY(!failed[0][1].toString().isEmpty());
  }
};

QTEST_GUILESS_MAIN(LocalWorkspaceTest)
#include "local_workspace_test.moc"

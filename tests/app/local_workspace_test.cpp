#include "app/local_workspace.h"

#include <QElapsedTimer>
#include <QSignalSpy>
#include <QTest>
#include <algorithm>
#include <cmath>
#include <memory>

#include "app/conversation_export.h"
#include "app/settings.h"
#include "inference/disk/context_folder.h"
#include "inference/synthesize.h"
#include "inference/synthetic_tokenizer.h"
#include "tests/app/fake_engine.h"
#include "tests/app/temporary_folder.h"

using lectern::app::AskOptions;
using lectern::app::ContextUse;
using lectern::app::DocumentsPrice;
using lectern::app::EngineState;
using lectern::app::LocalWorkspace;
using lectern::app::LocalWorkspaceOptions;
using lectern::app::Message;
using lectern::app::MessageState;
using lectern::app::ReadingAhead;
using lectern::app::testing::TemporaryFolder;
using lectern::test::FakeEngine;

namespace {

constexpr int patience_ms = 20000;

std::string long_text(const std::string& word, int count) {
  std::string text;
  for (int at = 0; at < count; ++at) text += word + std::to_string(at) + (at % 12 == 11 ? "\n" : " ");
  return text;
}

struct Fixture {
  Fixture() {
    setenv("LECTERN_READER", LECTERN_BINARY_DIR "/bin/lectern-reader", 1);
    folder.write("models/fake.gguf", "not opened");
    document = folder.write(
        "agreement.txt",
        "SERVICES AGREEMENT\n\n1. Payment\n\nThe Client shall pay each invoice within thirty-five (35) days.\n\n"
        "2. Governing law\n\nThis Agreement is governed by the laws of the Republic of Austria.\n");
  }
  /// A document that takes a while to read.
  void make_long() {
    document = folder.write("long.txt", long_text("word", 400));
    engine->read_pause = std::chrono::milliseconds(8);
    engine->read_step = 8;
  }
  std::unique_ptr<LocalWorkspace> open() {
    LocalWorkspaceOptions options;
    options.library = folder.file("library.sqlite");
    options.settings = folder.file("settings.json");
    options.models_folder = folder.file("models");
    if (!real_engine)
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
  bool real_engine = false;
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

  void reads_documents_ahead_and_says_how_far_it_is() {
    Fixture fixture;
    fixture.make_long();
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    const std::int64_t session = fixture.session_with_document(*workspace);
    const std::vector<QString> documents = workspace->session_documents(session);
    QSignalSpy measured(workspace.get(), &LocalWorkspace::context_measured);
    QSignalSpy ahead(workspace.get(), &LocalWorkspace::reading_ahead);
    workspace->measure_context(session, documents);
    QTRY_VERIFY_WITH_TIMEOUT(ahead.size() > 3, patience_ms);
    QVERIFY(!workspace->is_busy(session));
    QTRY_VERIFY_WITH_TIMEOUT(!ahead.back()[1].value<ReadingAhead>().running, patience_ms);
    const auto last = ahead[ahead.size() - 2][1].value<ReadingAhead>();
    QVERIFY(last.running && last.read == last.total && last.total > 200);
    QCOMPARE(ahead[0][0].toLongLong(), session);
    QTRY_COMPARE_WITH_TIMEOUT(measured.back()[1].value<ContextUse>().to_read, 0, patience_ms);
    // Nothing is left to read: it does not begin again.
    const qsizetype count = ahead.size();
    workspace->measure_context(session, documents);
    QTRY_VERIFY_WITH_TIMEOUT(measured.size() >= 3, patience_ms);
    QTest::qWait(50);
    QCOMPARE(ahead.size(), count);

    QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
    workspace->ask(session, QStringLiteral("What?"));
    QVERIFY(finished.wait(patience_ms));
    QVERIFY(finished[0][1].value<Message>().report->usage.computed_tokens < 20);
  }

  void a_question_in_any_session_goes_before_the_reading_which_then_goes_on() {
    Fixture fixture;
    fixture.make_long();
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    const std::int64_t session = fixture.session_with_document(*workspace);
    const std::int64_t other = workspace->create_session({});
    QSignalSpy ahead(workspace.get(), &LocalWorkspace::reading_ahead);
    QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
    workspace->measure_context(session, workspace->session_documents(session));
    QTRY_VERIFY_WITH_TIMEOUT(ahead.size() > 3, patience_ms);
    workspace->ask(other, QStringLiteral("What?"));
    QVERIFY(finished.wait(patience_ms));
    const std::size_t stopped = static_cast<std::size_t>(ahead.size());
    const auto where = [&](qsizetype at) { return ahead[at][1].value<ReadingAhead>(); };
    QVERIFY(!where(ahead.size() - 1).running);
    const std::int64_t read = where(ahead.size() - 2).read;
    QVERIFY(read < where(ahead.size() - 2).total);
    QTRY_VERIFY_WITH_TIMEOUT(static_cast<std::size_t>(ahead.size()) > stopped + 1, patience_ms);
    QVERIFY(where(static_cast<qsizetype>(stopped)).running);
    QVERIFY(where(static_cast<qsizetype>(stopped) + 1).read >= read);  // it took up where it was
    QTRY_VERIFY_WITH_TIMEOUT(!where(ahead.size() - 1).running, patience_ms);
    QCOMPARE(where(ahead.size() - 2).read, where(ahead.size() - 2).total);
  }

  void reading_that_was_stopped_begins_again_only_with_a_change() {
    Fixture fixture;
    fixture.make_long();
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    const std::int64_t session = fixture.session_with_document(*workspace);
    const std::vector<QString> documents = workspace->session_documents(session);
    QSignalSpy measured(workspace.get(), &LocalWorkspace::context_measured);
    QSignalSpy ahead(workspace.get(), &LocalWorkspace::reading_ahead);
    const auto is_running = [&] { return !ahead.empty() && ahead.back()[1].value<ReadingAhead>().running; };
    workspace->measure_context(session, documents);
    QTRY_VERIFY_WITH_TIMEOUT(ahead.size() > 3, patience_ms);
    workspace->stop(session);
    QTRY_VERIFY_WITH_TIMEOUT(!is_running(), patience_ms);
    const qsizetype before = measured.size();
    workspace->measure_context(session, documents);
    QTRY_VERIFY_WITH_TIMEOUT(measured.size() > before, patience_ms);
    QTest::qWait(50);
    QVERIFY(!is_running());
    const auto use = measured.back()[1].value<ContextUse>();
    QVERIFY(use.to_read > 0 && use.parts[1].kept > 0);  // what was read is kept
    workspace->measure_context(0, documents);           // another session, not made yet
    QTRY_VERIFY_WITH_TIMEOUT(is_running(), patience_ms);
    QCOMPARE(ahead.back()[0].toLongLong(), 0);
    // Leaving the session leaves its reading too.
    workspace->measure_context(workspace->create_session({}), {});
    QTRY_VERIFY_WITH_TIMEOUT(!is_running(), patience_ms);
    QTest::qWait(50);
    QVERIFY(!is_running());
  }

  void reading_ahead_can_be_turned_off_and_needs_room() {
    Fixture fixture;
    fixture.make_long();
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    QVERIFY(workspace->read_ahead());
    workspace->set_read_ahead(false);
    QVERIFY(!lectern::app::load_settings(fixture.folder.file("settings.json")).settings.read_ahead);
    const std::int64_t session = fixture.session_with_document(*workspace);
    const std::vector<QString> documents = workspace->session_documents(session);
    QSignalSpy measured(workspace.get(), &LocalWorkspace::context_measured);
    QSignalSpy ahead(workspace.get(), &LocalWorkspace::reading_ahead);
    workspace->measure_context(session, documents);
    QVERIFY(measured.wait(patience_ms));
    QTest::qWait(50);
    QVERIFY(ahead.empty());
    workspace->set_read_ahead(true);
    QTRY_VERIFY_WITH_TIMEOUT(ahead.size() > 1, patience_ms);
    workspace->set_read_ahead(false);
    QTRY_VERIFY_WITH_TIMEOUT(!ahead.back()[1].value<ReadingAhead>().running, patience_ms);

    fixture.engine->window = 100;
    measured.clear();
    ahead.clear();
    workspace->set_read_ahead(true);
    QVERIFY(measured.wait(patience_ms));
    QTest::qWait(50);
    QVERIFY(!measured.back()[1].value<ContextUse>().fits);
    QVERIFY(ahead.empty());
  }

  void neither_closing_nor_another_model_waits_for_the_reading() {
    Fixture fixture;
    fixture.make_long();
    fixture.engine->read_pause = std::chrono::milliseconds(20);
    QElapsedTimer clock;
    {
      const auto workspace = fixture.open();
      QVERIFY(is_ready(*workspace));
      const std::int64_t session = fixture.session_with_document(*workspace);
      QSignalSpy ahead(workspace.get(), &LocalWorkspace::reading_ahead);
      workspace->measure_context(session, workspace->session_documents(session));
      QTRY_VERIFY_WITH_TIMEOUT(ahead.size() > 2, patience_ms);
      clock.start();
      workspace->open_model(QStringLiteral("fake.gguf"));
      QVERIFY(is_ready(*workspace));
      QVERIFY(clock.elapsed() < 1500);
      workspace->measure_context(session, workspace->session_documents(session));  // as the window does
      ahead.clear();
      QTRY_VERIFY_WITH_TIMEOUT(!ahead.empty() && ahead.back()[1].value<ReadingAhead>().running, patience_ms);
      clock.start();
    }
    QVERIFY(clock.elapsed() < 1500);
  }

  void prices_what_would_be_read_again() {
    Fixture fixture;
    fixture.engine->seconds_per_token = 0.5;
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    const std::int64_t session = fixture.session_with_document(*workspace);
    const QString first = workspace->session_documents(session)[0];
    workspace->add_paths(
        {QString::fromStdString(fixture.folder.write("annex.txt", "ANNEX\n\nNothing is due here.\n"))});
    const auto is_read = [](const auto& row) { return row.state == lectern::app::DocumentState::ready; };
    QTRY_VERIFY_WITH_TIMEOUT(workspace->documents().size() == 2 && std::ranges::all_of(workspace->documents(), is_read),
                             patience_ms);
    QString second;
    for (const auto& row : workspace->documents()) {
      if (row.name == "annex.txt") second = QString::fromStdString(row.fingerprint);
    }
    QSignalSpy priced(workspace.get(), &LocalWorkspace::documents_priced);
    const auto price = [&](const std::vector<QString>& from, const std::vector<QString>& to) {
      priced.clear();
      workspace->price_documents(session, from, to);
      return priced.wait(patience_ms) ? priced[0][2].value<DocumentsPrice>() : DocumentsPrice{-1, -1};
    };
    QCOMPARE(price({first, second}, {second, first}).read_again, 0);  // nothing is kept yet
    QSignalSpy measured(workspace.get(), &LocalWorkspace::context_measured);
    workspace->measure_context(session, {first, second});
    QTRY_VERIFY_WITH_TIMEOUT(!measured.empty() && measured.back()[1].value<ContextUse>().to_read == 0, patience_ms);
    const auto use = measured.back()[1].value<ContextUse>();
    const DocumentsPrice swapped = price({first, second}, {second, first});
    QVERIFY(swapped.read_again >= use.parts[1].tokens);
    QVERIFY(swapped.seconds > 1);
    const DocumentsPrice removed = price({first, second}, {second});
    QVERIFY(removed.read_again > 0 && removed.read_again < swapped.read_again);
    QCOMPARE(price({first, second}, {first}).read_again, 0);  // the last one: what stands before it stays
    QCOMPARE(price({first}, {first, second}).read_again, 0);
  }

  void says_the_reason_the_disk_and_the_speed_of_the_newest_answer() {
    Fixture fixture;
    fixture.make_long();
    fixture.engine->read_pause = {};
    fixture.engine->miss_reasons = {lectern::inference::MissReason::model_changed};
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    workspace->set_read_ahead(false);
    const std::int64_t session = fixture.session_with_document(*workspace);
    const std::vector<QString> documents = workspace->session_documents(session);
    QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
    workspace->ask(session, QStringLiteral("What?"));
    QVERIFY(finished.wait(patience_ms));  // 1,000 tokens a second, says the fake engine
    workspace->add_paths({QString::fromStdString(fixture.folder.write("annex.txt", long_text("annex", 300)))});
    QTRY_VERIFY_WITH_TIMEOUT(workspace->documents().size() == 2 && !workspace->documents()[0].fingerprint.empty() &&
                                 !workspace->documents()[1].fingerprint.empty(),
                             patience_ms);
    std::vector<QString> both = documents;
    for (const auto& row : workspace->documents()) {
      if (row.name == "annex.txt") both.push_back(QString::fromStdString(row.fingerprint));
    }
    fixture.engine->on_disk = 100;
    QSignalSpy measured(workspace.get(), &LocalWorkspace::context_measured);
    workspace->measure_context(0, both);
    QVERIFY(measured.wait(patience_ms));
    const auto use = measured.back()[1].value<ContextUse>();
    QCOMPARE(use.on_disk, 100);
    QVERIFY(use.in_memory > 100 && use.to_read > 290);
    QCOMPARE(use.miss_reasons, fixture.engine->miss_reasons);
    QVERIFY(std::abs(use.seconds_to_read - static_cast<double>(use.to_read) / 1000) < 1e-6);
    QCOMPARE(use.parts[1].kept, use.parts[1].tokens);
    QCOMPARE(use.parts[2].kept, 0);
  }

  void what_is_removed_takes_its_kept_readings_along() {
    Fixture fixture;
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    const std::int64_t session = fixture.session_with_document(*workspace);
    const QString document = workspace->session_documents(session)[0];
    QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
    workspace->ask(session, QStringLiteral("What?"));
    QVERIFY(finished.wait(patience_ms));
    const auto answer = finished[0][1].value<Message>();
    const auto is_forgotten = [&](const std::string& id) {
      const std::scoped_lock lock(fixture.engine->mutex);
      return std::ranges::count(fixture.engine->forgotten, id) > 0;
    };
    workspace->delete_session(session);
    QTRY_VERIFY_WITH_TIMEOUT(is_forgotten("message-" + std::to_string(answer.id)), patience_ms);
    QVERIFY(is_forgotten("message-" + std::to_string(answer.parent)));
    QVERIFY(is_forgotten(document.toStdString() + "#message-" + std::to_string(answer.parent)));
    QVERIFY(!is_forgotten(document.toStdString()));
    workspace->remove_document(document);
    QTRY_VERIFY_WITH_TIMEOUT(is_forgotten(document.toStdString()), patience_ms);
  }

  /// With the real engine and a small random model: what was read is there after a restart, and gone after a removal.
  void keeps_readings_on_the_disk_until_their_document_is_removed() {
    using namespace lectern::inference;
    Fixture fixture;
    fixture.make_long();
    SynthesisRequest request;
    for (const SyntheticShape& shape : synthetic_presets()) {
      if (shape.preset == "tiny") request.shape = shape;
    }
    request.type = lectern::kernels::DType::f32;
    request.seed = 1;
    request.threads = 1;
    request.tokenizer = small_tokenizer("qwen2");
    pad_tokenizer(request.tokenizer, request.shape.vocabulary, "tokenizer");
    synthesize_model(request, fixture.folder.file("models/fake.gguf"));
    lectern::app::Settings settings;
    settings.window_tokens = 8192;
    settings.threads = 1;
    settings.max_tokens = 64;
    lectern::app::save_settings(fixture.folder.file("settings.json"), settings);
    fixture.real_engine = true;
    const std::string kept = fixture.folder.file("kept");

    std::int64_t session = 0;
    const auto measure_until_read = [&](LocalWorkspace& workspace) {
      QSignalSpy measured(&workspace, &LocalWorkspace::context_measured);
      workspace.measure_context(session, workspace.session_documents(session));
      const bool done = QTest::qWaitFor(
          [&] { return !measured.empty() && measured.back()[1].value<ContextUse>().to_read == 0; }, patience_ms);
      return done ? measured.front()[1].value<ContextUse>() : ContextUse();
    };
    {
      const auto workspace = fixture.open();
      QVERIFY(is_ready(*workspace));
      session = fixture.session_with_document(*workspace);
      QVERIFY(session > 0);
      const ContextUse use = measure_until_read(*workspace);
      QVERIFY(use.fits && use.to_read > 2000);
      QCOMPARE(use.miss_reasons, std::vector{MissReason::first_read});
      QTRY_VERIFY_WITH_TIMEOUT(context_folder_stats(kept, system_files()).documents > 0, patience_ms);
    }
    QString document;
    {
      const auto workspace = fixture.open();
      QVERIFY(is_ready(*workspace));
      const ContextUse use = measure_until_read(*workspace);
      QCOMPARE(use.to_read, 0);
      QVERIFY(use.on_disk > 2000);
      QCOMPARE(use.parts[1].kept, use.parts[1].tokens);
      document = workspace->session_documents(session)[0];
    }
    std::filesystem::remove(fixture.folder.file("models/fake.gguf"));
    const ContextDiskStats before = context_folder_stats(kept, system_files());
    const auto workspace = fixture.open();
    QCOMPARE(workspace->engine().phase, EngineState::Phase::none);
    workspace->remove_document(document);
    QTRY_VERIFY_WITH_TIMEOUT(workspace->documents().empty(), patience_ms);
    // The instructions, which stand before every document, are still there.
    const ContextDiskStats left = context_folder_stats(kept, system_files());
    QCOMPARE(left.documents, 1);
    QVERIFY(left.tokens < before.tokens - 2000);
  }

  void conversations_stand_beside_each_other() {
    Fixture fixture;
    const auto workspace = fixture.open();
    QVERIFY(is_ready(*workspace));
    const std::int64_t session = fixture.session_with_document(*workspace);
    QSignalSpy finished(workspace.get(), &LocalWorkspace::answer_finished);
    for (const std::int64_t parent : {0, 0, -1}) {
      workspace->ask(session, QStringLiteral("What?"), parent);
      QVERIFY(finished.wait(patience_ms));
    }
    const auto third = fixture.engine->requests.back();
    QCOMPARE(
        std::ranges::count_if(third.segments,
                              [](const auto& segment) { return segment.role == lectern::inference::Role::assistant; }),
        0);  // it knows nothing of the conversation
    QCOMPARE(workspace->messages(session).size(), std::size_t{2});
    const std::vector<std::int64_t> first = workspace->first_questions(session);
    QCOMPARE(first.size(), std::size_t{2});
    QSignalSpy shown(workspace.get(), &LocalWorkspace::conversation_shown);
    workspace->show_conversation(session, first[0]);
    QVERIFY(shown.wait(patience_ms));
    QCOMPARE(workspace->messages(session).size(), std::size_t{4});
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

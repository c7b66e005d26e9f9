// Every state that look.md names, in both themes and both languages, drawn by the real window. With LECTERN_SCREENSHOTS
// set to a folder the pictures are kept there, to be looked at.
#include <QApplication>
#include <QDateTime>
#include <QDir>
#include <QScrollBar>
#include <QTest>
#include <QTranslator>

#include "tests/support/fake_workspace.h"
#include "tests/ui/sample_answer.h"
#include "tests/ui/ui_tests.h"
#include "ui/answer_text.h"
#include "ui/answer_view.h"
#include "ui/conversation_model.h"
#include "ui/conversation_pane.h"
#include "ui/document_pane.h"
#include "ui/language.h"
#include "ui/library_model.h"
#include "ui/library_pane.h"
#include "ui/main_window.h"
#include "ui/question_box.h"
#include "ui/settings_dialog.h"
#include "ui/theme.h"

namespace lectern::testing {

class StatesTest : public QObject {
  Q_OBJECT

 private:
  using Phase = app::EngineState::Phase;

  static void add_library(FakeWorkspace& w, QString& agreement) {
    agreement = add_sample(w);
    w.add_text(QStringLiteral("router/retry.py"), documents::DocumentKind::code, QStringLiteral("MAX_ATTEMPTS = 6\n"),
               QStringLiteral("parcel-router"));
    w.add_text(QStringLiteral("router/route.py"), documents::DocumentKind::code, QStringLiteral("HOURS = 0.75\n"),
               QStringLiteral("parcel-router"));
  }

  static void add_sessions(FakeWorkspace& w, const QString& agreement) {
    const qint64 now = QDateTime::currentMSecsSinceEpoch(), day = 86'400'000;
    w.add_session(QStringLiteral("Who may assign the agreement?"), {sample_question()}, {agreement}, now - 60'000);
    w.add_session(QStringLiteral("Retry logic of the parcel router"), {sample_question()}, {}, now - 4 * day);
    w.add_session(QStringLiteral("保密条款的期限"), {sample_question()}, {}, now - 5 * day);
  }

  static bool grab(QWidget& window, const QString& name) {
    QTest::qWait(250);
    const QImage image = window.grab().toImage();
    const QString folder = qEnvironmentVariable("LECTERN_SCREENSHOTS");
    if (!folder.isEmpty()) {
      QDir().mkpath(folder);
      image.save(folder + QLatin1Char('/') + name + QStringLiteral(".png"));
    }
    // A picture that is all of one colour is no window.
    QSet<QRgb> colours;
    for (int y = 0; y < image.height(); y += 7) {
      for (int x = 0; x < image.width(); x += 7) colours.insert(image.pixel(x, y));
    }
    return colours.size() > 12;
  }

  static void show(ui::MainWindow& window) {
    window.resize(1440, 900);
    window.show();
    QVERIFY(QTest::qWaitForWindowExposed(&window));
  }

 private Q_SLOTS:
  void every_state_is_drawn_data() {
    QTest::addColumn<QString>("theme");
    QTest::addColumn<QString>("language");
    QTest::newRow("light") << "light"
                           << "en";
    QTest::newRow("dark") << "dark"
                          << "en";
    QTest::newRow("light-chinese") << "light"
                                   << "zh_CN";
    QTest::newRow("dark-chinese") << "dark"
                                  << "zh_CN";
  }

  void every_state_is_drawn() {
    QFETCH(QString, theme);
    QFETCH(QString, language);
    QTranslator translator;
    if (language != QLatin1String("en")) {
      QVERIFY(translator.load(QStringLiteral(":/lectern/i18n/lectern_%1.qm").arg(language)));
      QCoreApplication::installTranslator(&translator);
    }
    ui::apply_theme(ui::theme_choice(theme));
    const QString end = QStringLiteral("-%1-%2").arg(theme, language);
    {
      FakeWorkspace w;
      ui::MainWindow window(w, {{sample_folder()}, false});
      show(window);
      QVERIFY(grab(window, QStringLiteral("empty") + end));
      w.set_engine(FakeWorkspace::no_engine());
      QVERIFY(grab(window, QStringLiteral("no-model") + end));
    }
    {
      FakeWorkspace w;
      QString agreement;
      ui::MainWindow window(w, {{}, false});
      show(window);
      add_library(w, agreement);
      add_sessions(w, agreement);
      w.add_paths({QStringLiteral("/documents/Annual report 2025.pdf")});
      w.set_progress(QStringLiteral("/documents/Annual report 2025.pdf"), 128, 312, 118);
      app::DocumentRow scan;
      scan.fingerprint = "scan";
      scan.name = "附件三 保密协议.pdf";
      scan.kind = "pdf";
      scan.pages = 9;
      scan.pages_without_text = 4;
      w.add_row(scan);
      QVERIFY(grab(window, QStringLiteral("reading") + end));
      w.finish_reading(QStringLiteral("/documents/Annual report 2025.pdf"), QStringLiteral("report"));
      {
        // Read ahead, a change that asks, what is kept on the disk, and why there is something to read.
        app::ContextUse ahead;
        ahead.window = 262'144;
        ahead.parts = {{QStringLiteral("instructions"), 120, 0},
                       {QStringLiteral("services-agreement.pdf"), 6240, 0, agreement},
                       {QStringLiteral("Annual report 2025.pdf"), 33'762, 0, QStringLiteral("report")}};
        ahead.to_read = ahead.documents_to_read = 40'122;
        w.use = ahead;
        window.library().model().set_ticked({agreement, QStringLiteral("report")});
        QTest::qWait(120);
        w.read_on(0, 12'288, 40'122, 118);
        QVERIFY(grab(window, QStringLiteral("reading-ahead") + end));
        w.end_reading(0);
        ahead.seconds_to_read = 360;
        ahead.miss_reasons = {inference::MissReason::model_changed};
        Q_EMIT w.context_measured(0, ahead);
        w.price = {38'000, 118};
        window.library().model().move(agreement, 1);
        QVERIFY(grab(window, QStringLiteral("price") + end));
        window.library().model().drop_proposal();
        ahead.to_read = ahead.documents_to_read = 0;
        ahead.on_disk = 40'122;
        for (auto& part : ahead.parts) part.kept = part.tokens;
        Q_EMIT w.context_measured(0, ahead);
        QVERIFY(grab(window, QStringLiteral("on-disk") + end));
        window.open_settings();
        QVERIFY(grab(*window.findChild<ui::SettingsDialog*>(), QStringLiteral("settings") + end));
        window.findChild<ui::SettingsDialog*>()->close();
        window.library().model().set_ticked({agreement});
      }

      app::ContextUse use;
      use.window = 8192;
      use.parts = {{QStringLiteral("services-agreement.pdf"), 6240, 6240, agreement},
                   {QStringLiteral("conversation"), 210, 210}};
      use.in_memory = 6450;
      w.use = use;
      window.ask(QString::fromStdString(sample_question().text));
      QTest::qWait(20);
      w.progress(2100, 6310, 95);
      QVERIFY(grab(window, QStringLiteral("reading-question") + end));
      const app::Message answer = sample_answer(w, agreement);
      for (std::size_t at = 0; at < 330; at += 11) {
        w.stream(QString::fromStdString(answer.text.substr(at, 11)));
        QTest::qWait(2);
      }
      QVERIFY(grab(window, QStringLiteral("answering") + end));
      w.finish(answer);
      QVERIFY(grab(window, QStringLiteral("answered") + end));
      window.ask(QStringLiteral("Who pays?"), ui::QuestionBox::From::documents);
      QTest::qWait(20);
      w.finish(answer);
      QVERIFY(grab(window, QStringLiteral("from-documents") + end));
      Q_EMIT window.conversation().last_answer()->citation_clicked(0);
      QTest::qWait(300);
      QVERIFY(grab(window, QStringLiteral("citation") + end));

      w.add_paths({QStringLiteral("/documents/board-minutes.pdf"), QStringLiteral("/documents/draft.pdf")});
      w.fail(QStringLiteral("/documents/board-minutes.pdf"),
             QStringLiteral("board-minutes.pdf: it is encrypted; enter its password."), true);
      w.fail(QStringLiteral("/documents/draft.pdf"),
             QStringLiteral("draft.pdf: it is not a PDF, or its beginning is damaged; choose another copy."), false);
      window.ask(QStringLiteral("Who pays for the audit?"));
      QTest::qWait(20);
      app::Message failed;
      failed.state = app::MessageState::failed;
      failed.problem =
          "The answer stopped: the machine has not enough memory for this context. Take a document out and try again.";
      w.finish(failed);
      QVERIFY(grab(window, QStringLiteral("error") + end));
      window.resize(1000, 800);
      QVERIFY(grab(window, QStringLiteral("narrow") + end));
      window.resize(700, 800);
      QVERIFY(grab(window, QStringLiteral("tabs") + end));
    }
    QCoreApplication::removeTranslator(&translator);
    ui::apply_theme(ui::ThemeChoice::light);
  }
};

std::unique_ptr<QObject> states_test() {
  return std::make_unique<StatesTest>();
}

}  // namespace lectern::testing

#include "states_test.moc"

#include <QAbstractButton>
#include <QAbstractItemView>
#include <QApplication>
#include <QClipboard>
#include <QComboBox>
#include <QDropEvent>
#include <QLabel>
#include <QLineEdit>
#include <QListView>
#include <QMimeData>
#include <QPlainTextEdit>
#include <QScrollArea>
#include <QScrollBar>
#include <QSignalSpy>
#include <QTest>
#include <QTranslator>
#include <QUrl>

#include "tests/support/fake_workspace.h"
#include "tests/ui/sample_answer.h"
#include "tests/ui/ui_tests.h"
#include "ui/answer_text.h"
#include "ui/answer_view.h"
#include "ui/context_meter.h"
#include "ui/conversation_model.h"
#include "ui/conversation_pane.h"
#include "ui/document_pane.h"
#include "ui/library_model.h"
#include "ui/library_pane.h"
#include "ui/main_window.h"
#include "ui/question_box.h"
#include "ui/settings_dialog.h"
#include "ui/theme.h"

namespace lectern::testing {

class WindowTest : public QObject {
  Q_OBJECT

 private:
  static void show(ui::MainWindow& window) {
    window.show();
    QVERIFY(QTest::qWaitForWindowExposed(&window));
    QApplication::setActiveWindow(&window);
  }

  static QStringList pages(int count) {
    QStringList all;
    for (int page = 1; page <= count; ++page) all << QStringLiteral("Page %1.\nThe rent of year %1 is due.").arg(page);
    return all;
  }

  static app::Message answer_with_citation(const FakeWorkspace& w, const QString& key, int page) {
    app::Message m;
    m.text = "The rent is due. And more.";
    m.citations.push_back(
        w.cite(1, key, page, QStringLiteral("The rent of year %1 is due.").arg(page), m.text, "due."));
    return m;
  }

  static QLabel* ready_line(ui::MainWindow& window) { return window.findChild<QLabel*>(QStringLiteral("ready_line")); }

 private Q_SLOTS:
  void a_file_dropped_anywhere_is_added() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    QMimeData data;
    data.setUrls({QUrl::fromLocalFile(QStringLiteral("/documents/lease.pdf")),
                  QUrl(QStringLiteral("http://example.org/x.pdf"))});
    QDragEnterEvent enter(QPoint(200, 200), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
    QApplication::sendEvent(&window, &enter);
    QVERIFY(enter.isAccepted());
    QDropEvent drop(QPointF(200, 200), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
    QApplication::sendEvent(&window, &drop);
    QCOMPARE(w.added_paths, QStringList{QStringLiteral("/documents/lease.pdf")});
    QTRY_COMPARE(window.library().model().rowCount(), 1);
  }

  void a_pasted_file_is_added_from_anywhere() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    auto* files = new QMimeData;
    files->setUrls({QUrl::fromLocalFile(QStringLiteral("/documents/lease.pdf"))});
    QApplication::clipboard()->setMimeData(files);
    window.conversation().box().edit().setFocus();
    window.conversation().box().edit().paste();
    QCOMPARE(w.added_paths.size(), 1);
    QVERIFY(window.conversation().box().text().isEmpty());
  }

  void a_question_is_asked_streamed_and_finished() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    const QString key = w.add_made_up(QStringLiteral("lease.pdf"), pages(5));
    QTRY_COMPARE(window.reader().fingerprint(), key);
    QTest::keyClicks(&window.conversation().box().edit(), QStringLiteral("What is due?"));
    QTest::keyClick(&window.conversation().box().edit(), Qt::Key_Return);
    QCOMPARE(w.asked.size(), std::size_t{1});
    QCOMPARE(w.asked.front().question, QStringLiteral("What is due?"));
    QCOMPARE(w.session_documents(w.asked.front().session), std::vector<QString>{key});
    QVERIFY(window.conversation().box().text().isEmpty());
    QTRY_COMPARE(window.conversation().model().rowCount(), 2);
    QVERIFY(window.conversation().box().is_busy());
    w.progress(500, 1000, 7);
    QTRY_VERIFY(window.findChild<QLabel*>(QStringLiteral("answer_progress"))
                    ->text()
                    .contains(QStringLiteral("Reading 500 of 1,000 tokens")));
    w.stream(QStringLiteral("The rent "));
    w.stream(QStringLiteral("is due."));
    ui::AnswerText& text = window.conversation().last_answer()->text();
    QTRY_COMPARE(text.toPlainText(), QStringLiteral("The rent is due."));
    QVERIFY(text.isVisible());
    w.finish(answer_with_citation(w, key, 3));
    QTRY_VERIFY(!window.conversation().box().is_busy());
    QCOMPARE(text.chip_count(), 1);
  }

  void escape_stops_and_what_was_written_stays() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    w.add_made_up(QStringLiteral("lease.pdf"), pages(2));
    window.ask(QStringLiteral("What is due?"));
    QTRY_COMPARE(window.conversation().model().rowCount(), 2);
    w.stream(QStringLiteral("The rent"));
    QTest::keyClick(&window, Qt::Key_Escape);
    QCOMPARE(w.stopped.size(), std::size_t{1});
    QTRY_VERIFY(!window.conversation().box().is_busy());
    QCOMPARE(window.conversation().last_answer()->text().toPlainText(), QStringLiteral("The rent"));
    QVERIFY(window.findChild<QLabel*>(QStringLiteral("answer_ending"))->text().startsWith(QStringLiteral("Stopped.")));
  }

  void a_question_waits_for_its_documents_and_escape_gives_it_back() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    window.add_paths({QStringLiteral("/documents/report.pdf")});
    QTRY_COMPARE(window.library().model().rowCount(), 1);
    w.set_progress(QStringLiteral("/documents/report.pdf"), 10, 100, 118);
    QTRY_COMPARE(ready_line(window)->text(), QStringLiteral("will be answered when reading is done, in about 2 min"));
    window.ask(QStringLiteral("Why?"));
    QVERIFY(w.asked.empty());
    QVERIFY(window.conversation().box().is_busy());
    QTest::keyClick(&window, Qt::Key_Escape);
    QCOMPARE(window.conversation().box().text(), QStringLiteral("Why?"));
    QCOMPARE(window.conversation().model().rowCount(), 0);
    QTest::keyClick(&window.conversation().box().edit(), Qt::Key_Return);
    QVERIFY(w.asked.empty());
    w.finish_reading(QStringLiteral("/documents/report.pdf"), QStringLiteral("report"));
    QTRY_COMPARE(w.asked.size(), std::size_t{1});
    QCOMPARE(w.session_documents(w.asked.front().session), std::vector<QString>{QStringLiteral("report")});
  }

  void escape_closes_the_find_bar_and_then_goes_to_the_question() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    w.add_made_up(QStringLiteral("lease.pdf"), pages(5));
    QTest::keyClick(&window, Qt::Key_F, Qt::ControlModifier);
    auto* box = window.findChild<QLineEdit*>(QStringLiteral("find_box"));
    QTRY_VERIFY(box->isVisible() && box->hasFocus());
    QTest::keyClick(box, Qt::Key_Escape);
    QVERIFY(!box->isVisible());
    QTest::keyClick(&window, Qt::Key_Escape);
    QTest::keyClick(&window, Qt::Key_Escape);
    window.library().focus_search();
    QTest::keyClick(&window, Qt::Key_Escape);
    QVERIFY(window.conversation().box().edit().hasFocus());
  }

  void a_click_on_a_chip_opens_the_page_and_marks_the_passage() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    const QString key = w.add_made_up(QStringLiteral("lease.pdf"), pages(40));
    window.ask(QStringLiteral("What is due?"));
    QTRY_COMPARE(window.conversation().model().rowCount(), 2);
    w.finish(answer_with_citation(w, key, 33));
    ui::AnswerText& text = window.conversation().last_answer()->text();
    QTRY_COMPARE(text.chip_count(), 1);
    QTest::qWait(50);
    QTest::mouseClick(text.viewport(), Qt::LeftButton, {}, text.chip_rect(0).center().toPoint());
    QCOMPARE(window.reader().pages().current_page(), 33);
    QCOMPARE(window.reader().pages().highlights().size(), std::size_t{1});
    QVERIFY(window.reader().pages().highlights().front().kind == ui::Highlight::Kind::current_citation);
    QTest::keyClick(&window, Qt::Key_Left, Qt::AltModifier);
    QCOMPARE(window.reader().pages().current_page(), 1);
    QTest::keyClick(&window, Qt::Key_Right, Qt::AltModifier);
    QCOMPARE(window.reader().pages().current_page(), 33);
  }

  void a_session_reopens_where_it_was() {
    FakeWorkspace w;
    const QString key = w.add_made_up(QStringLiteral("lease.pdf"), pages(40));
    w.add_made_up(QStringLiteral("other.pdf"), pages(4));
    QString place;
    std::int64_t session = 0;
    {
      ui::MainWindow window(w);
      show(window);
      window.library().model().set_ticked({key});
      window.ask(QStringLiteral("What is due?"));
      QTRY_COMPARE(window.conversation().model().rowCount(), 2);
      w.finish(answer_with_citation(w, key, 7));
      window.reader().open(key);
      window.reader().pages().go_to_page(23);
      place = window.reader().place();
      session = window.session();
      window.close();
    }
    ui::MainWindow window(w);
    show(window);
    QCOMPARE(window.session(), session);
    QCOMPARE(window.conversation().model().rowCount(), 2);
    QCOMPARE(window.reader().fingerprint(), key);
    QCOMPARE(window.reader().pages().current_page(), 23);
    QCOMPARE(window.library().model().ticked(), std::vector<QString>{key});
  }

  void a_tick_changes_the_documents_of_the_session_and_the_context() {
    FakeWorkspace w;
    const QString a = w.add_made_up(QStringLiteral("a.pdf"), pages(2), 1000),
                  b = w.add_made_up(QStringLiteral("b.pdf"), pages(2), 500);
    const std::int64_t session = w.add_session(QStringLiteral("Rent"), {}, {a}, 1);
    ui::MainWindow window(w);
    show(window);
    window.open_session(session);
    ui::LibraryModel& model = window.library().model();
    QVERIFY(model.setData(model.index_of_document(b), Qt::Checked, Qt::CheckStateRole));
    QCOMPARE(w.session_documents(session), std::vector<QString>({a, b}));
    auto* meter = window.findChild<ui::ContextMeter*>();
    QTRY_COMPARE(meter->words(), QStringLiteral("1,500 of 8,192"));
    QTRY_COMPARE(ready_line(window)->text(), QStringLiteral("ready: 1,500 tokens kept"));
    QVERIFY(meter->tooltip_at(2).contains(QStringLiteral("a.pdf")));
    QVERIFY(meter->tooltip_at(meter->width() - 2).contains(QStringLiteral("free")));
    app::ContextUse use = meter->use();
    for (auto& part : use.parts) part.kept = 0;
    use.to_read = std::exchange(use.in_memory, 0);
    use.seconds_to_read = 118;
    w.use = use;
    QVERIFY(model.setData(model.index_of_document(b), Qt::Unchecked, Qt::CheckStateRole));
    QTRY_COMPARE(ready_line(window)->text(), QStringLiteral("needs reading: about 2 min"));
  }

  void reading_ahead_is_shown_and_escape_stops_it() {
    FakeWorkspace w;
    const QString a = w.add_made_up(QStringLiteral("a.pdf"), pages(2), 1000),
                  b = w.add_made_up(QStringLiteral("b.pdf"), pages(2), 3000);
    const std::int64_t session = w.add_session(QStringLiteral("Rent"), {}, {a, b}, 1);
    app::ContextUse use;
    use.window = 8192;
    use.parts = {{QStringLiteral("instructions"), 100, 0},
                 {QStringLiteral("a.pdf"), 1000, 0, a},
                 {QStringLiteral("b.pdf"), 3000, 0, b}};
    use.to_read = use.documents_to_read = 4100;
    w.use = use;
    ui::MainWindow window(w);
    show(window);
    window.open_session(session);
    QTRY_COMPARE(ready_line(window)->text(), QStringLiteral("needs reading: 4,100 tokens"));
    w.read_on(session, 1600, 4100, 100);
    QCOMPARE(ready_line(window)->text(), QStringLiteral("reading 1,600 of 4,100 tokens, about 2 min left"));
    const ui::LibraryModel& model = window.library().model();
    const auto detail = [&](const QString& key) {
      return model.index_of_document(key).data(ui::LibraryModel::detail_role).toString();
    };
    QCOMPARE(detail(a), QStringLiteral("No. 1 · 1,000 tokens · ready"));
    QVERIFY2(detail(b).startsWith(QStringLiteral("No. 2 · reading 16 % · 2 min left")), qPrintable(detail(b)));
    QCOMPARE(model.index_of_document(b).data(ui::LibraryModel::progress_role).toDouble(), 500.0 / 3000);
    QCOMPARE(model.index_of_document(a).data(ui::LibraryModel::progress_role).toDouble(), -1.0);
    QCOMPARE(window.findChild<ui::ContextMeter*>()->use().parts[2].kept, 500);
    QVERIFY(!window.conversation().box().is_busy());
    QTest::keyClick(&window, Qt::Key_Escape);
    QCOMPARE(w.stopped, std::vector<std::int64_t>{session});
    w.end_reading(session);
    QCOMPARE(ready_line(window)->text(), QStringLiteral("needs reading: 4,100 tokens"));
    QVERIFY(detail(b).contains(QStringLiteral("3,000 tokens to read")));
    w.read_on(77, 1, 2, 3);  // of another session
    QCOMPARE(ready_line(window)->text(), QStringLiteral("needs reading: 4,100 tokens"));
  }

  void the_line_says_what_is_kept_where_and_why_it_must_be_read() {
    FakeWorkspace w;
    const QString a = w.add_made_up(QStringLiteral("a.pdf"), pages(2), 1000),
                  b = w.add_made_up(QStringLiteral("b.pdf"), pages(2), 500);
    const std::int64_t session = w.add_session(QStringLiteral("Rent"), {}, {a, b}, 1);
    ui::MainWindow window(w);
    show(window);
    window.open_session(session);
    QTRY_VERIFY(ready_line(window)->text().startsWith(QStringLiteral("ready: 1,500")));
    const auto measured = [&](const app::ContextUse& use) {
      Q_EMIT w.context_measured(session, use);
      return ready_line(window)->text();
    };
    app::ContextUse use = window.findChild<ui::ContextMeter*>()->use();
    use.in_memory = 340;
    use.on_disk = 212'000;
    QCOMPARE(measured(use), QStringLiteral("on disk: 212,340 tokens kept, ready in a moment"));
    use = {};
    use.window = 8192;
    use.parts = {{QStringLiteral("a.pdf"), 1000, 0, a}, {QStringLiteral("b.pdf"), 500, 0, b}};
    use.to_read = 1500;
    use.seconds_to_read = 360;
    const std::pair<inference::MissReason, const char*> reasons[] = {
        {inference::MissReason::first_read, "because it was not read before"},
        {inference::MissReason::model_changed, "because the model file changed"},
        {inference::MissReason::settings_changed, "because the model's settings changed"},
        {inference::MissReason::build_changed, "because Lectern was updated"},
        {inference::MissReason::document_changed, "because a document changed"},
        {inference::MissReason::order_changed, "because the order of the documents changed"},
        {inference::MissReason::evicted, "because it made room for other readings"},
        {inference::MissReason::cleared, "because the kept readings were deleted"},
        {inference::MissReason::damaged, "because what was kept is damaged"},
        {inference::MissReason::cache_off, "because nothing is kept on this machine"}};
    for (const auto& [reason, words] : reasons) {
      use.miss_reasons = {inference::MissReason::first_read, reason};
      QCOMPARE(measured(use), QStringLiteral("needs reading: about 6 min, %1").arg(QLatin1String(words)));
    }
    use.parts[0].kept = 1000;
    use.miss_reasons = {inference::MissReason::first_read};
    QCOMPARE(measured(use), QStringLiteral("needs reading: about 6 min, only what is new"));
  }

  void a_change_that_reads_much_again_asks_in_its_row() {
    FakeWorkspace w;
    const QString a = w.add_made_up(QStringLiteral("a.pdf"), pages(2), 1000),
                  b = w.add_made_up(QStringLiteral("b.pdf"), pages(2), 500),
                  c = w.add_made_up(QStringLiteral("c.pdf"), pages(2), 500);
    const std::int64_t session = w.add_session(QStringLiteral("Rent"), {}, {a, b}, 1);
    ui::MainWindow window(w);
    show(window);
    window.open_session(session);
    ui::LibraryModel& model = window.library().model();
    const auto row = [&](const QString& key) { return model.index_of_document(key); };
    // At the end: at once, without a price.
    QVERIFY(model.setData(row(c), Qt::Checked, Qt::CheckStateRole));
    QCOMPARE(w.session_documents(session), std::vector<QString>({a, b, c}));
    QVERIFY(w.priced.empty());
    // Cheap: it happens without a word.
    w.price = {400, 9.9};
    QVERIFY(model.move(b, 1));
    QTRY_COMPARE(w.session_documents(session), std::vector<QString>({a, c, b}));
    QCOMPARE(w.priced.size(), std::size_t{1});
    // Dear: the row asks, and nothing changes before the answer.
    w.price = {38'000, 118};
    window.library().list().setCurrentIndex(row(a));
    QTest::keyClick(&window.library().list(), Qt::Key_Down, Qt::AltModifier);
    QTRY_VERIFY(row(a).data(ui::LibraryModel::asks_role).toBool());
    QCOMPARE(row(a).data(ui::LibraryModel::detail_role).toString(),
             QStringLiteral("Moving this document reads 38,000 tokens again, about 2 min."));
    QCOMPARE(row(a).data(ui::LibraryModel::actions_role).toStringList(),
             QStringList({QStringLiteral("Do it"), QStringLiteral("Cancel")}));
    QCOMPARE(w.session_documents(session), std::vector<QString>({a, c, b}));
    QTest::keyClick(&window, Qt::Key_Escape);
    QVERIFY(!row(a).data(ui::LibraryModel::asks_role).toBool());
    QCOMPARE(model.ticked(), std::vector<QString>({a, c, b}));
    QVERIFY(w.stopped.empty());
    // Taken out, after a yes.
    QVERIFY(model.setData(row(a), Qt::Unchecked, Qt::CheckStateRole));
    QTRY_VERIFY(row(a).data(ui::LibraryModel::asks_role).toBool());
    QCOMPARE(row(a).data(Qt::CheckStateRole).toInt(), static_cast<int>(Qt::Unchecked));
    QVERIFY(
        row(a).data(ui::LibraryModel::detail_role).toString().startsWith(QStringLiteral("Taking it out reads 38,000")));
    window.library().list().setCurrentIndex(row(a));
    QTest::keyClick(&window.library().list(), Qt::Key_Return);
    QCOMPARE(w.session_documents(session), std::vector<QString>({c, b}));
    // Two changes in one breath: both count.
    w.price = {0, 0};
    QVERIFY(model.setData(row(c), Qt::Unchecked, Qt::CheckStateRole));
    QVERIFY(model.setData(row(b), Qt::Unchecked, Qt::CheckStateRole));
    QTRY_VERIFY(w.session_documents(session).empty());
    // Of unknown duration but much.
    QVERIFY(model.setData(row(b), Qt::Checked, Qt::CheckStateRole));
    QVERIFY(model.setData(row(c), Qt::Checked, Qt::CheckStateRole));
    w.price = {9000, -1};
    QVERIFY(model.move(c, -1));
    QTRY_COMPARE(row(c).data(ui::LibraryModel::detail_role).toString(),
                 QStringLiteral("Moving this document reads 9,000 tokens again."));
    // A question asked meanwhile is asked of the documents as they are.
    window.ask(QStringLiteral("What is due?"));
    QCOMPARE(model.ticked(), std::vector<QString>({b, c}));
    QVERIFY(!row(c).data(ui::LibraryModel::asks_role).toBool());
  }

  void removing_from_the_library_asks_in_its_row() {
    FakeWorkspace w;
    const QString a = w.add_made_up(QStringLiteral("a.pdf"), pages(2), 1000),
                  b = w.add_made_up(QStringLiteral("b.pdf"), pages(2), 500);
    const std::int64_t session = w.add_session(QStringLiteral("Rent"), {}, {a, b}, 1);
    ui::MainWindow window(w);
    show(window);
    window.open_session(session);
    ui::LibraryModel& model = window.library().model();
    const auto asks = [&](const QString& key) {
      return model.index_of_document(key).data(ui::LibraryModel::asks_role).toBool();
    };
    w.price = {500, 30};
    window.library().list().setCurrentIndex(model.index_of_document(a));
    QTest::keyClick(&window.library().list(), Qt::Key_Delete);
    QTRY_VERIFY(asks(a));
    QCOMPARE(
        model.index_of_document(a).data(ui::LibraryModel::detail_role).toString(),
        QStringLiteral("Remove it from the library? The file itself stays where it is. Taking it out reads 500 tokens "
                       "again, about 30 s."));
    Q_EMIT window.library().question_answered(false);
    QVERIFY(!asks(a) && w.removed.isEmpty());
    w.price = {0, 0};
    window.library().list().setCurrentIndex(model.index_of_document(b));
    QTest::keyClick(&window.library().list(), Qt::Key_Delete);
    QTRY_VERIFY(asks(b));
    QTest::keyClick(&window.library().list(), Qt::Key_Return);
    QCOMPARE(w.removed, QStringList{b});
    QTRY_COMPARE(w.session_documents(session), std::vector<QString>{a});
  }

  void a_question_can_start_from_the_documents() {
    FakeWorkspace w;
    const QString key = w.add_made_up(QStringLiteral("lease.pdf"), pages(4));
    std::int64_t session = 0;
    {
      ui::MainWindow window(w);
      show(window);
      window.library().model().set_ticked({key});
      auto* choice = window.findChild<QWidget*>(QStringLiteral("ask_from"));
      auto* documents = window.findChild<QAbstractButton*>(QStringLiteral("ask_documents"));
      auto* places = window.findChild<QWidget*>(QStringLiteral("conversation_places"));
      QVERIFY(!choice->isVisible());  // nothing to continue yet
      window.ask(QStringLiteral("First?"));
      QTRY_VERIFY(window.conversation().model().is_answering());
      w.finish(answer_with_citation(w, key, 2));
      QTRY_VERIFY(!window.conversation().box().is_busy());
      QVERIFY(choice->isVisible() && !places->isVisible());
      session = window.session();
      QTRY_VERIFY(documents->toolTip().contains(QStringLiteral("Starts from the documents: 0 tokens to read.")));
      // Ctrl+Enter, whatever is chosen.
      QTest::keyClicks(&window.conversation().box().edit(), QStringLiteral("Second?"));
      QTest::keyClick(&window.conversation().box().edit(), Qt::Key_Return, Qt::ControlModifier);
      QCOMPARE(w.asked.back().parent, std::int64_t{-1});
      QTRY_VERIFY(window.conversation().model().is_answering());
      w.finish(answer_with_citation(w, key, 3));
      QTRY_VERIFY(!window.conversation().box().is_busy());
      QCOMPARE(window.conversation().model().rowCount(), 2);
      // The conversation before is one step away.
      QVERIFY(places->isVisible());
      QCOMPARE(window.findChild<QLabel*>(QStringLiteral("conversation_place"))->text(), QStringLiteral("2 of 2"));
      window.findChild<QAbstractButton*>(QStringLiteral("earlier_conversation"))->click();
      QTRY_COMPARE(window.conversation().model().message(0).text, std::string("First?"));
      QCOMPARE(window.findChild<QLabel*>(QStringLiteral("conversation_place"))->text(), QStringLiteral("1 of 2"));
      // Enter continues; chosen once, it starts from the documents.
      window.ask(QStringLiteral("Third?"));
      QCOMPARE(w.asked.back().parent, std::int64_t{0});
      QTRY_VERIFY(window.conversation().model().is_answering());
      w.finish(answer_with_citation(w, key, 3));
      QTRY_VERIFY(!window.conversation().box().is_busy());
      documents->setFocus();
      QTest::keyClick(documents, Qt::Key_Space);
      QTest::keyClicks(&window.conversation().box().edit(), QStringLiteral("Fourth?"));
      QTest::keyClick(&window.conversation().box().edit(), Qt::Key_Return);
      QCOMPARE(w.asked.back().parent, std::int64_t{-1});
      QTRY_VERIFY(window.conversation().model().is_answering());
      w.finish(answer_with_citation(w, key, 3));
      QTRY_VERIFY(!window.conversation().box().is_busy());
      window.new_session();
      QVERIFY(window.conversation().box().from() == ui::QuestionBox::From::conversation);
      window.open_session(session);
      QVERIFY(window.conversation().box().from() == ui::QuestionBox::From::documents);  // remembered
    }
  }

  void reading_ahead_is_turned_off_in_the_settings() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    window.open_settings();
    auto* dialog = window.findChild<ui::SettingsDialog*>();
    auto* box = dialog->findChild<QAbstractButton*>(QStringLiteral("read_ahead_box"));
    QVERIFY(box->isChecked());
    box->click();
    QVERIFY(!w.reads_ahead);
    dialog->close();
  }

  void without_a_model_the_window_says_how_to_get_one_and_asks_nothing() {
    FakeWorkspace w;
    w.add_made_up(QStringLiteral("lease.pdf"), pages(2));
    w.set_engine(FakeWorkspace::no_engine());
    w.model_files = {QStringLiteral("small.gguf")};
    ui::MainWindow window(w);
    show(window);
    QVERIFY(window.findChild<QLabel*>(QStringLiteral("notice_text"))->isVisible());
    QVERIFY(window.findChild<QLabel*>(QStringLiteral("notice_text"))
                ->text()
                .contains(QStringLiteral("choose a GGUF file")));
    window.ask(QStringLiteral("What is due?"));
    QVERIFY(w.asked.empty());
    w.set_engine(FakeWorkspace::ready_engine());
    QVERIFY(!window.findChild<QLabel*>(QStringLiteral("notice_text"))->isVisible());
    window.ask(QStringLiteral("What is due?"));
    QCOMPARE(w.asked.size(), std::size_t{1});
  }

  void a_library_that_cannot_be_opened_is_said_above_a_window_that_works() {
    FakeWorkspace w;
    ui::WindowOptions options;
    options.warning = QStringLiteral("/data/library.sqlite: was written by a newer version");
    ui::MainWindow window(w, options);
    show(window);
    auto* bar = window.findChild<QLabel*>(QStringLiteral("warning_bar"));
    QVERIFY(bar != nullptr && bar->isVisible());
    QVERIFY(bar->text().contains(options.warning));
    w.add_made_up(QStringLiteral("lease.pdf"), pages(2));
    window.ask(QStringLiteral("What is due?"));
    QCOMPARE(w.asked.size(), std::size_t{1});
    ui::MainWindow other(w);
    QVERIFY(other.findChild<QLabel*>(QStringLiteral("warning_bar")) == nullptr);
  }

  void the_empty_window_offers_the_sample() {
    FakeWorkspace w;
    ui::MainWindow window(w, {{QStringLiteral("/samples/agreement.pdf")}, true});
    show(window);
    auto* sample = window.findChild<QAbstractButton*>(QStringLiteral("open_sample"));
    QVERIFY(sample->isVisible());
    QTest::mouseClick(sample, Qt::LeftButton);
    QCOMPARE(w.added_paths, QStringList{QStringLiteral("/samples/agreement.pdf")});
  }

  void editing_a_question_asks_a_branch() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    const QString key = w.add_made_up(QStringLiteral("lease.pdf"), pages(4));
    for (const char* question : {"First?", "Second?"}) {
      window.ask(QLatin1String(question));
      QTRY_VERIFY(window.conversation().model().is_answering());
      w.finish(answer_with_citation(w, key, 2));
      QTRY_VERIFY(!window.conversation().box().is_busy());
    }
    QCOMPARE(window.conversation().model().rowCount(), 4);
    const std::int64_t first_answer = window.conversation().model().message(1).id;
    QTest::keyClick(&window.conversation().box().edit(), Qt::Key_Up);
    QCOMPARE(window.conversation().box().text(), QStringLiteral("Second?"));
    window.conversation().box().set_text(QStringLiteral("Third?"));
    QTest::keyClick(&window.conversation().box().edit(), Qt::Key_Return);
    QCOMPARE(w.asked.back().parent, first_answer);
    QTRY_COMPARE(window.conversation().model().rowCount(), 4);
    w.finish(answer_with_citation(w, key, 2));
    QTRY_VERIFY(!window.conversation().box().is_busy());
    window.conversation().edit_question(0);
    window.ask(QStringLiteral("Other first?"));
    QCOMPARE(w.asked.back().parent, std::int64_t{-1});
    QTRY_COMPARE(window.conversation().model().rowCount(), 2);
    QTest::keyClick(&window, Qt::Key_Escape);
  }

  void regenerating_asks_for_another_answer() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    const QString key = w.add_made_up(QStringLiteral("lease.pdf"), pages(4));
    window.ask(QStringLiteral("What is due?"));
    QTRY_VERIFY(window.conversation().model().is_answering());
    w.finish(answer_with_citation(w, key, 2));
    const std::int64_t answer = window.conversation().model().message(1).id;
    Q_EMIT window.conversation().last_answer()->regenerate_requested();
    QCOMPARE(w.regenerated, std::vector<std::int64_t>{answer});
    QTRY_VERIFY(window.conversation().model().is_answering());
    QCOMPARE(window.conversation().model().rowCount(), 2);
    w.finish(answer_with_citation(w, key, 3));
    QTRY_VERIFY(!window.conversation().box().is_busy());
  }

  void the_view_follows_the_stream_only_while_its_end_is_in_sight() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    w.add_made_up(QStringLiteral("lease.pdf"), pages(2));
    window.ask(QStringLiteral("Tell me all."));
    QTRY_VERIFY(window.conversation().model().is_answering());
    for (int i = 0; i < 80; ++i) w.stream(QStringLiteral("A paragraph of the answer, number %1.\n\n").arg(i));
    QScrollBar* bar = window.conversation().scroll_area().verticalScrollBar();
    QTRY_VERIFY(bar->maximum() > 500);
    QTRY_COMPARE(bar->value(), bar->maximum());
    bar->setValue(100);
    const int before = bar->maximum();
    for (int i = 0; i < 40; ++i) w.stream(QStringLiteral("Still more, number %1.\n\n").arg(i));
    QTRY_VERIFY(bar->maximum() > before);
    QCOMPARE(bar->value(), 100);
    bar->setValue(bar->maximum());
    for (int i = 0; i < 40; ++i) w.stream(QStringLiteral("And the end, number %1.\n\n").arg(i));
    QTest::qWait(60);
    QTRY_COMPARE(bar->value(), bar->maximum());
    window.stop();
  }

  void narrow_windows_fold_the_library_and_then_show_tabs() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    window.resize(1440, 900);
    show(window);
    QVERIFY(window.library().isVisible());
    window.resize(1000, 800);
    QTRY_VERIFY(!window.library().isVisible());
    QVERIFY(window.reader().isVisible() && window.conversation().isVisible());
    QTest::keyClick(&window, Qt::Key_F9);
    QVERIFY(window.library().isVisible());
    QTest::keyClick(&window, Qt::Key_F9);
    window.resize(700, 800);
    QTRY_VERIFY(window.reader().isVisible() != window.conversation().isVisible());
    window.resize(1440, 900);
    QTRY_VERIFY(window.library().isVisible() && window.reader().isVisible() && window.conversation().isVisible());
  }

  void the_theme_changes_at_once_and_is_remembered() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    const QColor light = window.grab().toImage().pixelColor(20, 500);
    window.open_settings();
    auto* dialog = window.findChild<ui::SettingsDialog*>();
    QVERIFY(dialog);
    auto* theme = dialog->findChild<QComboBox*>(QStringLiteral("theme_box"));
    theme->setCurrentIndex(theme->findData(QStringLiteral("dark")));
    Q_EMIT theme->activated(theme->currentIndex());
    dialog->close();
    QCOMPARE(w.remembered(0, QStringLiteral("theme")), QStringLiteral("dark"));
    QCOMPARE(window.grab().toImage().pixelColor(20, 500), ui::Theme::dark_theme().window);
    QCOMPARE(light, ui::Theme::light().window);
    ui::apply_theme(ui::ThemeChoice::light);
  }

  void the_interface_speaks_chinese() {
    QTranslator chinese;
    QVERIFY(chinese.load(QStringLiteral(":/lectern/i18n/lectern_zh_CN.qm")));
    QCoreApplication::installTranslator(&chinese);
    FakeWorkspace w;
    w.add_made_up(QStringLiteral("lease.pdf"), pages(2));
    ui::MainWindow window(w);
    show(window);
    QCOMPARE(window.findChild<QAbstractButton*>(QStringLiteral("ask"))->text(), QStringLiteral("提问"));
    QCOMPARE(window.library().model().index(0).data(ui::LibraryModel::detail_role).toString(),
             QStringLiteral("2 页 · 100 词元 · 就绪"));
    window.library().model().set_ticked({QStringLiteral("made-up-lease.pdf")});
    QCOMPARE(window.conversation().box().edit().placeholderText(), QStringLiteral("就 1 份文档提问…"));
    QCoreApplication::removeTranslator(&chinese);
  }

  void every_control_has_an_accessible_name() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    const QString key = w.add_made_up(QStringLiteral("lease.pdf"), pages(4));
    window.ask(QStringLiteral("What is due?"));
    QTRY_VERIFY(window.conversation().model().is_answering());
    w.finish(answer_with_citation(w, key, 2));
    QTest::qWait(30);
    for (const QWidget* widget : window.findChildren<QWidget*>()) {
      const bool control = qobject_cast<const QAbstractButton*>(widget) || qobject_cast<const QLineEdit*>(widget) ||
                           qobject_cast<const QTextEdit*>(widget) || qobject_cast<const QPlainTextEdit*>(widget) ||
                           qobject_cast<const QAbstractItemView*>(widget);
      // Buttons inside Qt's own line edits and tab bars are Qt's matter.
      const bool inner =
          qobject_cast<const QLineEdit*>(widget->parentWidget()) || widget->parentWidget()->inherits("QTabBar");
      if (!control || inner) continue;
      QVERIFY2(!widget->accessibleName().isEmpty(), qPrintable(QString::fromLatin1(widget->metaObject()->className()) +
                                                               QLatin1Char(' ') + widget->objectName()));
    }
  }

  void a_session_that_is_deleted_while_open_is_left() {
    FakeWorkspace w;
    ui::MainWindow window(w);
    show(window);
    const std::int64_t session = w.add_session(QStringLiteral("Rent"), {sample_question()}, {}, 1);
    window.open_session(session);
    QCOMPARE(window.conversation().model().rowCount(), 1);
    w.delete_session(session);
    Q_EMIT window.library().session_deleted(session);
    QCOMPARE(window.session(), std::int64_t{0});
    QCOMPARE(window.conversation().model().rowCount(), 0);
  }
};

std::unique_ptr<QObject> window_test() {
  return std::make_unique<WindowTest>();
}

}  // namespace lectern::testing

#include "window_test.moc"

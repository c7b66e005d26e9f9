#include <QAbstractItemModelTester>
#include <QDateTime>
#include <QListView>
#include <QSignalSpy>
#include <QTest>

#include "tests/support/fake_workspace.h"
#include "tests/ui/ui_tests.h"
#include "ui/library_model.h"
#include "ui/library_pane.h"

namespace lectern::testing {

using ui::LibraryModel;

class LibraryTest : public QObject {
  Q_OBJECT

 private:
  static app::DocumentRow document(const char* name, const char* fingerprint, const char* collection = "") {
    app::DocumentRow row;
    row.name = name;
    row.path = std::string("/documents/") + name;
    row.fingerprint = fingerprint;
    row.collection = collection;
    row.kind = "pdf";
    row.pages = 3;
    return row;
  }

  static QString labels(const LibraryModel& model) {
    QStringList all;
    for (int row = 0; row < model.rowCount(); ++row) all << model.index(row).data().toString();
    return all.join(QLatin1Char('|'));
  }

 private Q_SLOTS:
  void the_model_keeps_the_promises_of_a_model() {
    LibraryModel model;
    QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
    model.set_documents({document("a.pdf", "a"), document("b.py", "b", "tree"), document("c.py", "c", "tree")});
    app::SessionRow session;
    session.id = 7;
    session.changed_ms = QDateTime::currentMSecsSinceEpoch();
    model.set_sessions({session});
    model.toggle_collection(QStringLiteral("tree"));
    QCOMPARE(labels(model), QStringLiteral("a.pdf|tree/|b.py|c.py|TODAY|New session"));
    model.set_filter(QStringLiteral("C.PY"));
    QCOMPARE(labels(model), QStringLiteral("tree/|c.py|TODAY|New session"));
    model.set_filter({});
    model.toggle_collection(QStringLiteral("tree"));
    model.set_documents({});
    QCOMPARE(labels(model), QStringLiteral("TODAY|New session"));
  }

  void a_tick_moves_from_the_path_to_the_fingerprint() {
    LibraryModel model;
    model.set_documents({});
    app::DocumentRow row = document("a.pdf", "");
    row.state = app::DocumentState::reading;
    model.set_documents({row});
    QVERIFY(model.ticked().empty());
    QCOMPARE(model.waiting().size(), std::size_t{1});
    row.fingerprint = "print";
    row.state = app::DocumentState::ready;
    QSignalSpy changed(&model, &LibraryModel::ticks_changed);
    model.set_documents({row});
    QCOMPARE(model.ticked(), std::vector<QString>{QStringLiteral("print")});
    QVERIFY(model.waiting().empty());
    QVERIFY(changed.count() >= 1);
  }

  void a_tick_that_was_taken_away_while_reading_stays_away() {
    LibraryModel model;
    model.set_documents({});
    app::DocumentRow row = document("a.pdf", "");
    row.state = app::DocumentState::reading;
    model.set_documents({row});
    QVERIFY(model.setData(model.index(0), Qt::Unchecked, Qt::CheckStateRole));
    row.fingerprint = "print";
    row.state = app::DocumentState::ready;
    model.set_documents({row});
    QVERIFY(model.ticked().empty());
  }

  void a_collection_ticks_all_its_files() {
    LibraryModel model;
    model.set_documents({document("a.py", "a", "tree"), document("b.py", "b", "tree")});
    QCOMPARE(model.index(0).data(Qt::CheckStateRole).toInt(), int(Qt::Unchecked));
    QVERIFY(model.setData(model.index(0), Qt::Checked, Qt::CheckStateRole));
    QCOMPARE(model.ticked().size(), std::size_t{2});
    model.toggle_collection(QStringLiteral("tree"));
    QVERIFY(model.setData(model.index(1), Qt::Unchecked, Qt::CheckStateRole));
    QCOMPARE(model.index(0).data(Qt::CheckStateRole).toInt(), int(Qt::PartiallyChecked));
  }

  void sessions_stand_under_their_dates_with_the_pinned_ones_first() {
    LibraryModel model;
    const QDate today(2026, 3, 14);
    const auto at = [&today](int id, int days, bool pinned) {
      app::SessionRow row;
      row.id = id;
      row.name = std::to_string(id);
      row.pinned = pinned;
      row.changed_ms = today.addDays(-days).startOfDay().addSecs(3600).toMSecsSinceEpoch();
      return row;
    };
    model.set_sessions(
        {at(1, 0, false), at(2, 1, false), at(3, 3, false), at(4, 20, false), at(5, 90, false), at(6, 200, true)},
        today);
    QCOMPARE(labels(model), QStringLiteral("PINNED|6|TODAY|1|YESTERDAY|2|LAST WEEK|3|LAST MONTH|4|EARLIER|5"));
  }

  void a_session_is_renamed_in_place() {
    FakeWorkspace workspace;
    const std::int64_t id = workspace.add_session(QStringLiteral("Old"), {}, {}, QDateTime::currentMSecsSinceEpoch());
    ui::LibraryPane pane(workspace);
    LibraryModel& model = pane.model();
    QVERIFY(model.setData(model.index_of_session(id), QStringLiteral("New name"), Qt::EditRole));
    QCOMPARE(workspace.sessions({}).front().name, std::string("New name"));
    QVERIFY(!model.setData(model.index_of_session(id), QStringLiteral("  "), Qt::EditRole));
  }

  void progress_is_said_in_words() {
    app::DocumentRow row = document("a.pdf", "");
    row.state = app::DocumentState::reading;
    row.pages = 312;
    row.pages_read = 128;
    row.seconds_left = 118;
    QCOMPARE(ui::describe(row), QStringLiteral("reading 41 % · 2 min left"));
    row.state = app::DocumentState::ready;
    row.tokens = 41870;
    QCOMPARE(ui::describe(row), QStringLiteral("312 pages · 41,870 tokens · ready"));
    row.pages_without_text = 4;
    QCOMPARE(ui::describe(row), QStringLiteral("4 pages without text (scan)"));
  }

  void a_failed_document_says_why_and_is_removed_by_a_click() {
    FakeWorkspace workspace;
    ui::LibraryPane pane(workspace);
    pane.resize(272, 600);
    pane.show();
    workspace.add_paths({QStringLiteral("/documents/draft.pdf")});
    workspace.fail(QStringLiteral("/documents/draft.pdf"),
                   QStringLiteral("draft.pdf: it is not a PDF; choose another copy."), false);
    LibraryModel& model = pane.model();
    const QModelIndex index = model.index(0);
    QCOMPARE(index.data(LibraryModel::detail_role).toString(), QStringLiteral("It is not a PDF; choose another copy."));
    QCOMPARE(index.data(LibraryModel::actions_role).toStringList(), QStringList{QStringLiteral("Remove")});
    QVERIFY(!index.data(Qt::CheckStateRole).isValid());
    QVERIFY(QTest::qWaitForWindowExposed(&pane));
    const QRect row = pane.list().visualRect(index);
    QTest::mouseClick(pane.list().viewport(), Qt::LeftButton, {}, QPoint(row.left() + 60, row.bottom() - 12));
    QCOMPARE(workspace.removed, QStringList{QStringLiteral("/documents/draft.pdf")});
    QTRY_COMPARE(model.rowCount(), 0);
  }

  void a_document_that_needs_a_password_offers_to_enter_it() {
    FakeWorkspace workspace;
    ui::LibraryPane pane(workspace);
    workspace.add_paths({QStringLiteral("/documents/minutes.pdf")});
    workspace.fail(QStringLiteral("/documents/minutes.pdf"), QStringLiteral("it is encrypted; enter its password."),
                   true);
    QCOMPARE(pane.model().index(0).data(LibraryModel::actions_role).toStringList(),
             QStringList({QStringLiteral("Enter password…"), QStringLiteral("Remove")}));
  }

  void a_click_on_the_box_ticks_and_a_click_on_the_row_opens() {
    FakeWorkspace workspace;
    const QString key = workspace.add_made_up(QStringLiteral("a.pdf"), {QStringLiteral("one page")});
    ui::LibraryPane pane(workspace);
    pane.resize(272, 600);
    pane.show();
    QVERIFY(QTest::qWaitForWindowExposed(&pane));
    QSignalSpy chosen(&pane, &ui::LibraryPane::document_chosen);
    const QRect row = pane.list().visualRect(pane.model().index(0));
    QTest::mouseClick(pane.list().viewport(), Qt::LeftButton, {}, row.topLeft() + QPoint(27, 15));
    QCOMPARE(pane.model().ticked(), std::vector<QString>{key});
    QTest::mouseClick(pane.list().viewport(), Qt::LeftButton, {}, row.topLeft() + QPoint(120, 20));
    QCOMPARE(chosen.last().at(0).toString(), key);
    pane.list().setFocus();
    pane.list().setCurrentIndex(pane.model().index(0));
    QTest::keyClick(&pane.list(), Qt::Key_Space);
    QVERIFY(pane.model().ticked().empty());
  }
};

std::unique_ptr<QObject> library_test() {
  return std::make_unique<LibraryTest>();
}

}  // namespace lectern::testing

#include "library_test.moc"

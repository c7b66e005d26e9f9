#include <QLabel>
#include <QLineEdit>
#include <QScrollBar>
#include <QSignalSpy>
#include <QTest>

#include "tests/support/fake_workspace.h"
#include "tests/ui/sample_answer.h"
#include "tests/ui/ui_tests.h"
#include "ui/document_pane.h"
#include "ui/theme.h"

namespace lectern::testing {

class ReaderTest : public QObject {
  Q_OBJECT

 private:
  static QStringList many_pages(int count) {
    QStringList pages;
    for (int page = 1; page <= count; ++page) {
      pages << QStringLiteral("Page %1 begins here.\nThe notice period of clause %1\nis written over two lines.")
                   .arg(page);
    }
    return pages;
  }

  static app::Citation cite(const FakeWorkspace& w, const QString& key, int page, const QString& quote) {
    return w.cite(1, key, page, quote, "text", "text");
  }

  static void show(ui::DocumentPane& pane) {
    pane.resize(700, 800);
    pane.show();
    QVERIFY(QTest::qWaitForWindowExposed(&pane));
  }

 private Q_SLOTS:
  void a_search_ignores_case_and_line_breaks() {
    FakeWorkspace w;
    const QString key = w.add_made_up(QStringLiteral("a.pdf"), many_pages(3));
    const ui::ReaderText text(*w.document(key));
    const auto places = text.find(QStringLiteral("CLAUSE 2 is"));
    QCOMPARE(places.size(), std::size_t{1});
    QCOMPARE(places.front().page, 2);
    QCOMPARE(text.find(QStringLiteral("begins")).size(), std::size_t{3});
    QCOMPARE(text.find(QStringLiteral("begins"), 2).size(), std::size_t{2});
    QVERIFY(text.find(QStringLiteral("  ")).empty());
  }

  void boxes_are_joined_to_one_for_each_line() {
    FakeWorkspace w;
    const QString key = w.add_made_up(QStringLiteral("a.pdf"), many_pages(1));
    const ui::ReaderText text(*w.document(key));
    const auto place = text.find(QStringLiteral("period of clause 1 is written")).front();
    const auto boxes = text.boxes(place);
    QCOMPARE(boxes.size(), std::size_t{2});
    QVERIFY(boxes[0].bottom() <= boxes[1].top());
    QVERIFY(boxes[0].width() > 60);
    QVERIFY(text.boxes({9, 0, 5}).empty());
    QVERIFY(text.boxes({1, 100000, 100005}).empty());
  }

  void sizes_that_no_page_has_are_not_believed() {
    documents::Document document;
    document.pages.resize(3);
    document.pages[0].width_pt = 1e12;
    document.pages[1].height_pt = -5;
    const ui::ReaderText text(std::move(document));
    for (int page = 0; page <= 4; ++page)
      QVERIFY(text.page_size_pt(page).width() < 20000 && text.page_size_pt(page).height() > 1);
  }

  void only_pages_near_the_sight_are_asked_for() {
    FakeWorkspace w;
    const QString key = w.add_made_up(QStringLiteral("long.pdf"), many_pages(500));
    ui::DocumentPane pane(w);
    show(pane);
    QVERIFY(pane.open(key));
    QTRY_VERIFY(pane.pages().has_picture(1));
    QTest::qWait(150);
    QVERIFY2(w.requested_pages.size() < 8, qPrintable(QString::number(w.requested_pages.size())));
    w.requested_pages.clear();
    pane.pages().go_to_page(400);
    QTRY_VERIFY(pane.pages().has_picture(400));
    QVERIFY(!pane.pages().has_picture(1));
    for (const int page : w.requested_pages) QVERIFY2(page > 395 && page < 405, qPrintable(QString::number(page)));
  }

  void a_citation_scrolls_there_and_marks_the_words() {
    FakeWorkspace w;
    const QString key = add_sample(w);
    ui::DocumentPane pane(w);
    show(pane);
    const app::Message answer = sample_answer(w, key);
    QVERIFY(pane.open_citation(answer.citations[0], answer.citations));
    QCOMPARE(pane.pages().current_page(), 8);
    QTRY_VERIFY(pane.pages().has_picture(8));
    const app::Citation& c = answer.citations[0];
    const QRectF rect = pane.pages().rect_of({c.page, c.start, c.end});
    QVERIFY(!rect.isEmpty());
    QTest::qWait(50);
    const QImage image = pane.pages().viewport()->grab().toImage();
    int marked = 0, underlined = 0;
    for (int x = static_cast<int>(rect.left()); x < rect.right(); ++x) {
      const QColor fill = image.pixelColor(x, static_cast<int>(rect.top()) + 1);
      const QColor line = image.pixelColor(x, static_cast<int>(rect.bottom()) + 1);
      marked += fill.red() > 230 && fill.blue() < 200 ? 1 : 0;
      underlined += line.red() > 180 && line.blue() < 60 ? 1 : 0;
    }
    QVERIFY2(marked > rect.width() / 2, qPrintable(QString::number(marked)));
    QVERIFY2(underlined > rect.width() / 2, qPrintable(QString::number(underlined)));
  }

  void a_citation_that_was_not_found_opens_nothing() {
    FakeWorkspace w;
    const QString key = w.add_made_up(QStringLiteral("a.pdf"), many_pages(3));
    ui::DocumentPane pane(w);
    app::Citation absent;
    QVERIFY(!pane.open_citation(absent, {absent}));
    app::Citation gone = cite(w, key, 2, QStringLiteral("clause 2"));
    gone.fingerprint = "removed from the library";
    QVERIFY(!pane.open_citation(gone, {gone}));
    QVERIFY(pane.fingerprint().isEmpty());
    QVERIFY(!pane.can_go_back());
  }

  void back_and_forward_follow_the_jumps() {
    FakeWorkspace w;
    const QString first = w.add_made_up(QStringLiteral("a.pdf"), many_pages(60));
    const QString second = w.add_made_up(QStringLiteral("b.pdf"), many_pages(60));
    ui::DocumentPane pane(w);
    show(pane);
    pane.open(first);
    pane.pages().go_to_page(10);
    const auto one = cite(w, first, 40, QStringLiteral("clause 40")),
               two = cite(w, second, 20, QStringLiteral("clause 20"));
    QVERIFY(pane.open_citation(one, {one}));
    QVERIFY(pane.open_citation(two, {two}));
    QCOMPARE(pane.fingerprint(), second);
    pane.go_back();
    QCOMPARE(pane.fingerprint(), first);
    QCOMPARE(pane.pages().current_page(), 40);
    pane.go_back();
    QCOMPARE(pane.pages().current_page(), 10);
    QVERIFY(!pane.can_go_back());
    pane.go_forward();
    pane.go_forward();
    QCOMPARE(pane.fingerprint(), second);
    QCOMPARE(pane.pages().current_page(), 20);
    QVERIFY(!pane.can_go_forward());
  }

  void the_find_bar_counts_marks_and_moves() {
    FakeWorkspace w;
    const QString key = w.add_made_up(QStringLiteral("a.pdf"), many_pages(30));
    ui::DocumentPane pane(w);
    show(pane);
    pane.open(key);
    pane.show_find_bar();
    auto* box = pane.findChild<QLineEdit*>(QStringLiteral("find_box"));
    QTest::keyClicks(box, QStringLiteral("notice PERIOD"));
    QCOMPARE(pane.matches(), 30);
    QCOMPARE(pane.current_match(), 1);
    pane.find_next();
    QCOMPARE(pane.current_match(), 2);
    QCOMPARE(pane.findChild<QLabel*>(QStringLiteral("find_count"))->text(), QStringLiteral("2 of 30"));
    pane.find_previous();
    pane.find_previous();
    QCOMPARE(pane.current_match(), 30);
    QCOMPARE(pane.pages().current_page(), 30);
    QCOMPARE(pane.pages().highlights().size(), std::size_t{30});
    box->setText(QStringLiteral("nowhere"));
    QCOMPARE(pane.findChild<QLabel*>(QStringLiteral("find_count"))->text(), QStringLiteral("not found"));
    pane.close_find_bar();
    QVERIFY(!box->isVisible());
    QVERIFY(pane.pages().highlights().empty());
  }

  void the_page_box_goes_to_a_page() {
    FakeWorkspace w;
    const QString key = w.add_made_up(QStringLiteral("a.pdf"), many_pages(64));
    ui::DocumentPane pane(w);
    show(pane);
    pane.open(key);
    auto* box = pane.findChild<QLineEdit*>(QStringLiteral("page_box"));
    QCOMPARE(box->text(), QStringLiteral("1"));
    pane.focus_page_box();
    QTest::keyClicks(box, QStringLiteral("31"));
    QTest::keyClick(box, Qt::Key_Return);
    QCOMPARE(pane.pages().current_page(), 31);
    QVERIFY(pane.can_go_back());
    box->setText(QStringLiteral("9999"));
    QTest::keyClick(box, Qt::Key_Return);
    QCOMPARE(pane.pages().current_page(), 31);
  }

  void zoom_keeps_the_place() {
    FakeWorkspace w;
    const QString key = w.add_made_up(QStringLiteral("a.pdf"), many_pages(64));
    ui::DocumentPane pane(w);
    show(pane);
    pane.open(key);
    QVERIFY(pane.pages().fits_width());
    pane.pages().go_to_page(20);
    pane.pages().set_zoom(2.0);
    QCOMPARE(pane.pages().current_page(), 20);
    QVERIFY(!pane.pages().fits_width());
    pane.pages().set_zoom(1e9);
    QVERIFY(pane.pages().zoom() <= 5);
    pane.pages().set_zoom(0);
    QVERIFY(pane.pages().zoom() >= 0.25);
  }

  void a_place_that_makes_no_sense_is_ignored() {
    FakeWorkspace w;
    const QString key = w.add_made_up(QStringLiteral("a.pdf"), many_pages(4));
    ui::DocumentPane pane(w);
    show(pane);
    pane.open(key);
    for (const char* place : {"", "x", "99:0.5", "2:nan", "2:1e300", "-1:0"}) pane.go_to_place(QLatin1String(place));
    QVERIFY(pane.pages().current_page() >= 1);
  }

  void code_shows_its_lines_and_marks_the_cited_ones() {
    FakeWorkspace w;
    QString code;
    for (int line = 1; line <= 400; ++line) code += QStringLiteral("value_%1 = %1\n").arg(line);
    const QString key = w.add_text(QStringLiteral("values.py"), documents::DocumentKind::code, code);
    ui::DocumentPane pane(w);
    show(pane);
    app::Citation citation;
    citation.status = app::CitationStatus::verified;
    citation.fingerprint = key.toStdString();
    citation.page = 1;
    citation.lines = {200, 202};
    QVERIFY(pane.open_citation(citation, {citation}));
    QVERIFY(pane.text_view().isVisible());
    QCOMPARE(pane.text_view().highlights().size(), std::size_t{1});
    QVERIFY(pane.text_view().top_line() > 150 && pane.text_view().top_line() <= 200);
    pane.show_find_bar();
    QTest::keyClicks(pane.findChild<QLineEdit*>(QStringLiteral("find_box")), QStringLiteral("value_350"));
    QCOMPARE(pane.matches(), 1);
    QVERIFY(pane.text_view().top_line() > 300);
  }

  void selected_words_can_be_copied() {
    FakeWorkspace w;
    const QString key = w.add_made_up(QStringLiteral("a.pdf"), many_pages(2));
    const ui::ReaderText text(*w.document(key));
    QCOMPARE(text.text_in(1, QRectF(50, 78, 90, 10)), QStringLiteral("The notice period"));
    QVERIFY(text.text_in(7, QRectF(0, 0, 500, 500)).isEmpty());
  }
};

std::unique_ptr<QObject> reader_test() {
  return std::make_unique<ReaderTest>();
}

}  // namespace lectern::testing

#include "reader_test.moc"

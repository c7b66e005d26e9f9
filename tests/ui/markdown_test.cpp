#include <QElapsedTimer>
#include <QTest>
#include <QTextBlock>
#include <QTextDocument>

#include "tests/ui/ui_tests.h"
#include "ui/answer_text.h"
#include "ui/markdown.h"

namespace lectern::testing {

class MarkdownTest : public QObject {
  Q_OBJECT

 private:
  static QString plain(const QByteArray& markdown) {
    QTextDocument document;
    QTextCursor cursor(&document);
    ui::write_markdown(cursor, markdown, {});
    return document.toPlainText();
  }

  static bool loads_something(const QTextDocument& document) {
    for (QTextBlock block = document.begin(); block.isValid(); block = block.next()) {
      for (auto it = block.begin(); !it.atEnd(); ++it) {
        const QTextCharFormat format = it.fragment().charFormat();
        if (format.isImageFormat() || format.isAnchor()) return true;
      }
    }
    return false;
  }

 private Q_SLOTS:
  void blocks_of_every_kind_are_written_in_order() {
    QCOMPARE(plain("# Title\n\nText **bold** and `code`.\n\n- one\n- two\n\n3. three\n4. four\n"),
             QStringLiteral("Title\nText bold and code.\n•\tone\n•\ttwo\n3.\tthree\n4.\tfour"));
    QCOMPARE(plain("```\na\nb\n```\n").trimmed(), QStringLiteral("a\nb"));
    QVERIFY(plain("| A | B |\n|---|---|\n| 1 | 2 |\n").contains(QStringLiteral("1")));
    QCOMPARE(plain("a &amp; b &lt;c&gt; &#65;"), QStringLiteral("a & b <c> A"));
  }

  void nothing_is_loaded_and_nothing_can_be_followed() {
    QTextDocument document;
    QTextCursor cursor(&document);
    ui::write_markdown(
        cursor,
        "![secret](http://example.org/x.png) [here](http://example.org/y) <img src=\"http://example.org/z\">\n\n"
        "<script>alert(1)</script>\n",
        {});
    QVERIFY(!loads_something(document));
    const QString text = document.toPlainText();
    QVERIFY(text.contains(QStringLiteral("here (http://example.org/y)")));
    QVERIFY(text.contains(QStringLiteral("<img src=")));
    QVERIFY(text.contains(QStringLiteral("<script>")));
  }

  void every_word_is_found_where_the_map_says() {
    const QByteArray source = "Für **convenience**: 180 days.\n\n- zwölf 个月 notice\n\n> quoted word\n";
    QTextDocument document;
    QTextCursor cursor(&document);
    const auto map = ui::write_markdown(cursor, source, {});
    QVERIFY(!map.empty());
    for (const ui::SourceSpan& span : map) {
      const QString expected = QString::fromUtf8(source.mid(span.start, span.end - span.start));
      QTextCursor at(&document);
      at.setPosition(span.position);
      at.setPosition(span.position + static_cast<int>(expected.size()), QTextCursor::KeepAnchor);
      QCOMPARE(at.selectedText(), expected);
    }
  }

  void a_growing_text_is_stable_up_to_its_last_block() {
    QCOMPARE(ui::stable_end("one\n\ntwo"), qsizetype{5});
    QCOMPARE(ui::stable_end("one\ntwo"), qsizetype{0});
    QCOMPARE(ui::stable_end("```\na\n\nb\n\nc"), qsizetype{0});
    QCOMPARE(ui::stable_end("```\na\n\nb\n```\n\nc"), qsizetype{14});
    QCOMPARE(ui::stable_end("- a\n\n  still a\n\nb"), qsizetype{16});
    QCOMPARE(ui::stable_end(""), qsizetype{0});
  }

  void streaming_gives_the_same_text_and_renders_blocks_once() {
    QByteArray source;
    for (int i = 0; i < 60; ++i)
      source += "Paragraph number " + QByteArray::number(i) + " with **bold** text and more words.\n\n";
    source += "- first\n- second\n\nThe end.";
    ui::AnswerText answer;
    answer.resize(420, 100);
    for (qsizetype at = 0; at < source.size(); at += 37) {
      answer.append_text(QString::fromUtf8(source.mid(at, 37)));
      if (at % 5 == 0) QTest::qWait(20);
    }
    QTRY_VERIFY(answer.toPlainText().contains(QStringLiteral("The end.")));
    QCOMPARE(answer.toPlainText(), plain(source));
    // Writing the whole text at each piece would cost a hundred times its size.
    QVERIFY2(answer.rendered_bytes() < 6 * source.size(), qPrintable(QString::number(answer.rendered_bytes())));
  }

  void hostile_text_ends_soon() {
    for (const char* piece : {"[", "*", ">", "![](", "- ", "`", "|", "<", "\\", "&#x110000;"}) {
      const QByteArray source = QByteArray(piece).repeated(8000);
      QElapsedTimer timer;
      timer.start();
      plain(source);
      QVERIFY2(timer.elapsed() < 8000, piece);
    }
    plain(QByteArray("a\0b", 3));
    plain("\xff\xfe broken \xc3");
  }
};

std::unique_ptr<QObject> markdown_test() {
  return std::make_unique<MarkdownTest>();
}

}  // namespace lectern::testing

#include "markdown_test.moc"

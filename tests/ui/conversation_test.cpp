#include <QAbstractItemModelTester>
#include <QInputMethodEvent>
#include <QLabel>
#include <QPushButton>
#include <QSignalSpy>
#include <QTest>
#include <QTextBlock>

#include "tests/support/fake_workspace.h"
#include "tests/ui/sample_answer.h"
#include "tests/ui/ui_tests.h"
#include "ui/answer_text.h"
#include "ui/answer_view.h"
#include "ui/conversation_model.h"
#include "ui/question_box.h"
#include "ui/report_words.h"

namespace lectern::testing {

class ConversationTest : public QObject {
  Q_OBJECT

 private:
  static app::Message made_up_answer() {
    app::Message m;
    m.id = 2;
    m.role = inference::Role::assistant;
    m.text = "The term is three years [1:2]. Rent is due. 期限五年。Nobody pays.";
    const auto add = [&m](int marker, app::CitationStatus status, std::int64_t end) {
      app::Citation c;
      c.marker = marker;
      c.status = status;
      c.document = "lease.pdf";
      c.fingerprint = status == app::CitationStatus::absent ? "" : "lease";
      c.page = 2;
      c.quote = "three years";
      c.answer_end = end;
      m.citations.push_back(c);
    };
    add(1, app::CitationStatus::verified, 29);
    add(2, app::CitationStatus::elsewhere, 43);
    add(3, app::CitationStatus::absent, 49);
    add(4, app::CitationStatus::verified, -1);
    m.citations[3].origin = app::CitationOrigin::program;
    m.report.emplace();
    m.report->unsupported.push_back({"Nobody pays.", 49, 61});
    return m;
  }

 private Q_SLOTS:
  void the_model_keeps_the_promises_of_a_model() {
    ui::ConversationModel model;
    QAbstractItemModelTester tester(&model, QAbstractItemModelTester::FailureReportingMode::QtTest);
    model.add_question(QStringLiteral("Why?"));
    model.begin_answer(10, 11);
    QVERIFY(model.is_answering());
    QCOMPARE(model.message(0).id, std::int64_t{10});
    model.append_text(11, QStringLiteral("Because"));
    app::Message answer = made_up_answer();
    answer.id = 11;
    model.finish(answer);
    QVERIFY(!model.is_answering());
    QCOMPARE(model.rowCount(), 2);
    QCOMPARE(model.last_question(), 0);
    model.append_text(99, QStringLiteral("of another answer"));
    QCOMPARE(model.message(1).text, answer.text);
    model.set_messages({});
    QCOMPARE(model.last_question(), -1);
  }

  void chips_say_sign_number_and_place() {
    const app::Message m = made_up_answer();
    QCOMPARE(ui::chip_label(m.citations[0], QStringLiteral("lease.pdf")), QStringLiteral("✓ 1 · p. 2"));
    QCOMPARE(ui::chip_label(m.citations[1], QStringLiteral("other.pdf")), QStringLiteral("↪ 2 · lease p. 2"));
    QCOMPARE(ui::chip_label(m.citations[2], {}), QStringLiteral("✕ 3 · not found"));
    app::Citation code = m.citations[0];
    code.lines = {6, 7};
    QCOMPARE(ui::chip_label(code, QStringLiteral("lease.pdf")), QStringLiteral("✓ 1 · lines 6–7"));
    const QString tip = ui::chip_tooltip(m.citations[2]);
    QVERIFY(tip.contains(QStringLiteral("Not in the documents")) && tip.contains(QStringLiteral("three years")));
    app::Citation nasty = m.citations[0];
    nasty.quote = "<img src=x>";
    QVERIFY(!ui::chip_tooltip(nasty).contains(QStringLiteral("<img")));
  }

  void chips_stand_behind_their_sentences_in_the_place_of_markers() {
    ui::AnswerText text;
    text.resize(420, 100);
    text.show_message(made_up_answer());
    QCOMPARE(text.chip_count(), 3);
    const QString chip(QChar::ObjectReplacementCharacter);
    QString expected = QStringLiteral("The term is three years %1. Rent is due. %1 期限五年。 %1Nobody pays.");
    expected.replace(QStringLiteral("%1"), chip);
    QCOMPARE(text.document()->toRawText(), expected);
  }

  void a_sentence_without_support_is_underlined_and_nothing_else() {
    ui::AnswerText text;
    text.resize(420, 100);
    text.show_message(made_up_answer());
    QString underlined;
    for (QTextBlock block = text.document()->begin(); block.isValid(); block = block.next()) {
      for (auto it = block.begin(); !it.atEnd(); ++it) {
        if (it.fragment().charFormat().underlineStyle() == QTextCharFormat::DashUnderline)
          underlined += it.fragment().text();
      }
    }
    QCOMPARE(underlined, QStringLiteral("Nobody pays."));
  }

  void a_click_on_a_chip_names_its_citation() {
    ui::AnswerText text;
    text.resize(420, 100);
    text.show();
    text.show_message(made_up_answer());
    QVERIFY(QTest::qWaitForWindowExposed(&text));
    QSignalSpy clicked(&text, &ui::AnswerText::citation_clicked);
    const QRectF chip = text.chip_rect(1);
    QVERIFY(!chip.isEmpty());
    QTest::mouseClick(text.viewport(), Qt::LeftButton, {}, chip.center().toPoint());
    QCOMPARE(clicked.count(), 1);
    QCOMPARE(clicked.first().at(0).toInt(), 1);
  }

  void the_lines_under_an_answer_count_and_say() {
    ui::AnswerView view;
    view.resize(420, 600);
    app::Message m = made_up_answer();
    m.report->coverage.pages = 73;
    m.report->coverage.pages_given = 71;
    m.report->coverage.tokens = 47180;
    m.report->coverage.given_tokens = 47180;
    m.report->coverage.pages_without_text = {{"lease.pdf", 44}, {"lease.pdf", 45}};
    m.report->usage.reused_tokens = 47221;
    m.report->usage.computed_tokens = 38;
    m.report->timing.first_token_s = 0.34;
    view.show_message(m);
    QCOMPARE(view.findChild<QLabel*>(QStringLiteral("answer_coverage"))->text(),
             QStringLiteral("Read 71 of 73 pages · 47,180 tokens · nothing dropped · without text (scan): p. 44–45"));
    QCOMPARE(view.findChild<QLabel*>(QStringLiteral("answer_cost"))->text(),
             QStringLiteral("47,221 tokens kept, 38 read · first word after 0.3 s"));
    m.report->usage.reused_tokens = 32'340;
    m.report->usage.loaded_tokens = 180'000;
    m.report->usage.computed_tokens = 24;
    QVERIFY(
        ui::cost_words(*m.report).startsWith(QStringLiteral("212,340 tokens kept (180,000 from disk), 24 read · ")));
    m.report->usage.reused_tokens = m.report->usage.loaded_tokens = 0;
    m.report->usage.miss_reasons = {inference::MissReason::first_read, inference::MissReason::build_changed};
    QVERIFY(ui::cost_words(*m.report).startsWith(QStringLiteral("24 tokens read, because Lectern was updated · ")));
    const QString counts = view.findChild<QLabel*>(QStringLiteral("answer_counts"))->text();
    QVERIFY(counts.contains(QStringLiteral("1 verified")) && counts.contains(QStringLiteral("1 found elsewhere")) &&
            counts.contains(QStringLiteral("1 not in the documents")));
    QVERIFY(
        view.findChild<QLabel*>(QStringLiteral("answer_unsupported"))->text().contains(QStringLiteral("1 sentence,")));
    QVERIFY(view.findChild<QWidget*>(QStringLiteral("passage_3")));
    QVERIFY(!view.findChild<QWidget*>(QStringLiteral("passage_0")));
    m.report->coverage.pages_omitted = 2;
    m.report->coverage.dropped_tokens = 900;
    QVERIFY(ui::coverage_words(m.report->coverage).contains(QStringLiteral("900 tokens left out")));
  }

  void a_failed_answer_says_why_and_can_be_tried_again() {
    ui::AnswerView view;
    app::Message m;
    m.id = 5;
    m.role = inference::Role::assistant;
    m.state = app::MessageState::failed;
    m.problem = "model.gguf: the file ends early; fetch it again.";
    view.show_message(m);
    QVERIFY(view.findChild<QWidget*>(QStringLiteral("notice"))->isVisibleTo(&view));
    QCOMPARE(view.findChild<QLabel*>(QStringLiteral("answer_problem"))->text(), QString::fromStdString(m.problem));
  }

  void a_copy_carries_its_sources() {
    const QString copy = ui::with_sources(made_up_answer());
    QVERIFY(copy.startsWith(QStringLiteral("The term is three years [1:2] [1]. Rent is due. [2]")));
    QVERIFY(copy.contains(QStringLiteral("[1] lease.pdf, p. 2: “three years”")));
    QVERIFY(copy.contains(QStringLiteral("[3] not in the documents: “three years”")));
  }

  void enter_sends_and_shift_enter_breaks_the_line() {
    ui::QuestionBox box;
    QSignalSpy asked(&box, &ui::QuestionBox::ask_requested);
    QTest::keyClicks(&box.edit(), QStringLiteral("one"));
    QTest::keyClick(&box.edit(), Qt::Key_Return, Qt::ShiftModifier);
    QTest::keyClicks(&box.edit(), QStringLiteral("two"));
    QCOMPARE(asked.count(), 0);
    QTest::keyClick(&box.edit(), Qt::Key_Return);
    QCOMPARE(asked.count(), 1);
    QCOMPARE(asked.first().at(0).toString(), QStringLiteral("one\ntwo"));
    QTest::keyClick(&box.edit(), Qt::Key_Enter, Qt::ControlModifier);
    QCOMPARE(asked.count(), 2);
    box.edit().setPlainText(QStringLiteral("  \n "));
    QTest::keyClick(&box.edit(), Qt::Key_Return);
    QCOMPARE(asked.count(), 2);
  }

  void enter_never_sends_while_the_input_method_composes() {
    ui::QuestionBox box;
    QSignalSpy asked(&box, &ui::QuestionBox::ask_requested);
    box.edit().setPlainText(QStringLiteral("期限"));
    QInputMethodEvent composing(QStringLiteral("duo chang"), {});
    QApplication::sendEvent(&box.edit(), &composing);
    QVERIFY(box.edit().is_composing());
    QTest::keyClick(&box.edit(), Qt::Key_Return);
    QTest::keyClick(&box.edit(), Qt::Key_Return, Qt::ControlModifier);
    QCOMPARE(asked.count(), 0);
    QInputMethodEvent committed;
    committed.setCommitString(QStringLiteral("多长"));
    QApplication::sendEvent(&box.edit(), &committed);
    QVERIFY(!box.edit().is_composing());
    QTest::keyClick(&box.edit(), Qt::Key_Return);
    QCOMPARE(asked.count(), 1);
    QVERIFY(asked.first().at(0).toString().contains(QStringLiteral("多长")));
  }

  void stop_takes_the_place_of_ask() {
    ui::QuestionBox box;
    box.show();
    QSignalSpy stopped(&box, &ui::QuestionBox::stop_requested);
    auto* ask = box.findChild<QPushButton*>(QStringLiteral("ask"));
    auto* stop = box.findChild<QPushButton*>(QStringLiteral("stop"));
    QVERIFY(ask->isVisible() && !stop->isVisible());
    box.set_busy(true);
    QVERIFY(!ask->isVisible() && stop->isVisible());
    QTest::mouseClick(stop, Qt::LeftButton);
    QCOMPARE(stopped.count(), 1);
    QSignalSpy asked(&box, &ui::QuestionBox::ask_requested);
    box.edit().setPlainText(QStringLiteral("again"));
    QTest::keyClick(&box.edit(), Qt::Key_Return);
    QCOMPARE(asked.count(), 0);
  }

  void up_in_the_empty_box_asks_for_the_last_question() {
    ui::QuestionBox box;
    QSignalSpy edit(&box, &ui::QuestionBox::edit_last_requested);
    QTest::keyClick(&box.edit(), Qt::Key_Up);
    QCOMPARE(edit.count(), 1);
    box.edit().setPlainText(QStringLiteral("text"));
    QTest::keyClick(&box.edit(), Qt::Key_Up);
    QCOMPARE(edit.count(), 1);
  }
};

std::unique_ptr<QObject> conversation_test() {
  return std::make_unique<ConversationTest>();
}

}  // namespace lectern::testing

#include "conversation_test.moc"

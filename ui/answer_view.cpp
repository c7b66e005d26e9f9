// Order under the text as look.md has it: counts of the three states, sentences without support, coverage, cost,
// passages, actions. Lines that have nothing to say are not there.
#include "ui/answer_view.h"

#include <QApplication>
#include <QClipboard>
#include <QEvent>
#include <QFrame>
#include <QHBoxLayout>
#include <QLabel>
#include <QProgressBar>
#include <QPushButton>
#include <QToolButton>
#include <QVBoxLayout>

#include "ui/answer_text.h"
#include "ui/library_model.h"
#include "ui/passage_row.h"
#include "ui/report_words.h"
#include "ui/theme.h"

namespace lectern::ui {

namespace {

QLabel* line(QWidget* parent, const char* object, const char* role) {
  auto* label = new QLabel(parent);
  label->setObjectName(QLatin1String(object));
  label->setProperty("role", QLatin1String(role));
  label->setWordWrap(true);
  label->setTextFormat(Qt::PlainText);
  label->setTextInteractionFlags(Qt::TextSelectableByMouse);
  label->setFont(interface_font(12));
  label->hide();
  return label;
}

}  // namespace

AnswerView::AnswerView(QWidget* parent)
    : QWidget(parent),
      progress_(line(this, "answer_progress", "secondary")),
      bar_(new QProgressBar(this)),
      text_(new AnswerText(this)),
      notice_(new QFrame(this)),
      problem_(new QLabel(notice_)),
      retry_(new QToolButton(notice_)),
      footer_(new QWidget(this)),
      counts_(line(footer_, "answer_counts", "secondary")),
      unsupported_(line(footer_, "answer_unsupported", "secondary")),
      ending_(line(footer_, "answer_ending", "secondary")),
      coverage_(line(footer_, "answer_coverage", "secondary")),
      cost_(line(footer_, "answer_cost", "secondary")),
      passages_title_(line(footer_, "passages_title", "section")),
      passages_(new QVBoxLayout),
      actions_(new QWidget(footer_)) {
  setObjectName(QStringLiteral("answer_view"));
  counts_->setTextFormat(Qt::RichText);
  bar_->setTextVisible(false);
  bar_->setRange(0, 1000);
  bar_->setFixedHeight(3);
  bar_->setAccessibleName(tr("Reading"));
  bar_->hide();
  passages_title_->setText(tr("Passages that bear on the question"));
  passages_title_->setFont(interface_font(11, QFont::DemiBold));

  notice_->setObjectName(QStringLiteral("notice"));
  notice_->hide();
  problem_->setObjectName(QStringLiteral("answer_problem"));
  problem_->setProperty("role", QStringLiteral("problem"));
  problem_->setWordWrap(true);
  problem_->setTextFormat(Qt::PlainText);
  retry_->setText(tr("Try again"));
  retry_->setAccessibleName(tr("Try again"));
  auto* notice = new QHBoxLayout(notice_);
  notice->setContentsMargins(12, 8, 8, 8);
  notice->addWidget(problem_, 1);
  notice->addWidget(retry_, 0, Qt::AlignVCenter);

  auto* hairline = new QFrame(footer_);
  hairline->setObjectName(QStringLiteral("hairline"));
  hairline->setFixedHeight(1);
  auto* actions = new QHBoxLayout(actions_);
  actions->setContentsMargins(0, 2, 0, 0);
  actions->setSpacing(14);
  QPushButton* copy = action(tr("Copy with sources"), tr("Copy the answer with the list of its places"));
  QPushButton* again = action(tr("Regenerate"), tr("Answer the same question again; this answer stays as a branch"));
  QPushButton* edit = action(tr("Edit question"), tr("Change the question and ask again (Up in the empty box)"));
  for (QPushButton* button : {copy, again, edit}) actions->addWidget(button);
  actions->addStretch();

  passages_->setSpacing(4);
  passages_->setContentsMargins(0, 0, 0, 0);
  auto* footer = new QVBoxLayout(footer_);
  footer->setContentsMargins(0, 6, 0, 0);
  footer->setSpacing(4);
  footer->addWidget(hairline);
  footer->addSpacing(2);
  for (QLabel* label : {counts_, unsupported_, ending_}) footer->addWidget(label);
  footer->addSpacing(4);
  footer->addWidget(passages_title_);
  footer->addLayout(passages_);
  footer->addSpacing(2);
  for (QLabel* label : {coverage_, cost_}) footer->addWidget(label);
  footer->addWidget(actions_);
  footer_->hide();

  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(6);
  layout->addWidget(progress_);
  layout->addWidget(bar_);
  layout->addWidget(text_);
  layout->addWidget(notice_);
  layout->addWidget(footer_);

  connect(text_, &AnswerText::citation_clicked, this, &AnswerView::citation_clicked);
  connect(retry_, &QToolButton::clicked, this, &AnswerView::regenerate_requested);
  connect(again, &QPushButton::clicked, this, &AnswerView::regenerate_requested);
  connect(edit, &QPushButton::clicked, this, &AnswerView::edit_requested);
  connect(copy, &QPushButton::clicked, this, [this] { QApplication::clipboard()->setText(with_sources(message_)); });
}

QPushButton* AnswerView::action(const QString& text, const QString& tip) {
  auto* button = new QPushButton(actions_);
  button->setText(text);
  button->setToolTip(tip);
  button->setAccessibleName(text);
  button->setProperty("role", QStringLiteral("link"));
  button->setFont(interface_font(12));
  return button;
}

void AnswerView::show_reading(std::int64_t read, std::int64_t total, double seconds_left) {
  QString sentence = total > 0 ? tr("Reading %1 of %2 tokens").arg(grouped(read), grouped(total)) : tr("Reading…");
  if (seconds_left >= 0) sentence += QStringLiteral(" · ") + tr("%1 left").arg(duration_words(seconds_left));
  show_waiting(sentence);
  bar_->setValue(total > 0 ? static_cast<int>(1000 * read / total) : 0);
  bar_->setVisible(total > 0);
}

void AnswerView::show_waiting(const QString& sentence) {
  progress_->setText(sentence);
  progress_->setVisible(!sentence.isEmpty());
  bar_->hide();
}

void AnswerView::append_text(const QString& text) {
  show_waiting({});
  text_->show();
  text_->append_text(text);
}

void AnswerView::show_message(const app::Message& message) {
  message_ = message;
  show_waiting({});
  text_->show_message(message);
  text_->setVisible(!message.text.empty());
  const bool failed = message.state == app::MessageState::failed;
  notice_->setVisible(failed);
  if (failed) {
    problem_->setText(message.problem.empty() ? tr("The answer failed.") : QString::fromStdString(message.problem));
  }
  if (message.state == app::MessageState::partial) {
    if (message.text.empty()) show_waiting(tr("Answering…"));
    footer_->hide();
    return;
  }
  show_counts();
  const QString ending = ending_words(message);
  ending_->setText(ending);
  ending_->setVisible(!ending.isEmpty());
  const QString coverage = message.report ? coverage_words(message.report->coverage) : QString();
  coverage_->setText(coverage);
  coverage_->setVisible(!coverage.isEmpty());
  cost_->setText(message.report ? cost_words(*message.report) : QString());
  cost_->setVisible(message.report.has_value());
  show_passages();
  footer_->setVisible(!failed || message.report);
}

void AnswerView::show_counts() {
  const Theme& theme = Theme::current();
  const CitationCounts counts = count_citations(message_.citations);
  QStringList parts;
  const auto add = [&parts](const QString& sign, const QColor& colour, const QString& words) {
    parts << QStringLiteral("<span style='color:%1;font-weight:600'>%2 %3</span>")
                 .arg(colour.name(), sign, words.toHtmlEscaped());
  };
  if (counts.verified > 0) add(QStringLiteral("✓"), theme.verified, tr("%n verified", nullptr, counts.verified));
  if (counts.elsewhere > 0)
    add(QStringLiteral("↪"), theme.elsewhere, tr("%n found elsewhere", nullptr, counts.elsewhere));
  if (counts.absent > 0) add(QStringLiteral("✕"), theme.absent, tr("%n not in the documents", nullptr, counts.absent));
  counts_->setText(parts.join(QStringLiteral("&nbsp;&nbsp; ")));
  counts_->setVisible(!parts.isEmpty());
  const int unsupported = message_.report ? static_cast<int>(message_.report->unsupported.size()) : 0;
  unsupported_->setTextFormat(Qt::RichText);
  unsupported_->setText(
      QStringLiteral("<span style='color:%1;font-weight:600'>! %2</span>")
          .arg(
              theme.elsewhere.name(),
              tr("Not supported by the text: %n sentence(s), underlined above", nullptr, unsupported).toHtmlEscaped()));
  unsupported_->setVisible(unsupported > 0);
}

void AnswerView::show_passages() {
  qDeleteAll(passage_rows_);
  passage_rows_.clear();
  for (std::size_t i = 0; i < message_.citations.size(); ++i) {
    if (message_.citations[i].answer_end >= 0) continue;
    auto* row = new PassageRow(message_.citations[i], footer_);
    row->setObjectName(QStringLiteral("passage_%1").arg(i));
    connect(row, &PassageRow::clicked, this, [this, i] { Q_EMIT citation_clicked(static_cast<int>(i)); });
    passages_->addWidget(row);
    row->show();
    passage_rows_.push_back(row);
  }
  passages_title_->setVisible(!passage_rows_.empty());
}

void AnswerView::set_pressed(int citation) {
  text_->set_pressed(citation);
  for (PassageRow* row : passage_rows_)
    row->set_pressed(row->objectName() == QStringLiteral("passage_%1").arg(citation));
}

void AnswerView::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() == QEvent::PaletteChange && message_.id != 0) show_counts();
}

}  // namespace lectern::ui

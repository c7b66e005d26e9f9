// The view follows the end of the stream only while the end is in sight: whether it was is noted when the person
// scrolls, and applied when the content grows, so that growth itself never counts as scrolling.
#include "ui/conversation_pane.h"

#include <QEvent>
#include <QFrame>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QScrollArea>
#include <QScrollBar>
#include <QStyle>
#include <QToolButton>
#include <QVBoxLayout>

#include "ui/answer_text.h"
#include "ui/answer_view.h"
#include "ui/conversation_model.h"
#include "ui/elided_label.h"
#include "ui/question_box.h"
#include "ui/theme.h"

namespace lectern::ui {

namespace {

constexpr int margin_px = 20;

/// The own question at the right, as wide as its text up to most of the column.
class QuestionBubble : public QWidget {
 public:
  QuestionBubble(const QString& text, QWidget* parent)
      : QWidget(parent), frame_(new QFrame(this)), label_(new QLabel(text, frame_)) {
    setAccessibleName(ConversationPane::tr("Question: %1").arg(text));
    frame_->setObjectName(QStringLiteral("question_bubble"));
    label_->setWordWrap(true);
    label_->setTextFormat(Qt::PlainText);
    label_->setTextInteractionFlags(Qt::TextSelectableByMouse);
    label_->setFont(interface_font(14));
    auto* inner = new QHBoxLayout(frame_);
    inner->setContentsMargins(13, 9, 13, 10);
    inner->addWidget(label_);
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addStretch(1);
    layout->addWidget(frame_);
  }

  void fit(int available) {
    const int most = std::max(120, available * 86 / 100 - 26);
    const QRect needed =
        label_->fontMetrics().boundingRect(QRect(0, 0, most, 100000), Qt::TextWordWrap, label_->text());
    label_->setFixedWidth(std::min(most, needed.width() + 4));
    label_->setFixedHeight(label_->heightForWidth(label_->width()));
  }

 private:
  QFrame* frame_;
  QLabel* label_;
};

}  // namespace

ConversationPane::ConversationPane(QWidget* parent)
    : QWidget(parent),
      model_(new ConversationModel(this)),
      title_(new ElidedLabel(this)),
      export_(new QToolButton(this)),
      places_(new QWidget(this)),
      earlier_(new QToolButton(places_)),
      later_(new QToolButton(places_)),
      place_(new QLabel(places_)),
      scroll_(new QScrollArea(this)),
      messages_(new QWidget),
      column_(new QVBoxLayout(messages_)),
      hint_(new QLabel(messages_)),
      waiting_(new QLabel(messages_)),
      notice_(new QFrame(this)),
      notice_text_(new QLabel(notice_)),
      notice_button_(new QPushButton(notice_)),
      box_(new QuestionBox(this)) {
  setObjectName(QStringLiteral("conversation_pane"));
  setAttribute(Qt::WA_StyledBackground);
  setAccessibleName(tr("Conversation"));

  auto* bar = new QWidget(this);
  bar->setObjectName(QStringLiteral("conversation_bar"));
  bar->setAttribute(Qt::WA_StyledBackground);
  bar->setFixedHeight(40);
  title_->setObjectName(QStringLiteral("title"));
  export_->setObjectName(QStringLiteral("export"));
  export_->setText(tr("Export"));
  export_->setAccessibleName(tr("Export"));
  export_->setToolTip(tr("Save this session as Markdown, HTML or JSON"));
  places_->setObjectName(QStringLiteral("conversation_places"));
  earlier_->setObjectName(QStringLiteral("earlier_conversation"));
  earlier_->setText(QStringLiteral("‹"));
  earlier_->setAccessibleName(tr("Earlier conversation"));
  later_->setObjectName(QStringLiteral("later_conversation"));
  later_->setText(QStringLiteral("›"));
  later_->setAccessibleName(tr("Later conversation"));
  for (QToolButton* button : {earlier_, later_}) {
    button->setFont(interface_font(17));
    button->setToolTip(tr("Conversations of this session that start from the documents beside each other"));
  }
  place_->setObjectName(QStringLiteral("conversation_place"));
  place_->setProperty("role", QStringLiteral("secondary"));
  place_->setFont(interface_font(12));
  auto* places = new QHBoxLayout(places_);
  places->setContentsMargins(0, 0, 0, 0);
  places->setSpacing(2);
  places->addWidget(earlier_);
  places->addWidget(place_);
  places->addWidget(later_);
  places_->hide();
  connect(earlier_, &QToolButton::clicked, this, [this] { Q_EMIT neighbour_requested(-1); });
  connect(later_, &QToolButton::clicked, this, [this] { Q_EMIT neighbour_requested(1); });
  auto* bar_layout = new QHBoxLayout(bar);
  bar_layout->setContentsMargins(14, 0, 10, 0);
  bar_layout->addWidget(title_, 1);
  bar_layout->addWidget(places_);
  bar_layout->addWidget(export_);

  messages_->setObjectName(QStringLiteral("messages"));
  column_->setContentsMargins(margin_px, 16, margin_px, 16);
  column_->setSpacing(14);
  hint_->setWordWrap(true);
  hint_->setAlignment(Qt::AlignCenter);
  hint_->setProperty("role", QStringLiteral("secondary"));
  hint_->setText(tr("Ask about the documents that have a tick. Every answer shows the places it rests on."));
  waiting_->setObjectName(QStringLiteral("waiting_line"));
  waiting_->setProperty("role", QStringLiteral("secondary"));
  waiting_->setWordWrap(true);
  waiting_->setFont(interface_font(12));
  waiting_->hide();
  column_->addStretch(1);
  column_->addWidget(hint_);
  column_->addWidget(waiting_);
  column_->addStretch(1);
  scroll_->setObjectName(QStringLiteral("messages_area"));
  scroll_->setWidget(messages_);
  scroll_->setWidgetResizable(true);
  scroll_->setFrameShape(QFrame::NoFrame);
  scroll_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  scroll_->viewport()->installEventFilter(this);

  notice_->setObjectName(QStringLiteral("notice"));
  notice_text_->setObjectName(QStringLiteral("notice_text"));
  notice_text_->setWordWrap(true);
  notice_text_->setProperty("role", QStringLiteral("problem"));
  notice_button_->setObjectName(QStringLiteral("notice_button"));
  notice_button_->setAccessibleName(tr("Choose a model"));
  auto* notice_layout = new QHBoxLayout(notice_);
  notice_layout->setContentsMargins(12, 6, 6, 6);
  notice_layout->addWidget(notice_text_, 1);
  notice_layout->addWidget(notice_button_);
  notice_->hide();
  auto* notice_margin = new QHBoxLayout;
  notice_margin->setContentsMargins(14, 4, 14, 2);
  notice_margin->addWidget(notice_);

  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(bar);
  layout->addWidget(scroll_, 1);
  layout->addLayout(notice_margin);
  layout->addWidget(box_);

  connect(model_, &QAbstractItemModel::modelReset, this, &ConversationPane::rebuild);
  connect(model_, &QAbstractItemModel::rowsInserted, this, [this](const QModelIndex&, int first, int last) {
    for (int row = first; row <= last; ++row) add_row(row);
    show_hint();
  });
  connect(model_, &QAbstractItemModel::dataChanged, this, [this](const QModelIndex& first, const QModelIndex& last) {
    for (int row = first.row(); row <= last.row(); ++row) update_row(row);
  });
  connect(model_, &ConversationModel::text_appended, this, [this](int row, const QString& text) {
    if (AnswerView* view = answer(row)) view->append_text(text);
  });
  connect(export_, &QToolButton::clicked, this, &ConversationPane::export_requested);
  connect(notice_button_, &QPushButton::clicked, this, &ConversationPane::notice_action);
  connect(box_, &QuestionBox::edit_last_requested, this, [this] {
    if (model_->last_question() >= 0) edit_question(model_->last_question());
  });
  QScrollBar* bar_of = scroll_->verticalScrollBar();
  connect(bar_of, &QScrollBar::valueChanged, this,
          [this, bar_of](int value) { follow_ = value >= bar_of->maximum() - 24; });
  connect(bar_of, &QScrollBar::rangeChanged, this, [this, bar_of](int, int maximum) {
    // The bar takes its width from the margin, so that no line is broken anew when it comes.
    const int right = maximum > 0 ? margin_px - bar_of->sizeHint().width() : margin_px;
    if (column_->contentsMargins().right() != right) column_->setContentsMargins(margin_px, 16, right, 16);
    if (follow_) bar_of->setValue(maximum);
  });
  set_title({});
  show_hint();
}

void ConversationPane::set_title(const QString& title) {
  title_->set_text(title.isEmpty() ? tr("New session") : title);
}

void ConversationPane::set_exportable(bool exportable) {
  export_->setVisible(exportable);
}

void ConversationPane::set_place(int place, int count) {
  place_->setText(tr("%1 of %2").arg(place).arg(count));
  earlier_->setEnabled(place > 1);
  later_->setEnabled(place < count);
  places_->setVisible(count > 1 && place > 0);
}

void ConversationPane::show_notice(const QString& sentence, const QString& action, Notice kind) {
  notice_->setProperty("calm", kind == Notice::calm ? QStringLiteral("true") : QStringLiteral("false"));
  notice_text_->setProperty("role", kind == Notice::calm ? QString() : QStringLiteral("problem"));
  for (QWidget* widget : {static_cast<QWidget*>(notice_), static_cast<QWidget*>(notice_text_)}) {
    widget->style()->unpolish(widget);
    widget->style()->polish(widget);
  }
  notice_text_->setText(sentence);
  notice_button_->setText(action);
  if (!action.isEmpty()) notice_button_->setAccessibleName(action);
  notice_button_->setVisible(!action.isEmpty());
  notice_->setVisible(!sentence.isEmpty());
}

void ConversationPane::show_reading(std::int64_t read, std::int64_t total, double seconds_left) {
  if (AnswerView* view = last_answer(); view && model_->is_answering()) view->show_reading(read, total, seconds_left);
}

void ConversationPane::show_waiting(const QString& sentence) {
  waiting_->setText(sentence);
  waiting_->setVisible(!sentence.isEmpty());
}

void ConversationPane::show_hint() {
  hint_->setVisible(model_->rowCount() == 0);
}

void ConversationPane::rebuild() {
  for (QWidget* row : rows_) {
    column_->removeWidget(row);
    row->hide();
    row->deleteLater();  // the click that asked for this may still be inside it
  }
  rows_.clear();
  follow_ = true;
  editing_row_ = -1;
  box_->set_editing(false);
  for (int row = 0; row < model_->rowCount(); ++row) add_row(row);
  show_hint();
}

void ConversationPane::add_row(int row) {
  const app::Message& message = model_->message(row);
  QWidget* widget = nullptr;
  if (message.role == inference::Role::user) {
    auto* bubble = new QuestionBubble(QString::fromStdString(message.text), messages_);
    bubble->fit(scroll_->width() - 2 * margin_px);
    widget = bubble;
  } else {
    auto* view = new AnswerView(messages_);
    view->show_message(message);
    connect(view, &AnswerView::citation_clicked, this, [this, view](int citation) {
      const auto index = static_cast<std::size_t>(citation);
      if (citation < 0 || index >= view->message().citations.size()) return;
      set_pressed(model_->row_of(view->message().id), citation);
      Q_EMIT citation_opened(view->message().citations[index], view->message().citations);
    });
    connect(view, &AnswerView::regenerate_requested, this,
            [this, view] { Q_EMIT regenerate_requested(view->message().id); });
    connect(view, &AnswerView::edit_requested, this, [this, view] {
      const int answer_row = model_->row_of(view->message().id);
      for (int at = answer_row - 1; at >= 0; --at) {
        if (model_->message(at).role == inference::Role::user) return edit_question(at);
      }
    });
    widget = view;
  }
  // Before the waiting line and the stretch at the end; the first stretch is only there while nothing is.
  column_->insertWidget(column_->indexOf(waiting_), widget);
  widget->show();
  rows_.push_back(widget);
  column_->setStretch(0, 0);
}

void ConversationPane::update_row(int row) {
  AnswerView* view = answer(row);
  if (view) view->show_message(model_->message(row));
}

AnswerView* ConversationPane::answer(int row) const {
  return row >= 0 && row < static_cast<int>(rows_.size())
             ? qobject_cast<AnswerView*>(rows_[static_cast<std::size_t>(row)])
             : nullptr;
}

AnswerView* ConversationPane::last_answer() const {
  for (int row = static_cast<int>(rows_.size()) - 1; row >= 0; --row) {
    if (AnswerView* view = answer(row)) return view;
  }
  return nullptr;
}

void ConversationPane::set_pressed(int row, int citation) {
  for (int at = 0; at < static_cast<int>(rows_.size()); ++at) {
    if (AnswerView* view = answer(at)) view->set_pressed(at == row ? citation : -1);
  }
}

void ConversationPane::scroll_to_end() {
  follow_ = true;
  scroll_->verticalScrollBar()->setValue(scroll_->verticalScrollBar()->maximum());
}

void ConversationPane::edit_question(int row) {
  if (box_->is_busy() || row < 0) return;
  editing_row_ = row;
  box_->set_text(QString::fromStdString(model_->message(row).text));
  box_->set_editing(true);
}

void ConversationPane::leave_editing() {
  if (editing_row_ < 0) return;
  editing_row_ = -1;
  box_->set_editing(false);
}

void ConversationPane::fit_bubbles() {
  for (QWidget* row : rows_) {
    if (auto* bubble = dynamic_cast<QuestionBubble*>(row)) bubble->fit(scroll_->width() - 2 * margin_px);
  }
}

bool ConversationPane::eventFilter(QObject* watched, QEvent* event) {
  if (watched == scroll_->viewport() && event->type() == QEvent::Resize) fit_bubbles();
  return QWidget::eventFilter(watched, event);
}

}  // namespace lectern::ui

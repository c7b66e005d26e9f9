// An input method says that it composes by a preedit string; some platforms still deliver the Enter that ends it as a
// key, and a question in half-typed Pinyin must never be sent by it.
#include "ui/question_box.h"

#include <QHBoxLayout>
#include <QKeyEvent>
#include <QLabel>
#include <QMimeData>
#include <QPushButton>
#include <QStyle>
#include <QToolButton>
#include <QUrl>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "ui/theme.h"

namespace lectern::ui {

QuestionEdit::QuestionEdit(QWidget* parent) : QTextEdit(parent) {
  setObjectName(QStringLiteral("question_edit"));
  setAccessibleName(tr("Question"));
  setAcceptRichText(false);
  setAcceptDrops(false);  // the window takes files dropped anywhere
  setTabChangesFocus(true);
  setFrameShape(QFrame::NoFrame);
  setFont(interface_font(14));
  setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  viewport()->setAutoFillBackground(false);
  document()->setDocumentMargin(2);
}

void QuestionEdit::keyPressEvent(QKeyEvent* event) {
  const bool enter = event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter;
  if (enter && composing_) {
    event->accept();
    return;
  }
  if (enter && event->modifiers() & Qt::ControlModifier) {
    Q_EMIT send_from_documents_requested();
    return;
  }
  if (enter && event->modifiers() & Qt::ShiftModifier) {
    textCursor().insertBlock();
    ensureCursorVisible();
    return;
  }
  if (enter) {
    Q_EMIT send_requested();
    return;
  }
  if (event->key() == Qt::Key_Up && document()->isEmpty() && !composing_) {
    Q_EMIT edit_last_requested();
    return;
  }
  QTextEdit::keyPressEvent(event);
}

void QuestionEdit::inputMethodEvent(QInputMethodEvent* event) {
  composing_ = !event->preeditString().isEmpty();
  QTextEdit::inputMethodEvent(event);
}

void QuestionEdit::focusInEvent(QFocusEvent* event) {
  QTextEdit::focusInEvent(event);
  Q_EMIT focus_changed(true);
}

void QuestionEdit::focusOutEvent(QFocusEvent* event) {
  composing_ = false;
  QTextEdit::focusOutEvent(event);
  Q_EMIT focus_changed(false);
}

bool QuestionEdit::canInsertFromMimeData(const QMimeData* source) const {
  return source->hasUrls() || QTextEdit::canInsertFromMimeData(source);
}

void QuestionEdit::insertFromMimeData(const QMimeData* source) {
  QStringList paths;
  for (const QUrl& url : source->urls()) {
    if (url.isLocalFile()) paths << url.toLocalFile();
  }
  if (!paths.isEmpty())
    Q_EMIT files_pasted(paths);
  else
    QTextEdit::insertFromMimeData(source);
}

QuestionBox::QuestionBox(QWidget* parent)
    : QFrame(parent),
      frame_(new QFrame(this)),
      edit_(new QuestionEdit(frame_)),
      choice_(new QWidget(frame_)),
      continue_(new QToolButton(choice_)),
      documents_(new QToolButton(choice_)),
      dot_(new QLabel(frame_)),
      ready_(new QLabel(frame_)),
      hint_(new QLabel(tr("Enter sends"), frame_)),
      ask_(new QPushButton(tr("Ask"), frame_)),
      stop_(new QPushButton(tr("Stop"), frame_)) {
  frame_->setObjectName(QStringLiteral("question_frame"));
  frame_->setProperty("focused", QStringLiteral("false"));
  ready_->setObjectName(QStringLiteral("ready_line"));
  ready_->setFont(interface_font(12));
  ready_->setProperty("role", QStringLiteral("secondary"));
  ready_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  ready_->setWordWrap(true);
  hint_->setFont(interface_font(12));
  hint_->setProperty("role", QStringLiteral("secondary"));
  dot_->setFixedWidth(12);
  ask_->setObjectName(QStringLiteral("ask"));
  ask_->setAccessibleName(tr("Ask"));
  ask_->setProperty("role", QStringLiteral("primary"));
  stop_->setObjectName(QStringLiteral("stop"));
  stop_->setAccessibleName(tr("Stop"));
  stop_->setToolTip(tr("Stop and keep what was done (Esc)"));
  stop_->hide();

  choice_->setObjectName(QStringLiteral("ask_from"));
  continue_->setObjectName(QStringLiteral("ask_continue"));
  continue_->setText(tr("Continue the conversation"));
  documents_->setObjectName(QStringLiteral("ask_documents"));
  documents_->setText(tr("Ask from the documents"));
  auto* choice = new QHBoxLayout(choice_);
  choice->setContentsMargins(0, 0, 0, 0);
  choice->setSpacing(4);
  for (QToolButton* button : {continue_, documents_}) {
    button->setAccessibleName(button->text());
    button->setProperty("role", QStringLiteral("segment"));
    button->setCheckable(true);
    button->setAutoExclusive(true);
    button->setFocusPolicy(Qt::StrongFocus);
    button->setFont(interface_font(12));
    choice->addWidget(button);
  }
  choice->addStretch(1);
  continue_->setChecked(true);
  choice_->setMinimumWidth(1);  // it shortens its names rather than hold the pane wide
  choice_->hide();
  set_costs({}, {});

  auto* bottom = new QHBoxLayout;
  bottom->setSpacing(6);
  bottom->addWidget(dot_);
  bottom->addWidget(ready_, 1);
  bottom->addWidget(hint_);
  bottom->addSpacing(4);
  bottom->addWidget(ask_);
  bottom->addWidget(stop_);
  auto* inner = new QVBoxLayout(frame_);
  inner->setContentsMargins(12, 10, 12, 10);
  inner->setSpacing(8);
  inner->addWidget(edit_);
  inner->addWidget(choice_);
  inner->addLayout(bottom);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(14, 6, 14, 12);
  layout->addWidget(frame_);

  connect(edit_, &QuestionEdit::send_requested, this, [this] { send(from_); });
  connect(edit_, &QuestionEdit::send_from_documents_requested, this, [this] { send(From::documents); });
  connect(continue_, &QToolButton::clicked, this, [this] { choose(From::conversation); });
  connect(documents_, &QToolButton::clicked, this, [this] { choose(From::documents); });
  connect(edit_, &QuestionEdit::edit_last_requested, this, &QuestionBox::edit_last_requested);
  connect(edit_, &QuestionEdit::files_pasted, this, &QuestionBox::files_pasted);
  connect(edit_, &QuestionEdit::focus_changed, this, [this](bool focused) {
    frame_->setProperty("focused", focused ? QStringLiteral("true") : QStringLiteral("false"));
    frame_->style()->unpolish(frame_);
    frame_->style()->polish(frame_);
  });
  connect(edit_->document(), &QTextDocument::contentsChanged, this, &QuestionBox::fit);
  connect(ask_, &QPushButton::clicked, this, [this] { send(from_); });
  connect(stop_, &QPushButton::clicked, this, &QuestionBox::stop_requested);
  set_document_count(0);
  fit();
}

QString QuestionBox::text() const {
  return edit_->toPlainText();
}

void QuestionBox::set_text(const QString& text) {
  edit_->setPlainText(text);
  edit_->moveCursor(QTextCursor::End);
  edit_->setFocus();
}

void QuestionBox::set_document_count(int count) {
  edit_->setPlaceholderText(count == 0 ? tr("Add a document, then ask about it…")
                                       : tr("Ask about %n document(s)…", nullptr, count));
}

void QuestionBox::set_ready(Ready ready, const QString& words) {
  state_ = ready;
  ready_->setText(words);
  show_ready();
  fit_words();
}

void QuestionBox::show_ready() {
  const Theme& theme = Theme::current();
  const QColor colour = state_ == Ready::ready     ? theme.verified
                        : state_ == Ready::reading ? theme.elsewhere
                                                   : theme.absent;
  dot_->setText(ready_->text().isEmpty() ? QString()
                                         : QStringLiteral("<span style='color:%1'>●</span>").arg(colour.name()));
  dot_->setFont(interface_font(9));
}

void QuestionBox::set_busy(bool busy) {
  busy_ = busy;
  // The button that has the focus must not vanish under it.
  if (busy && ask_->hasFocus()) stop_->setFocus();
  ask_->setVisible(!busy);
  stop_->setVisible(busy);
  hint_->setText(busy ? tr("Esc stops") : editing_ ? tr("Esc leaves the old question") : tr("Enter sends"));
  if (!busy && stop_->hasFocus()) edit_->setFocus();
  fit_words();
}

void QuestionBox::set_editing(bool editing) {
  editing_ = editing;
  set_busy(busy_);
}

QString QuestionBox::ready_words() const {
  return ready_->text();
}

void QuestionBox::set_conversation(bool exists) {
  // What has the focus must not vanish under it.
  if (!exists && (continue_->hasFocus() || documents_->hasFocus())) edit_->setFocus();
  choice_->setVisible(exists);
}

void QuestionBox::set_from(From from) {
  from_ = from;
  (from == From::documents ? documents_ : continue_)->setChecked(true);
}

void QuestionBox::choose(From from) {
  if (from_ == from) return;
  set_from(from);
  Q_EMIT from_changed(from);
}

void QuestionBox::set_costs(const QString& conversation, const QString& documents) {
  const auto joined = [](const QString& what, const QString& cost) {
    return cost.isEmpty() ? what : what + QLatin1Char('\n') + cost;
  };
  continue_->setToolTip(joined(tr("The question follows what was said before."), conversation));
  documents_->setToolTip(
      joined(tr("The question stands beside the conversation and knows only the documents (Ctrl+Enter)."), documents));
}

void QuestionBox::send(From from) {
  const QString question = text().trimmed();
  if (question.isEmpty() || busy_ || edit_->is_composing()) return;
  Q_EMIT ask_requested(question, from);
}

void QuestionBox::fit() {
  const int line = edit_->fontMetrics().lineSpacing();
  const int wanted = static_cast<int>(std::ceil(edit_->document()->size().height()));
  const int height = std::clamp(wanted, line + 6, 8 * line + 8);
  edit_->setVerticalScrollBarPolicy(wanted > height ? Qt::ScrollBarAsNeeded : Qt::ScrollBarAlwaysOff);
  if (edit_->height() != height || edit_->minimumHeight() != height) edit_->setFixedHeight(height);
}

/// What the ready line says comes before the hint, and the names of the two ways to ask are shortened.
void QuestionBox::fit_words() {
  const int inner = width() - 28 - 24;  // the margins of the box and of its frame
  const int beside = dot_->width() + ask_->sizeHint().width() + hint_->sizeHint().width() + 4 * 6 + 4;
  hint_->setVisible(width() > 360 &&
                    (busy_ || editing_ || ready_->fontMetrics().horizontalAdvance(ready_->text()) < inner - beside));
  const bool narrow = width() < 400;
  continue_->setText(narrow ? tr("Continue") : tr("Continue the conversation"));
  documents_->setText(narrow ? tr("From the documents") : tr("Ask from the documents"));
}

void QuestionBox::resizeEvent(QResizeEvent* event) {
  QFrame::resizeEvent(event);
  fit_words();
  fit();
}

void QuestionBox::changeEvent(QEvent* event) {
  QFrame::changeEvent(event);
  if (event->type() == QEvent::PaletteChange) show_ready();
}

}  // namespace lectern::ui

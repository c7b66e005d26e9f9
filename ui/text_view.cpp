// QPlainTextEdit lays out only the lines in sight, which keeps files of many thousand lines quick.
#include "ui/text_view.h"

#include <QPainter>
#include <QScrollBar>
#include <QTextBlock>

#include "ui/theme.h"

namespace lectern::ui {

class TextView::Gutter : public QWidget {
 public:
  explicit Gutter(TextView* view) : QWidget(view), view_(view) {}
  void paintEvent(QPaintEvent* event) override { view_->paint_gutter(event); }

 private:
  TextView* view_;
};

TextView::TextView(QWidget* parent) : QPlainTextEdit(parent), gutter_(new Gutter(this)) {
  setObjectName(QStringLiteral("text_view"));
  setAccessibleName(tr("Text of the document"));
  setReadOnly(true);
  setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
  setFrameShape(QFrame::NoFrame);
  setTabStopDistance(32);
  connect(this, &QPlainTextEdit::updateRequest, this, [this](const QRect& rect, int dy) {
    if (dy != 0)
      gutter_->scroll(0, dy);
    else
      gutter_->update(0, rect.y(), gutter_->width(), rect.height());
  });
}

void TextView::show_text(const QString& text, bool code) {
  setFont(code ? code_font(13) : interface_font(14));
  setLineWrapMode(code ? QPlainTextEdit::NoWrap : QPlainTextEdit::WidgetWidth);
  lines_.clear();
  setPlainText(text);
  document()->setDocumentMargin(12);
  setViewportMargins(gutter_width(), 0, 0, 0);
  apply_highlights();
}

void TextView::set_highlights(std::vector<Lines> lines) {
  lines_ = std::move(lines);
  apply_highlights();
}

void TextView::apply_highlights() {
  const Theme& theme = Theme::current();
  QList<QTextEdit::ExtraSelection> selections;
  for (const Lines& lines : lines_) {
    for (int line = lines.first; line <= lines.last && line - lines.first < 500; ++line) {
      const QTextBlock block = document()->findBlockByNumber(line - 1);
      if (!block.isValid()) break;
      QTextEdit::ExtraSelection selection;
      selection.cursor = QTextCursor(block);
      QColor fill = lines.found ? theme.accent_tint : theme.dark ? QColor(0x4a401f) : theme.cited_fill;
      if (!lines.current && !lines.found) fill.setAlphaF(0.55F);
      selection.format.setBackground(fill);
      selection.format.setProperty(QTextFormat::FullWidthSelection, true);
      selections << selection;
    }
  }
  setExtraSelections(selections);
  gutter_->update();
  viewport()->update();
}

void TextView::go_to_line(int line) {
  const QTextBlock block = document()->findBlockByNumber(line - 1);
  if (!block.isValid()) return;
  QTextCursor cursor(block);
  setTextCursor(cursor);
  centerCursor();
}

int TextView::top_line() const {
  return firstVisibleBlock().blockNumber() + 1;
}

QString TextView::place() const {
  return QString::number(top_line());
}

void TextView::go_to_place(const QString& place) {
  const QTextBlock block = document()->findBlockByNumber(place.toInt() - 1);
  if (block.isValid()) verticalScrollBar()->setValue(block.firstLineNumber());
}

int TextView::gutter_width() const {
  return 28 + fontMetrics().horizontalAdvance(QLatin1Char('9')) *
                  std::max(3, static_cast<int>(QString::number(blockCount()).size()));
}

void TextView::resizeEvent(QResizeEvent* event) {
  QPlainTextEdit::resizeEvent(event);
  const QRect inner = contentsRect();
  gutter_->setGeometry(inner.left(), inner.top(), gutter_width(), inner.height());
}

void TextView::paintEvent(QPaintEvent* event) {
  QPlainTextEdit::paintEvent(event);
  QPainter painter(viewport());
  for (const Lines& lines : lines_) {
    const double y = (lines.first - 0.5) / std::max(1, blockCount()) * viewport()->height();
    painter.fillRect(QRectF(viewport()->width() - 7, y - 4, 4, 8),
                     lines.found ? Theme::current().accent : Theme::current().cited_line);
  }
}

void TextView::paint_gutter(QPaintEvent* event) {
  const Theme& theme = Theme::current();
  QPainter painter(gutter_);
  painter.fillRect(event->rect(), theme.window);
  painter.setFont(font());
  QTextBlock block = firstVisibleBlock();
  double top = blockBoundingGeometry(block).translated(contentOffset()).top();
  while (block.isValid() && top <= event->rect().bottom()) {
    const double height = blockBoundingRect(block).height();
    const int number = block.blockNumber() + 1;
    bool cited = false;
    for (const Lines& lines : lines_) cited |= !lines.found && number >= lines.first && number <= lines.last;
    painter.setPen(cited ? theme.elsewhere : theme.hint);
    painter.drawText(QRectF(0, top, gutter_->width() - 14, fontMetrics().height()), Qt::AlignRight | Qt::AlignVCenter,
                     QString::number(number));
    if (cited) painter.fillRect(QRectF(gutter_->width() - 4, top, 3, height), theme.cited_line);
    top += height;
    block = block.next();
  }
}

void TextView::changeEvent(QEvent* event) {
  QPlainTextEdit::changeEvent(event);
  if (event->type() == QEvent::PaletteChange) apply_highlights();
}

}  // namespace lectern::ui

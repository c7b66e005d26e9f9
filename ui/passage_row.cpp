// Painted, because no Qt button elides text over two lines.
#include "ui/passage_row.h"

#include <QPainter>
#include <QTextLayout>

#include "ui/answer_text.h"
#include "ui/theme.h"

namespace lectern::ui {

namespace {
constexpr int place_width = 74;
}

PassageRow::PassageRow(const app::Citation& citation, QWidget* parent)
    : QAbstractButton(parent), place_(place_words(citation)), quote_(quote_words(citation)) {
  setAccessibleName(tr("Passage, %1, %2: %3").arg(QString::fromStdString(citation.document), place_, quote_));
  setToolTip(chip_tooltip(citation));
  setCursor(Qt::PointingHandCursor);
  setFocusPolicy(Qt::StrongFocus);
  setAttribute(Qt::WA_Hover);
  setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
}

void PassageRow::set_pressed(bool pressed) {
  pressed_ = pressed;
  update();
}

QSize PassageRow::sizeHint() const {
  return {200, 44};
}

void PassageRow::paintEvent(QPaintEvent*) {
  const Theme& theme = Theme::current();
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  const QRectF frame = QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5);
  painter.setPen(QPen(pressed_ || hasFocus() ? theme.accent : theme.hairline, 1));
  painter.setBrush(pressed_ ? theme.accent_tint : underMouse() ? theme.hover : theme.window);
  painter.drawRoundedRect(frame, 7, 7);
  painter.fillRect(QRectF(1.5, 9, 3, height() - 18), theme.cited_line);
  const QFont place_face = interface_font(11, QFont::DemiBold), face = interface_font(12);
  const QFontMetrics head(place_face), body(face);
  const int left = 14 + std::min(place_width, head.horizontalAdvance(place_)) + 10;
  const int width = this->width() - left - 10;
  if (width < 40) return;
  QTextLayout layout(quote_, face);
  layout.beginLayout();
  QTextLine first = layout.createLine();
  if (first.isValid()) first.setLineWidth(width);
  layout.endLayout();
  const int first_length = first.isValid() ? first.textLength() : 0;
  const QString rest = quote_.mid(first_length);
  const int line = body.height();
  const int top = rest.isEmpty() ? (height() - line) / 2 : (height() - 2 * line) / 2;
  painter.setFont(place_face);
  painter.setPen(theme.verified);
  painter.drawText(QRect(14, top, place_width, line), Qt::AlignLeft | Qt::AlignVCenter,
                   head.elidedText(place_, Qt::ElideRight, place_width));
  painter.setFont(face);
  painter.setPen(theme.text);
  painter.drawText(QRect(left, top, width, line), Qt::AlignLeft | Qt::AlignVCenter,
                   quote_.left(first_length).trimmed());
  painter.drawText(QRect(left, top + line, width, line), Qt::AlignLeft | Qt::AlignVCenter,
                   body.elidedText(rest, Qt::ElideRight, width));
}

}  // namespace lectern::ui

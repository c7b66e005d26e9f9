// The label keeps its whole text for its size hint and for screen readers and only paints less.
#include "ui/elided_label.h"

#include <QPainter>

namespace lectern::ui {

ElidedLabel::ElidedLabel(QWidget* parent, Qt::TextElideMode mode) : QLabel(parent), mode_(mode) {
  setTextFormat(Qt::PlainText);
  setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
}

void ElidedLabel::set_text(const QString& text) {
  text_ = text.simplified();
  setText(text_);
  setToolTip(text_);
}

void ElidedLabel::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.setPen(palette().color(foregroundRole()));
  painter.drawText(contentsRect(), Qt::AlignLeft | Qt::AlignVCenter,
                   fontMetrics().elidedText(text_, mode_, contentsRect().width()));
}

}  // namespace lectern::ui

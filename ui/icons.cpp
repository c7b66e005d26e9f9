// Each glyph is a path on a 16 x 16 grid. QIcon gets pictures for scales 1 to 3, which covers every screen Qt names.
#include "ui/icons.h"

#include <QPainter>
#include <QPainterPath>
#include <QPixmap>

namespace lectern::ui {

namespace {

QPainterPath path_of(Glyph glyph) {
  QPainterPath p;
  const auto line = [&p](double x0, double y0, double x1, double y1) {
    p.moveTo(x0, y0);
    p.lineTo(x1, y1);
  };
  switch (glyph) {
    case Glyph::sidebar:
      p.addRoundedRect(2.25, 3.25, 11.5, 9.5, 2, 2);
      line(6.25, 3.25, 6.25, 12.75);
      break;
    case Glyph::back:
      p.moveTo(9.5, 4);
      p.lineTo(5.5, 8);
      p.lineTo(9.5, 12);
      break;
    case Glyph::forward:
      p.moveTo(6.5, 4);
      p.lineTo(10.5, 8);
      p.lineTo(6.5, 12);
      break;
    case Glyph::minus: line(4, 8, 12, 8); break;
    case Glyph::plus:
      line(4, 8, 12, 8);
      line(8, 4, 8, 12);
      break;
    case Glyph::find:
      p.addEllipse(QPointF(7, 7), 4, 4);
      line(10, 10, 13.25, 13.25);
      break;
    case Glyph::close:
      line(4.5, 4.5, 11.5, 11.5);
      line(11.5, 4.5, 4.5, 11.5);
      break;
    case Glyph::up:
      p.moveTo(4, 9.75);
      p.lineTo(8, 5.75);
      p.lineTo(12, 9.75);
      break;
    case Glyph::down:
      p.moveTo(4, 6.25);
      p.lineTo(8, 10.25);
      p.lineTo(12, 6.25);
      break;
    case Glyph::document:
      p.addRoundedRect(3.75, 2.25, 8.5, 11.5, 1.5, 1.5);
      line(6, 6, 10, 6);
      line(6, 8.5, 10, 8.5);
      break;
    case Glyph::folder:
      p.moveTo(2.25, 4.25);
      p.lineTo(6.25, 4.25);
      p.lineTo(7.75, 5.75);
      p.lineTo(13.75, 5.75);
      p.lineTo(13.75, 12.25);
      p.lineTo(2.25, 12.25);
      p.closeSubpath();
      break;
    case Glyph::stop: p.addRoundedRect(4.75, 4.75, 6.5, 6.5, 1, 1); break;
    case Glyph::more:
      p.addEllipse(QPointF(4, 8), 0.4, 0.4);
      p.addEllipse(QPointF(8, 8), 0.4, 0.4);
      p.addEllipse(QPointF(12, 8), 0.4, 0.4);
      break;
    case Glyph::pin:
      line(8, 9.5, 8, 14);
      p.moveTo(5, 9.5);
      p.lineTo(11, 9.5);
      p.lineTo(9.75, 7.25);
      p.lineTo(9.75, 2.75);
      p.lineTo(6.25, 2.75);
      p.lineTo(6.25, 7.25);
      p.closeSubpath();
      break;
  }
  return p;
}

QPixmap draw(Glyph glyph, const QColor& colour, int scale) {
  QPixmap pixmap(16 * scale, 16 * scale);
  pixmap.fill(Qt::transparent);
  QPainter painter(&pixmap);
  painter.setRenderHint(QPainter::Antialiasing);
  painter.scale(scale, scale);
  painter.setPen(QPen(colour, 1.5, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin));
  painter.drawPath(path_of(glyph));
  painter.end();
  pixmap.setDevicePixelRatio(scale);
  return pixmap;
}

}  // namespace

QIcon icon(Glyph glyph, const QColor& colour) {
  QIcon result;
  QColor pale = colour;
  pale.setAlphaF(0.35F);
  for (int scale = 1; scale <= 3; ++scale) {
    result.addPixmap(draw(glyph, colour, scale), QIcon::Normal);
    result.addPixmap(draw(glyph, pale, scale), QIcon::Disabled);
  }
  return result;
}

}  // namespace lectern::ui

// Widths are shares of the window, or of what is asked for if that is more; what is not yet kept is drawn paler,
// because it must still be read and paid for. A document that is being read darkens from its left.
#include "ui/context_meter.h"

#include <QHelpEvent>
#include <QPainter>
#include <QPainterPath>
#include <QToolTip>
#include <algorithm>

#include "ui/library_model.h"
#include "ui/theme.h"

namespace lectern::ui {

namespace {

// Names of parts that are no documents (workspace.h).
const QString instructions = QStringLiteral("instructions"), conversation = QStringLiteral("conversation");

QColor part_colour(const QString& name, std::size_t document, const Theme& theme) {
  static const QColor light_colours[] = {QColor(0x5b86b8), QColor(0x7fa99b), QColor(0xa58fb5), QColor(0xc99a7c),
                                         QColor(0x8fa3ad)};
  static const QColor dark_colours[] = {QColor(0x5b8fc4), QColor(0x6ea391), QColor(0x8b76a0), QColor(0x9a735a),
                                        QColor(0x66808c)};
  if (name == instructions) return theme.hint;
  if (name == conversation) return theme.dark ? QColor(0x6e634c) : QColor(0xd8c9ab);
  return (theme.dark ? dark_colours : light_colours)[document % 5];
}

QString part_name(const QString& name) {
  if (name == instructions) return ContextMeter::tr("instructions");
  if (name == conversation) return ContextMeter::tr("conversation");
  return name;
}

}  // namespace

ContextMeter::ContextMeter(QWidget* parent) : QWidget(parent) {
  setObjectName(QStringLiteral("context_meter"));
  setAccessibleName(tr("Context"));
  setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Fixed);
}

std::int64_t ContextMeter::total() const {
  std::int64_t sum = 0;
  for (const auto& part : use_.parts) sum += part.tokens;
  return sum;
}

void ContextMeter::set_use(const app::ContextUse& use) {
  use_ = use;
  setAccessibleDescription(words());
  update();
}

QString ContextMeter::words() const {
  if (use_.window <= 0) return {};
  return tr("%1 of %2").arg(grouped(total()), grouped(use_.window));
}

void ContextMeter::paintEvent(QPaintEvent*) {
  const Theme& theme = Theme::current();
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  const QRectF bar(0, (height() - 8) / 2.0, width(), 8);
  QPainterPath shape;
  shape.addRoundedRect(bar, 4, 4);
  painter.setClipPath(shape);
  painter.fillRect(bar, theme.hairline);
  const double whole = static_cast<double>(std::max(use_.window, total()));
  if (whole <= 0) return;
  double left = 0;
  std::size_t documents = 0;
  for (std::size_t i = 0; i < use_.parts.size(); ++i) {
    const double width = static_cast<double>(use_.parts[i].tokens) / whole * bar.width();
    QColor colour = use_.fits ? part_colour(use_.parts[i].name, documents, theme) : theme.elsewhere;
    const QRectF segment(left, bar.top(), std::max(0.0, width - 1), bar.height());
    const double kept = use_.parts[i].tokens > 0
                            ? static_cast<double>(use_.parts[i].kept) / static_cast<double>(use_.parts[i].tokens)
                            : 1;
    QRectF read = segment;
    read.setWidth(segment.width() * kept);
    painter.fillRect(read, colour);
    QRectF unread = segment;
    unread.setLeft(read.right());
    colour.setAlphaF(0.55F);
    painter.fillRect(unread, colour);
    if (use_.parts[i].name != instructions && use_.parts[i].name != conversation) ++documents;
    left += width;
  }
}

QString ContextMeter::tooltip_at(int x) const {
  const double whole = static_cast<double>(std::max(use_.window, total()));
  if (whole <= 0) return tr("No model is open.");
  double left = 0;
  for (const auto& part : use_.parts) {
    left += static_cast<double>(part.tokens) / whole * width();
    if (x < left) {
      return QStringLiteral("%1\n%2 · %3")
          .arg(part_name(part.name), tr("%1 tokens").arg(grouped(part.tokens)),
               part.kept >= part.tokens ? tr("kept: costs nothing")
               : part.kept > 0          ? tr("%1 of them read").arg(grouped(part.kept))
                                        : tr("not read yet"));
    }
  }
  QString text = tr("free: %1 tokens").arg(grouped(std::max<std::int64_t>(0, use_.window - total())));
  if (!use_.fits) text = tr("The documents do not fit: passages will be chosen, and the answer says which.");
  return text;
}

bool ContextMeter::event(QEvent* event) {
  if (event->type() == QEvent::ToolTip) {
    const auto* help = static_cast<QHelpEvent*>(event);
    QToolTip::showText(help->globalPos(), tooltip_at(help->pos().x()), this);
    return true;
  }
  return QWidget::event(event);
}

}  // namespace lectern::ui

// Geometry of a row (look.md): 28 px for one line, 44 for two, a failed row grows by its sentence and its actions.
#include "ui/library_delegate.h"

#include <QApplication>
#include <QMouseEvent>
#include <QPainter>
#include <QPainterPath>

#include "ui/library_model.h"
#include "ui/theme.h"

namespace lectern::ui {

namespace {

constexpr int side_px = 6, text_px = 13, detail_px = 12, indent_px = 16;

LibraryModel::Kind kind_of(const QModelIndex& index) {
  return static_cast<LibraryModel::Kind>(index.data(LibraryModel::kind_role).toInt());
}

void paint_check(QPainter* painter, const QRectF& box, Qt::CheckState state, const Theme& theme) {
  painter->setPen(QPen(state == Qt::Unchecked ? theme.hint : theme.accent, 1));
  painter->setBrush(state == Qt::Unchecked ? theme.field : theme.accent);
  painter->drawRoundedRect(box, 4, 4);
  painter->setBrush(Qt::NoBrush);
  painter->setPen(QPen(theme.on_accent, 1.6, Qt::SolidLine, Qt::RoundCap, Qt::RoundJoin));
  QPainterPath mark;
  if (state == Qt::Checked) {
    mark.moveTo(box.left() + 3.5, box.center().y() + 0.3);
    mark.lineTo(box.left() + 6, box.bottom() - 4);
    mark.lineTo(box.right() - 3.3, box.top() + 4.3);
  } else if (state == Qt::PartiallyChecked) {
    mark.moveTo(box.left() + 4, box.center().y());
    mark.lineTo(box.right() - 4, box.center().y());
  }
  painter->drawPath(mark);
}

}  // namespace

QRect LibraryDelegate::check_rect(const QRect& row, const QModelIndex& index) const {
  const int left = row.left() + side_px + 14 + indent_px * index.data(LibraryModel::indent_role).toInt();
  return {left, row.top() + 8, 14, 14};
}

QRect LibraryDelegate::text_rect(const QRect& row, const QModelIndex& index) const {
  const int left = check_rect(row, index).right() + 11;
  return {left, row.top() + 5, row.right() - side_px - 8 - left, row.height() - 8};
}

std::vector<QRect> LibraryDelegate::action_rects(const QRect& row, const QModelIndex& index) const {
  std::vector<QRect> rects;
  const QRect text = text_rect(row, index);
  const QFontMetrics metrics(interface_font(detail_px, QFont::Medium));
  int left = text.left();
  for (const QString& label : index.data(LibraryModel::actions_role).toStringList()) {
    const int width = metrics.horizontalAdvance(label);
    rects.emplace_back(left, row.bottom() - 21, width, 17);
    left += width + 14;
  }
  return rects;
}

QSize LibraryDelegate::sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const {
  const int width = option.rect.width() > 0 ? option.rect.width() : 260;
  switch (kind_of(index)) {
    case LibraryModel::Kind::section: return {width, 31};
    case LibraryModel::Kind::session: return {width, 28};
    case LibraryModel::Kind::collection:
    case LibraryModel::Kind::document: break;
  }
  if (index.data(LibraryModel::progress_role).toDouble() >= 0) return {width, 50};
  const QStringList actions = index.data(LibraryModel::actions_role).toStringList();
  if (actions.isEmpty()) return {width, 44};
  const QFontMetrics metrics(interface_font(detail_px));
  const QRect text = text_rect(QRect(0, 0, width, 44), index);
  const QRect needed = metrics.boundingRect(QRect(0, 0, std::max(text.width(), 60), 1000), Qt::TextWordWrap,
                                            index.data(LibraryModel::detail_role).toString());
  return {width, 24 + std::min(needed.height(), 4 * metrics.lineSpacing()) + 26};
}

void LibraryDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const {
  const Theme& theme = Theme::current();
  painter->save();
  painter->setRenderHint(QPainter::Antialiasing);
  const QRect row = option.rect;
  const auto kind = kind_of(index);
  const bool focused = (option.state & QStyle::State_HasFocus) && (option.state & QStyle::State_Enabled);
  if (kind == LibraryModel::Kind::section) {
    painter->setFont(interface_font(11, QFont::DemiBold));
    painter->setPen(theme.secondary);
    painter->drawText(row.adjusted(side_px + 10, 8, -8, 0), Qt::AlignVCenter | Qt::AlignLeft, index.data().toString());
    painter->restore();
    return;
  }
  const QRectF back = QRectF(row).adjusted(side_px, 1, -side_px, -1);
  const bool current = index.data(LibraryModel::current_role).toBool();
  const bool over = option.state & QStyle::State_MouseOver;
  if (current || over) {
    painter->setPen(Qt::NoPen);
    painter->setBrush(current ? theme.accent_tint : theme.hover);
    painter->drawRoundedRect(back, 7, 7);
  }
  if (focused) {
    painter->setPen(QPen(theme.accent, 1));
    painter->setBrush(Qt::NoBrush);
    painter->drawRoundedRect(back.adjusted(0.5, 0.5, -0.5, -0.5), 7, 7);
  }
  painter->setBrush(Qt::NoBrush);
  if (kind == LibraryModel::Kind::session) {
    const QString count = QString::number(index.data(LibraryModel::count_role).toInt());
    painter->setFont(interface_font(detail_px));
    painter->setPen(theme.secondary);
    const QRect inner = row.adjusted(side_px + 14, 0, -side_px - 14, 0);
    painter->drawText(inner, Qt::AlignVCenter | Qt::AlignRight, count);
    const int used = painter->fontMetrics().horizontalAdvance(count) + 10;
    painter->setFont(interface_font(text_px, current ? QFont::Medium : QFont::Normal));
    painter->setPen(theme.text);
    const QRect name = inner.adjusted(0, 0, -used, 0);
    painter->drawText(
        name, Qt::AlignVCenter | Qt::AlignLeft,
        painter->fontMetrics().elidedText(index.data().toString().simplified(), Qt::ElideRight, name.width()));
    painter->restore();
    return;
  }

  const QRect check = check_rect(row, index);
  const QVariant state = index.data(Qt::CheckStateRole);
  if (state.isValid()) {
    paint_check(painter, QRectF(check).adjusted(0.5, 0.5, 0.5, 0.5), static_cast<Qt::CheckState>(state.toInt()), theme);
  } else {
    painter->setFont(interface_font(text_px, QFont::DemiBold));
    painter->setPen(theme.absent);
    painter->drawText(check, Qt::AlignCenter, QStringLiteral("!"));
  }
  const QRect text = text_rect(row, index);
  painter->setFont(interface_font(text_px, QFont::Medium));
  painter->setPen(theme.text);
  const QFontMetrics name_metrics = painter->fontMetrics();
  painter->drawText(QRect(text.left(), text.top(), text.width(), 18), Qt::AlignVCenter | Qt::AlignLeft,
                    name_metrics.elidedText(index.data().toString(), Qt::ElideMiddle, text.width()));
  const bool problem = index.data(LibraryModel::problem_role).toBool();
  const QStringList actions = index.data(LibraryModel::actions_role).toStringList();
  painter->setFont(interface_font(detail_px));
  painter->setPen(!problem ? theme.secondary : actions.isEmpty() ? theme.elsewhere : theme.absent);
  const QString detail = index.data(LibraryModel::detail_role).toString();
  if (actions.isEmpty()) {
    painter->drawText(QRect(text.left(), text.top() + 18, text.width(), 17), Qt::AlignVCenter | Qt::AlignLeft,
                      painter->fontMetrics().elidedText(detail, Qt::ElideRight, text.width()));
  } else {
    painter->drawText(QRect(text.left(), text.top() + 19, text.width(), row.height() - 24 - 24),
                      Qt::TextWordWrap | Qt::AlignTop | Qt::AlignLeft, detail);
    const std::vector<QRect> places = action_rects(row, index);
    painter->setFont(interface_font(detail_px, QFont::Medium));
    painter->setPen(theme.accent);
    for (std::size_t i = 0; i < places.size(); ++i) {
      painter->drawText(places[i], Qt::AlignVCenter | Qt::AlignLeft, actions[static_cast<int>(i)]);
    }
  }
  const double progress = index.data(LibraryModel::progress_role).toDouble();
  if (progress >= 0) {
    const QRectF bar(text.left(), row.bottom() - 8, text.width(), 3);
    painter->setPen(Qt::NoPen);
    painter->setBrush(theme.hairline);
    painter->drawRoundedRect(bar, 1.5, 1.5);
    painter->setBrush(theme.accent);
    painter->drawRoundedRect(QRectF(bar.left(), bar.top(), std::max(3.0, bar.width() * progress), 3), 1.5, 1.5);
  }
  painter->restore();
}

bool LibraryDelegate::editorEvent(QEvent* event, QAbstractItemModel* model, const QStyleOptionViewItem& option,
                                  const QModelIndex& index) {
  if (event->type() == QEvent::MouseButtonRelease || event->type() == QEvent::MouseButtonPress ||
      event->type() == QEvent::MouseButtonDblClick) {
    const auto* mouse = static_cast<QMouseEvent*>(event);
    const bool released = event->type() == QEvent::MouseButtonRelease;
    if (mouse->button() != Qt::LeftButton) return false;
    const QPoint at = mouse->position().toPoint();
    const QVariant state = index.data(Qt::CheckStateRole);
    if (state.isValid() && check_rect(option.rect, index).adjusted(-8, -8, 8, 8).contains(at)) {
      if (released)
        model->setData(index, state.toInt() == Qt::Checked ? Qt::Unchecked : Qt::Checked, Qt::CheckStateRole);
      return true;
    }
    const std::vector<QRect> places = action_rects(option.rect, index);
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (!places[i].adjusted(-3, -3, 3, 3).contains(at)) continue;
      if (released) Q_EMIT action_chosen(index, static_cast<int>(i));
      return true;
    }
    if (kind_of(index) == LibraryModel::Kind::collection && released) {
      Q_EMIT collection_toggled(index);
      return true;
    }
  }
  return false;
}

void LibraryDelegate::updateEditorGeometry(QWidget* editor, const QStyleOptionViewItem& option,
                                           const QModelIndex&) const {
  editor->setGeometry(option.rect.adjusted(side_px + 2, 0, -side_px - 2, 0));
}

}  // namespace lectern::ui

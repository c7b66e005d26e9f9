// Paints the rows of the left pane and takes clicks on check boxes and on the actions of a failed row.
#pragma once

#include <QStyledItemDelegate>

namespace lectern::ui {

class LibraryDelegate : public QStyledItemDelegate {
  Q_OBJECT
 public:
  using QStyledItemDelegate::QStyledItemDelegate;
  void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override;
  QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex& index) const override;
  bool editorEvent(QEvent* event, QAbstractItemModel* model, const QStyleOptionViewItem& option,
                   const QModelIndex& index) override;
  void updateEditorGeometry(QWidget* editor, const QStyleOptionViewItem& option,
                            const QModelIndex& index) const override;

 Q_SIGNALS:
  /// `action` counts from 0 in LibraryModel::actions_role.
  void action_chosen(const QModelIndex& index, int action);
  void collection_toggled(const QModelIndex& index);

 private:
  QRect check_rect(const QRect& row, const QModelIndex& index) const;
  QRect text_rect(const QRect& row, const QModelIndex& index) const;
  std::vector<QRect> action_rects(const QRect& row, const QModelIndex& index) const;
};

}  // namespace lectern::ui

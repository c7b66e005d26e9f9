// What the middle says while nothing is open: one sentence, a drop target and the two ways to begin.
#pragma once

#include <QWidget>

class QLabel;
class QPushButton;

namespace lectern::ui {

class EmptyState : public QWidget {
  Q_OBJECT
 public:
  explicit EmptyState(QWidget* parent = nullptr);
  void set_sample_available(bool available);
  /// A model is open: its button steps back.
  void set_model_open(bool open);
  /// There are documents already: the sentence asks to choose one.
  void set_library_empty(bool empty);
  /// Files are being dragged over the window.
  void set_drop_active(bool active);

 Q_SIGNALS:
  void sample_requested();
  void model_requested();
  void add_requested();

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QLabel* headline_;
  QLabel* sentence_;
  QLabel* drop_;
  QPushButton* add_;
  QPushButton* sample_;
  QPushButton* model_;
  bool drop_active_ = false;
};

}  // namespace lectern::ui

// A passage under an answer: its place and up to two lines of its quote; a click opens it in the reader.
#pragma once

#include <QAbstractButton>

#include "app/records.h"

namespace lectern::ui {

class PassageRow : public QAbstractButton {
  Q_OBJECT
 public:
  explicit PassageRow(const app::Citation& citation, QWidget* parent = nullptr);
  void set_pressed(bool pressed);
  QSize sizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QString place_, quote_;
  bool pressed_ = false;
};

}  // namespace lectern::ui

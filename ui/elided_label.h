// A line of text that ends in "…" where there is no room; the whole is its tooltip.
#pragma once

#include <QLabel>

namespace lectern::ui {

class ElidedLabel : public QLabel {
  Q_OBJECT
 public:
  explicit ElidedLabel(QWidget* parent = nullptr, Qt::TextElideMode mode = Qt::ElideRight);
  void set_text(const QString& text);
  const QString& whole_text() const { return text_; }
  QSize minimumSizeHint() const override { return {24, QLabel::minimumSizeHint().height()}; }

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QString text_;
  Qt::TextElideMode mode_;
};

}  // namespace lectern::ui

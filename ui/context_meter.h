// The context window as a bar: a coloured segment for each document, the conversation, the free rest.
#pragma once

#include <QWidget>

#include "app/workspace.h"

namespace lectern::ui {

class ContextMeter : public QWidget {
  Q_OBJECT
 public:
  explicit ContextMeter(QWidget* parent = nullptr);
  void set_use(const app::ContextUse& use);
  const app::ContextUse& use() const { return use_; }
  QString words() const;  // "47,259 of 262,144"
  QString tooltip_at(int x) const;
  QSize sizeHint() const override { return {260, 16}; }
  QSize minimumSizeHint() const override { return {80, 16}; }

 protected:
  void paintEvent(QPaintEvent* event) override;
  bool event(QEvent* event) override;

 private:
  std::int64_t total() const;
  app::ContextUse use_;
};

}  // namespace lectern::ui

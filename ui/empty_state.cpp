// The drop target is drawn, not a frame, so that it can light up while files hang over the window.
#include "ui/empty_state.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QPainter>
#include <QPushButton>
#include <QVBoxLayout>

#include "ui/icons.h"
#include "ui/theme.h"

namespace lectern::ui {

EmptyState::EmptyState(QWidget* parent)
    : QWidget(parent),
      headline_(new QLabel(this)),
      sentence_(new QLabel(this)),
      drop_(new QLabel(this)),
      add_(new QPushButton(tr("Add documents…"), this)),
      sample_(new QPushButton(tr("Open the sample"), this)),
      model_(new QPushButton(tr("Choose a model"), this)) {
  setObjectName(QStringLiteral("empty_state"));
  setAttribute(Qt::WA_StyledBackground);
  headline_->setProperty("role", QStringLiteral("headline"));
  headline_->setAlignment(Qt::AlignCenter);
  headline_->setWordWrap(true);
  sentence_->setProperty("role", QStringLiteral("secondary"));
  sentence_->setAlignment(Qt::AlignCenter);
  sentence_->setWordWrap(true);
  drop_->setObjectName(QStringLiteral("drop_target"));
  drop_->setText(tr("Drop files or a folder here"));
  drop_->setAlignment(Qt::AlignCenter);
  drop_->setMinimumHeight(132);
  drop_->setProperty("role", QStringLiteral("secondary"));
  add_->setObjectName(QStringLiteral("empty_add"));
  add_->setAccessibleName(tr("Add documents"));
  sample_->setObjectName(QStringLiteral("open_sample"));
  sample_->setAccessibleName(tr("Open the sample"));
  model_->setObjectName(QStringLiteral("choose_model"));
  model_->setAccessibleName(tr("Choose a model"));
  sample_->setProperty("role", QStringLiteral("primary"));

  auto* buttons = new QHBoxLayout;
  buttons->setSpacing(8);
  buttons->addStretch();
  for (QPushButton* button : {sample_, add_, model_}) buttons->addWidget(button);
  buttons->addStretch();
  auto* column = new QVBoxLayout;
  column->setSpacing(8);
  column->addStretch(2);
  column->addWidget(headline_);
  column->addWidget(sentence_);
  column->addSpacing(16);
  column->addWidget(drop_);
  column->addSpacing(12);
  column->addLayout(buttons);
  column->addStretch(3);
  auto* middle = new QWidget(this);
  middle->setMaximumWidth(480);
  middle->setLayout(column);
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(24, 24, 24, 24);
  layout->addStretch(1);
  layout->addWidget(middle, 20);
  layout->addStretch(1);
  connect(sample_, &QPushButton::clicked, this, &EmptyState::sample_requested);
  connect(model_, &QPushButton::clicked, this, &EmptyState::model_requested);
  connect(add_, &QPushButton::clicked, this, &EmptyState::add_requested);
  set_library_empty(true);
}

void EmptyState::set_sample_available(bool available) {
  sample_->setVisible(available);
}

void EmptyState::set_model_open(bool open) {
  model_->setVisible(!open);
}

void EmptyState::set_library_empty(bool empty) {
  headline_->setText(empty ? tr("Ask long documents, see the proof") : tr("No document is open"));
  sentence_->setText(empty ? tr("Lectern reads whole documents on this computer, keeps the reading, and shows the "
                                "place behind every answer.")
                           : tr("Choose a document on the left, or ask about all that have a tick."));
  sample_->setVisible(empty && sample_->isVisibleTo(this));
}

void EmptyState::set_drop_active(bool active) {
  drop_active_ = active;
  drop_->setText(active ? tr("Let go to add them") : tr("Drop files or a folder here"));
  update();
}

void EmptyState::paintEvent(QPaintEvent* event) {
  QWidget::paintEvent(event);
  const Theme& theme = Theme::current();
  QPainter painter(this);
  painter.fillRect(rect(), theme.desk);
  painter.setRenderHint(QPainter::Antialiasing);
  const QRectF target = QRectF(QRect(drop_->mapTo(this, QPoint()), drop_->size())).adjusted(1, 1, -1, -1);
  QPen pen(drop_active_ ? theme.accent : theme.hint, 1.5, Qt::DashLine, Qt::RoundCap);
  pen.setDashPattern({4, 4});
  painter.setPen(pen);
  painter.setBrush(drop_active_ ? theme.accent_tint : theme.window);
  painter.drawRoundedRect(target, 12, 12);
}

}  // namespace lectern::ui

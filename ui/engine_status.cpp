// One line, elided: the full sentence is the tooltip.
#include "ui/engine_status.h"

#include <QMenu>

#include "app/workspace.h"

namespace lectern::ui {

QString engine_words(const app::EngineState& state) {
  using Phase = app::EngineState::Phase;
  switch (state.phase) {
    case Phase::none: return EngineStatus::tr("No model");
    case Phase::loading: return EngineStatus::tr("Opening the model…");
    case Phase::failed: return state.problem;
    case Phase::ready: break;
  }
  QStringList parts;
  for (const std::string& part : {state.model.name, state.model.quantization, state.model.device}) {
    if (!part.empty()) parts << QString::fromStdString(part);
  }
  return parts.join(QStringLiteral(" · "));
}

QString memory_words(std::int64_t bytes) {
  const double gigabytes = static_cast<double>(bytes) / 1e9;
  if (gigabytes < 1) return EngineStatus::tr("%1 MB").arg(static_cast<double>(bytes) / 1e6, 0, 'f', 0);
  return EngineStatus::tr("%1 GB").arg(gigabytes, 0, 'f', 1);
}

EngineStatus::EngineStatus(app::Workspace& workspace, QWidget* parent) : QToolButton(parent), workspace_(workspace) {
  setObjectName(QStringLiteral("engine_status"));
  setProperty("role", QStringLiteral("strip"));
  setCursor(Qt::PointingHandCursor);
  connect(this, &QToolButton::clicked, this, &EngineStatus::show_models);
  connect(&workspace_, &app::Workspace::engine_changed, this, &EngineStatus::refresh);
  refresh();
}

void EngineStatus::refresh() {
  const app::EngineState state = workspace_.engine();
  const QString words = engine_words(state);
  setText(fontMetrics().elidedText(words, Qt::ElideRight, 460));
  QString tip = words;
  if (!state.model.warning.empty()) tip += QLatin1Char('\n') + QString::fromStdString(state.model.warning);
  setToolTip(tip + QLatin1Char('\n') + tr("Click to choose another model"));
  setAccessibleName(tr("Model: %1").arg(words));
}

void EngineStatus::show_models() {
  auto* menu = new QMenu(this);
  menu->setAttribute(Qt::WA_DeleteOnClose);
  const QString open = QString::fromStdString(workspace_.engine().model.file).section(QLatin1Char('/'), -1);
  const QStringList models = workspace_.models();
  for (const QString& file : models) {
    QAction* action =
        menu->addAction(file.section(QLatin1Char('/'), -1), this, [this, file] { workspace_.open_model(file); });
    action->setCheckable(true);
    action->setChecked(open == file.section(QLatin1Char('/'), -1));
  }
  if (models.isEmpty()) menu->addAction(tr("No model in the model folder"))->setEnabled(false);
  menu->addSeparator();
  menu->addAction(tr("Open a model file (GGUF)…"), this, &EngineStatus::file_requested);
  menu->popup(mapToGlobal(QPoint(0, -menu->sizeHint().height() - 4)));
}

}  // namespace lectern::ui

// The model at the left of the status strip; a click offers the other models.
#pragma once

#include <QToolButton>

namespace lectern::app {
class Workspace;
struct EngineState;
}  // namespace lectern::app

namespace lectern::ui {

class EngineStatus : public QToolButton {
  Q_OBJECT
 public:
  explicit EngineStatus(app::Workspace& workspace, QWidget* parent = nullptr);
  /// The models of the model folder and "Open a model file…".
  void show_models();

 Q_SIGNALS:
  void file_requested();

 private:
  void refresh();
  app::Workspace& workspace_;
};

/// "SmolLM2 135M Instruct · Q4_1 · CPU, 2 threads", or what is wrong.
QString engine_words(const app::EngineState& state);
/// "21.3 GB".
QString memory_words(std::int64_t bytes);

}  // namespace lectern::ui

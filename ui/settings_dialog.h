// Theme, language, model, reading ahead: the few settings there are.
#pragma once

#include <QDialog>

class QComboBox;

namespace lectern::app {
class Workspace;
}

namespace lectern::ui {

class SettingsDialog : public QDialog {
  Q_OBJECT
 public:
  SettingsDialog(app::Workspace& workspace, QWidget* parent = nullptr);

 Q_SIGNALS:
  void theme_chosen(const QString& theme);
  void language_chosen(const QString& language);
  void model_file_requested();

 private:
  QComboBox *theme_, *language_, *model_;
};

/// Every shortcut of the window in one table (F1).
class ShortcutsDialog : public QDialog {
  Q_OBJECT
 public:
  explicit ShortcutsDialog(QWidget* parent = nullptr);
};

}  // namespace lectern::ui

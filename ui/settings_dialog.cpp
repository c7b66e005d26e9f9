// Choices apply at once; there is nothing to confirm.
#include "ui/settings_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDialogButtonBox>
#include <QFormLayout>
#include <QGridLayout>
#include <QLabel>
#include <QPushButton>
#include <QVBoxLayout>

#include "app/workspace.h"
#include "ui/theme.h"

namespace lectern::ui {

SettingsDialog::SettingsDialog(app::Workspace& workspace, QWidget* parent)
    : QDialog(parent), theme_(new QComboBox(this)), language_(new QComboBox(this)), model_(new QComboBox(this)) {
  setObjectName(QStringLiteral("settings_dialog"));
  setWindowTitle(tr("Settings"));
  theme_->setObjectName(QStringLiteral("theme_box"));
  theme_->setAccessibleName(tr("Theme"));
  theme_->addItem(tr("As the system"), QStringLiteral("system"));
  theme_->addItem(tr("Light"), QStringLiteral("light"));
  theme_->addItem(tr("Dark"), QStringLiteral("dark"));
  theme_->setCurrentIndex(std::max(0, theme_->findData(workspace.remembered(0, QStringLiteral("theme")))));
  language_->setAccessibleName(tr("Language"));
  language_->addItem(tr("As the system"), QString());
  language_->addItem(QStringLiteral("English"), QStringLiteral("en"));
  language_->addItem(QStringLiteral("简体中文"), QStringLiteral("zh_CN"));
  language_->setCurrentIndex(std::max(0, language_->findData(workspace.remembered(0, QStringLiteral("language")))));
  model_->setAccessibleName(tr("Model"));
  for (const QString& file : workspace.models()) model_->addItem(file.section(QLatin1Char('/'), -1), file);
  const int open =
      model_->findText(QString::fromStdString(workspace.engine().model.file).section(QLatin1Char('/'), -1));
  if (open < 0) model_->insertItem(0, tr("No model is open"), QString());
  model_->setCurrentIndex(std::max(0, open));
  model_->addItem(tr("Open a model file (GGUF)…"), QStringLiteral("file"));

  auto* form = new QFormLayout;
  form->setSpacing(10);
  form->addRow(tr("Theme"), theme_);
  form->addRow(tr("Language"), language_);
  auto* later = new QLabel(tr("A new language shows when Lectern is opened again."), this);
  later->setProperty("role", QStringLiteral("secondary"));
  form->addRow(QString(), later);
  form->addRow(tr("Model"), model_);
  auto* read_ahead = new QCheckBox(tr("Read documents as soon as they are added"), this);
  read_ahead->setObjectName(QStringLiteral("read_ahead_box"));
  read_ahead->setAccessibleName(read_ahead->text());
  read_ahead->setChecked(workspace.read_ahead());
  auto* else_later = new QLabel(tr("Off, they are read when a question is asked. That saves the battery."), this);
  else_later->setProperty("role", QStringLiteral("secondary"));
  form->addRow(tr("Reading"), read_ahead);
  form->addRow(QString(), else_later);
  auto* buttons = new QDialogButtonBox(this);
  buttons->addButton(tr("Close"), QDialogButtonBox::RejectRole);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(20, 18, 20, 16);
  layout->setSpacing(16);
  layout->addLayout(form);
  layout->addWidget(buttons);
  setMinimumWidth(420);

  connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
  connect(read_ahead, &QCheckBox::toggled, this, [&workspace](bool on) { workspace.set_read_ahead(on); });
  connect(theme_, &QComboBox::activated, this, [this] { Q_EMIT theme_chosen(theme_->currentData().toString()); });
  connect(language_, &QComboBox::activated, this,
          [this] { Q_EMIT language_chosen(language_->currentData().toString()); });
  connect(model_, &QComboBox::activated, this, [this, &workspace] {
    const QString file = model_->currentData().toString();
    if (file == QLatin1String("file"))
      Q_EMIT model_file_requested();
    else if (!file.isEmpty())
      workspace.open_model(file);
  });
}

ShortcutsDialog::ShortcutsDialog(QWidget* parent) : QDialog(parent) {
  setObjectName(QStringLiteral("shortcuts_dialog"));
  setWindowTitle(tr("Shortcuts"));
  const std::pair<QString, QString> rows[] = {
      {QStringLiteral("Ctrl+O"), tr("Add documents")},
      {QStringLiteral("Ctrl+N"), tr("New session")},
      {QStringLiteral("Enter"), tr("Send the question")},
      {QStringLiteral("Shift+Enter"), tr("New line in the question")},
      {QStringLiteral("Ctrl+Enter"), tr("Ask from the documents, beside the conversation")},
      {QStringLiteral("Up"), tr("In the empty box: edit the last question")},
      {QStringLiteral("Esc"), tr("Stop; what was done is kept")},
      {QStringLiteral("Ctrl+F, F3, Shift+F3"), tr("Find in this document, next, previous")},
      {QStringLiteral("Ctrl+Shift+F"), tr("Search everything")},
      {QStringLiteral("Ctrl+G"), tr("Go to page")},
      {QStringLiteral("Alt+Left, Alt+Right"), tr("Back and forward after a jump")},
      {QStringLiteral("Ctrl++, Ctrl+-, Ctrl+0"), tr("Larger, smaller, 100 %")},
      {QStringLiteral("F2, Del"), tr("Rename or delete a session")},
      {QStringLiteral("Alt+Up, Alt+Down"), tr("Read a document of the session earlier or later")},
      {QStringLiteral("F6"), tr("Next pane")},
      {QStringLiteral("F9"), tr("Show or hide the library")},
      {QStringLiteral("Ctrl+,"), tr("Settings")},
      {QStringLiteral("F1, Ctrl+/"), tr("This list")},
  };
  auto* grid = new QGridLayout;
  grid->setHorizontalSpacing(24);
  grid->setVerticalSpacing(6);
  int row = 0;
  for (const auto& [keys, what] : rows) {
    auto* name = new QLabel(keys, this);
    name->setFont(interface_font(13, QFont::DemiBold));
    grid->addWidget(name, row, 0);
    grid->addWidget(new QLabel(what, this), row++, 1);
  }
  auto* buttons = new QDialogButtonBox(this);
  buttons->addButton(tr("Close"), QDialogButtonBox::RejectRole);
  connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(20, 18, 20, 16);
  layout->setSpacing(16);
  layout->addLayout(grid);
  layout->addWidget(buttons);
}

}  // namespace lectern::ui

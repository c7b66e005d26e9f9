// MainWindow, second half: shortcuts, files that are dropped, pasted or chosen, dialogs, narrow windows.
#include <QAction>
#include <QApplication>
#include <QClipboard>
#include <QDragEnterEvent>
#include <QDropEvent>
#include <QFileDialog>
#include <QLineEdit>
#include <QListView>
#include <QMessageBox>
#include <QMimeData>
#include <QSaveFile>
#include <QShortcut>
#include <QSplitter>
#include <QTabBar>
#include <QUrl>

#include "ui/conversation_pane.h"
#include "ui/document_pane.h"
#include "ui/empty_state.h"
#include "ui/engine_status.h"
#include "ui/library_pane.h"
#include "ui/main_window.h"
#include "ui/question_box.h"
#include "ui/settings_dialog.h"
#include "ui/theme.h"

namespace lectern::ui {

namespace {

constexpr int folds_below = 1100, tabs_below = 800;

QStringList local_files(const QMimeData* data) {
  QStringList paths;
  for (const QUrl& url : data->urls()) {
    if (url.isLocalFile()) paths << url.toLocalFile();
  }
  return paths;
}

}  // namespace

void MainWindow::build_shortcuts() {
  const auto on = [this](const QKeySequence& keys, auto action) {
    connect(new QShortcut(keys, this), &QShortcut::activated, this, action);
  };
  on(QKeySequence(Qt::CTRL | Qt::Key_O), [this] { add_by_dialog(); });
  on(QKeySequence(Qt::CTRL | Qt::Key_N), [this] { new_session(); });
  on(QKeySequence(Qt::CTRL | Qt::Key_F), [this] { reader_->show_find_bar(); });
  on(QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_F), [this] {
    if (!library_->isVisible()) toggle_library();
    library_->focus_search();
  });
  on(QKeySequence(Qt::Key_F3), [this] { reader_->find_next(); });
  on(QKeySequence(Qt::SHIFT | Qt::Key_F3), [this] { reader_->find_previous(); });
  on(QKeySequence(Qt::CTRL | Qt::Key_G), [this] { reader_->focus_page_box(); });
  on(QKeySequence(Qt::ALT | Qt::Key_Left), [this] { reader_->go_back(); });
  on(QKeySequence(Qt::ALT | Qt::Key_Right), [this] { reader_->go_forward(); });
  on(QKeySequence(Qt::CTRL | Qt::Key_Plus), [this] { reader_->pages().set_zoom(reader_->pages().zoom() * 1.1); });
  on(QKeySequence(Qt::CTRL | Qt::Key_Equal), [this] { reader_->pages().set_zoom(reader_->pages().zoom() * 1.1); });
  on(QKeySequence(Qt::CTRL | Qt::Key_Minus), [this] { reader_->pages().set_zoom(reader_->pages().zoom() / 1.1); });
  on(QKeySequence(Qt::CTRL | Qt::Key_0), [this] { reader_->pages().set_zoom(1); });
  on(QKeySequence(Qt::CTRL | Qt::Key_Comma), [this] { open_settings(); });
  on(QKeySequence(Qt::Key_F1), [this] { open_shortcuts(); });
  on(QKeySequence(Qt::CTRL | Qt::Key_Slash), [this] { open_shortcuts(); });
  on(QKeySequence(Qt::Key_F6), [this] { next_pane(); });
  on(QKeySequence(Qt::Key_F9), [this] { toggle_library(); });
  on(QKeySequence(Qt::Key_Escape), [this] { escape(); });
  // A text field pastes by itself; anywhere else Ctrl+V means files.
  on(QKeySequence(QKeySequence::Paste), [this] { paste_files(); });
}

void MainWindow::escape() {
  QuestionBox& box = conversation_->box();
  if (box.is_busy()) return stop();
  if (conversation_->is_editing()) {
    conversation_->leave_editing();
    box.edit().clear();
    return;
  }
  if (change_) return settle_change(false);
  QWidget* focused = QApplication::focusWidget();
  if (reader_->is_finding()) return reader_->close_find_bar();
  auto* line = qobject_cast<QLineEdit*>(focused);
  if (ahead_.running && !(line && !line->text().isEmpty())) return workspace_.stop(session_);
  if (focused && reader_->isAncestorOf(focused)) return;
  if (line) line->clear();
  box.edit().setFocus();
}

void MainWindow::next_pane() {
  QWidget* focused = QApplication::focusWidget();
  const auto inside = [focused](QWidget* pane) { return focused && pane->isAncestorOf(focused); };
  if (inside(conversation_) && library_->isVisible())
    library_->list().setFocus(Qt::TabFocusReason);
  else if (inside(library_) || !reader_->isVisible() || inside(conversation_)) {
    if (reader_->isVisible() && !reader_->fingerprint().isEmpty()) {
      if (reader_->text().has_pictures())
        reader_->pages().setFocus(Qt::TabFocusReason);
      else
        reader_->text_view().setFocus(Qt::TabFocusReason);
    } else {
      conversation_->box().edit().setFocus(Qt::TabFocusReason);
    }
  } else {
    conversation_->box().edit().setFocus(Qt::TabFocusReason);
  }
}

// ---- Files ---------------------------------------------------------------------------------------------------------

void MainWindow::add_paths(const QStringList& paths) {
  if (!paths.isEmpty()) workspace_.add_paths(paths);
}

void MainWindow::add_by_dialog() {
  QFileDialog dialog(this, tr("Add documents"));
  dialog.setObjectName(QStringLiteral("add_dialog"));
  dialog.setFileMode(QFileDialog::ExistingFiles);
  dialog.setNameFilters({tr("Documents and code (*)"), tr("PDF (*.pdf)"), tr("Text and Markdown (*.txt *.md)")});
  if (dialog.exec() == QDialog::Accepted) add_paths(dialog.selectedFiles());
}

void MainWindow::paste_files() {
  const QMimeData* clipboard = QApplication::clipboard()->mimeData();
  if (clipboard && !local_files(clipboard).isEmpty()) {
    add_paths(local_files(clipboard));
  } else if (clipboard && clipboard->hasText()) {
    conversation_->box().edit().setFocus();
    conversation_->box().edit().paste();
  }
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  if (local_files(event->mimeData()).isEmpty()) return;
  event->acceptProposedAction();
  reader_->empty_state().set_drop_active(true);
}

void MainWindow::dragLeaveEvent(QDragLeaveEvent*) {
  reader_->empty_state().set_drop_active(false);
}

void MainWindow::dropEvent(QDropEvent* event) {
  reader_->empty_state().set_drop_active(false);
  const QStringList paths = local_files(event->mimeData());
  if (paths.isEmpty()) return;
  event->acceptProposedAction();
  add_paths(paths);
}

void MainWindow::export_session(std::int64_t session) {
  if (session == 0) return;
  QFileDialog dialog(this, tr("Export session"));
  dialog.setAcceptMode(QFileDialog::AcceptSave);
  dialog.setNameFilters({tr("Markdown (*.md)"), tr("HTML (*.html)"), tr("JSON (*.json)")});
  dialog.setDefaultSuffix(QStringLiteral("md"));
  connect(&dialog, &QFileDialog::filterSelected, &dialog, [&dialog](const QString& filter) {
    dialog.setDefaultSuffix(filter.section(QLatin1String("*."), 1).chopped(1));
  });
  if (dialog.exec() != QDialog::Accepted || dialog.selectedFiles().isEmpty()) return;
  const QString path = dialog.selectedFiles().constFirst();
  const QString suffix = path.section(QLatin1Char('.'), -1).toLower();
  const QString format =
      suffix == QLatin1String("html") || suffix == QLatin1String("json") ? suffix : QStringLiteral("md");
  QSaveFile file(path);
  const QByteArray content = workspace_.export_session(session, format);
  if (!file.open(QIODevice::WriteOnly) || file.write(content) != content.size() || !file.commit()) {
    QMessageBox::warning(this, tr("Export session"),
                         tr("%1: cannot be written (%2). Choose another folder.").arg(path, file.errorString()));
  }
}

// ---- Model and settings --------------------------------------------------------------------------------------------

void MainWindow::choose_model() {
  if (workspace_.models().isEmpty())
    open_model_file();
  else
    engine_status_->show_models();
}

void MainWindow::open_model_file() {
  const QString file = QFileDialog::getOpenFileName(this, tr("Open a model file"), {}, tr("Models (*.gguf)"));
  if (!file.isEmpty()) workspace_.open_model(file);
}

void MainWindow::set_theme(const QString& theme) {
  workspace_.remember(0, QStringLiteral("theme"), theme);
  apply_theme(theme_choice(theme));
}

void MainWindow::open_settings() {
  auto* dialog = new SettingsDialog(workspace_, this);
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  connect(dialog, &SettingsDialog::theme_chosen, this, &MainWindow::set_theme);
  connect(dialog, &SettingsDialog::language_chosen, this,
          [this](const QString& language) { workspace_.remember(0, QStringLiteral("language"), language); });
  connect(dialog, &SettingsDialog::model_file_requested, this, &MainWindow::open_model_file);
  dialog->open();
}

void MainWindow::open_shortcuts() {
  auto* dialog = new ShortcutsDialog(this);
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  dialog->open();
}

// ---- Narrow windows ------------------------------------------------------------------------------------------------

void MainWindow::arrange() {
  const bool narrow = width() < folds_below, single = width() < tabs_below;
  library_->setVisible(narrow ? library_forced_ : library_wanted_);
  tabs_->setVisible(single);
  reader_->setVisible(!single || tabs_->currentIndex() == 0);
  conversation_->setVisible(!single || tabs_->currentIndex() == 1);
  if (single && focusWidget() == engine_status_) {
    // What was hidden had the focus; it goes on in the pane that is shown, not in the strip.
    if (conversation_->isVisible())
      conversation_->box().edit().setFocus();
    else
      reader_->setFocus();
  }
}

void MainWindow::toggle_library() {
  if (width() < folds_below)
    library_forced_ = !library_->isVisible();
  else
    library_wanted_ = !library_->isVisible();
  arrange();
  remember_soon_.start();
}

void MainWindow::resizeEvent(QResizeEvent* event) {
  QMainWindow::resizeEvent(event);
  if (width() >= folds_below) library_forced_ = false;
  arrange();
  remember_soon_.start();
}

}  // namespace lectern::ui

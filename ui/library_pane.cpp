// One list view over one model; this file only connects rows to the workspace and to the window.
#include "ui/library_pane.h"

#include <QHBoxLayout>
#include <QInputDialog>
#include <QKeyEvent>
#include <QLabel>
#include <QLineEdit>
#include <QListView>
#include <QMenu>
#include <QMessageBox>
#include <QPushButton>
#include <QToolButton>
#include <QVBoxLayout>

#include "app/workspace.h"
#include "ui/library_delegate.h"
#include "ui/library_model.h"

namespace lectern::ui {

LibraryPane::LibraryPane(app::Workspace& workspace, QWidget* parent)
    : QWidget(parent),
      workspace_(workspace),
      model_(new LibraryModel(this)),
      search_(new QLineEdit(this)),
      section_(new QLabel(tr("DOCUMENTS"), this)),
      add_(new QToolButton(this)),
      nothing_(new QLabel(this)),
      list_(new QListView(this)) {
  setObjectName(QStringLiteral("library_pane"));
  setAttribute(Qt::WA_StyledBackground);
  setAccessibleName(tr("Library and sessions"));

  search_->setObjectName(QStringLiteral("library_search"));
  search_->setPlaceholderText(tr("Search everything"));
  search_->setToolTip(tr("Searches the names of documents and the text of sessions (Ctrl+Shift+F)"));
  search_->setAccessibleName(tr("Search documents and sessions"));
  search_->setClearButtonEnabled(true);
  search_->installEventFilter(this);

  section_->setProperty("role", QStringLiteral("section"));
  add_->setObjectName(QStringLiteral("add_documents"));
  add_->setText(tr("+ Add"));
  add_->setToolTip(tr("Add documents or a folder (Ctrl+O)"));
  add_->setAccessibleName(tr("Add documents"));
  nothing_->setProperty("role", QStringLiteral("secondary"));
  nothing_->setWordWrap(true);
  nothing_->setContentsMargins(16, 2, 16, 8);

  auto* delegate = new LibraryDelegate(this);
  list_->setObjectName(QStringLiteral("library_list"));
  list_->setAccessibleName(tr("Documents and sessions"));
  list_->setModel(model_);
  list_->setItemDelegate(delegate);
  list_->setMouseTracking(true);
  list_->setEditTriggers(QAbstractItemView::EditKeyPressed);
  list_->setVerticalScrollMode(QAbstractItemView::ScrollPerPixel);
  list_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  list_->setContextMenuPolicy(Qt::CustomContextMenu);
  list_->setResizeMode(QListView::Adjust);
  list_->setUniformItemSizes(false);
  list_->setFrameShape(QFrame::NoFrame);
  list_->installEventFilter(this);

  auto* top = new QHBoxLayout;
  top->setContentsMargins(12, 10, 12, 4);
  top->addWidget(search_);
  auto* header = new QHBoxLayout;
  header->setContentsMargins(16, 4, 12, 0);
  header->addWidget(section_);
  header->addStretch();
  header->addWidget(add_);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addLayout(top);
  layout->addLayout(header);
  layout->addWidget(nothing_);
  layout->addWidget(list_, 1);

  connect(add_, &QToolButton::clicked, this, &LibraryPane::add_requested);
  connect(search_, &QLineEdit::textChanged, this, [this](const QString& text) {
    model_->set_filter(text);
    refresh_sessions();
  });
  connect(list_, &QListView::clicked, this, &LibraryPane::choose);
  connect(list_, &QListView::activated, this, &LibraryPane::choose);
  connect(list_, &QListView::customContextMenuRequested, this, &LibraryPane::show_menu);
  connect(delegate, &LibraryDelegate::action_chosen, this, &LibraryPane::act);
  connect(delegate, &LibraryDelegate::collection_toggled, this, [this](const QModelIndex& index) {
    model_->toggle_collection(index.data(LibraryModel::key_role).toString());
  });
  connect(model_, &LibraryModel::session_renamed, this,
          [this](qint64 session, const QString& name) { workspace_.rename_session(session, name); });
  connect(&workspace_, &app::Workspace::documents_changed, this, &LibraryPane::refresh_documents);
  connect(&workspace_, &app::Workspace::sessions_changed, this, &LibraryPane::refresh_sessions);
  connect(&workspace_, &app::Workspace::document_failed, this,
          [this](const QString& path, const QString&, bool password_needed) {
            model_->set_password_needed(path, password_needed);
            refresh_documents();
          });
  refresh_documents();
  refresh_sessions();
}

void LibraryPane::focus_search() {
  search_->setFocus(Qt::ShortcutFocusReason);
  search_->selectAll();
}

void LibraryPane::refresh_documents() {
  model_->set_documents(workspace_.documents());
  const bool empty = model_->documents().empty();
  nothing_->setText(tr("Drop files or a folder anywhere in the window."));
  nothing_->setVisible(empty);
}

void LibraryPane::refresh_sessions() {
  model_->set_sessions(workspace_.sessions(search_->text().trimmed()));
}

void LibraryPane::choose(const QModelIndex& index) {
  switch (static_cast<LibraryModel::Kind>(index.data(LibraryModel::kind_role).toInt())) {
    case LibraryModel::Kind::session: Q_EMIT session_chosen(index.data(LibraryModel::session_role).toLongLong()); break;
    case LibraryModel::Kind::document: {
      const app::DocumentRow* row = model_->find(index.data(LibraryModel::key_role).toString());
      if (row && row->state == app::DocumentState::ready)
        Q_EMIT document_chosen(QString::fromStdString(row->fingerprint));
      break;
    }
    case LibraryModel::Kind::collection:
    case LibraryModel::Kind::section: break;
  }
}

void LibraryPane::act(const QModelIndex& index, int action) {
  if (index.data(LibraryModel::asks_role).toBool()) {
    Q_EMIT question_answered(action == 0);
    return;
  }
  const bool password = index.data(LibraryModel::password_role).toBool();
  if (password && action == 0)
    ask_password(index.data(LibraryModel::path_role).toString());
  else
    remove(index);
}

void LibraryPane::ask_password(const QString& path) {
  bool given = false;
  const QString password =
      QInputDialog::getText(this, tr("Password"), tr("Password of %1:").arg(path.section(QLatin1Char('/'), -1)),
                            QLineEdit::Password, {}, &given);
  if (!given || password.isEmpty()) return;
  model_->set_password_needed(path, false);
  workspace_.retry_with_password(path, password);
}

void LibraryPane::remove(const QModelIndex& index) {
  const QString key = index.data(LibraryModel::key_role).toString();
  const app::DocumentRow* row = model_->find(key);
  if (row && row->state == app::DocumentState::failed)
    workspace_.remove_document(key);
  else
    Q_EMIT remove_proposed(key);
}

void LibraryPane::delete_session(const QModelIndex& index) {
  const qint64 session = index.data(LibraryModel::session_role).toLongLong();
  QMessageBox box(
      QMessageBox::Question, tr("Delete session"),
      tr("Delete “%1” with its questions and answers? Its documents stay in the library.").arg(index.data().toString()),
      QMessageBox::Cancel, this);
  QPushButton* yes = box.addButton(tr("Delete"), QMessageBox::DestructiveRole);
  box.exec();
  if (box.clickedButton() != yes) return;
  workspace_.delete_session(session);
  Q_EMIT session_deleted(session);
}

void LibraryPane::show_menu(const QPoint& at) {
  const QModelIndex index = list_->indexAt(at);
  if (!index.isValid()) return;
  const QPersistentModelIndex kept(index);
  const auto kind = static_cast<LibraryModel::Kind>(index.data(LibraryModel::kind_role).toInt());
  auto* menu = new QMenu(this);
  menu->setAttribute(Qt::WA_DeleteOnClose);
  if (kind == LibraryModel::Kind::session) {
    const qint64 session = index.data(LibraryModel::session_role).toLongLong();
    const bool pinned = index.data(LibraryModel::pinned_role).toBool();
    menu->addAction(tr("Rename\tF2"), this, [this, kept] { list_->edit(kept); });
    menu->addAction(pinned ? tr("Unpin") : tr("Pin"), this,
                    [this, session, pinned] { workspace_.pin_session(session, !pinned); });
    menu->addAction(tr("Export…"), this, [this, session] { Q_EMIT export_requested(session); });
    menu->addSeparator();
    menu->addAction(tr("Delete…\tDel"), this, [this, kept] { delete_session(kept); });
  } else if (kind == LibraryModel::Kind::document) {
    menu->addAction(tr("Open"), this, [this, kept] { choose(kept); });
    if (index.data(LibraryModel::password_role).toBool()) {
      menu->addAction(tr("Enter password…"), this, [this, kept] { act(kept, 0); });
    }
    if (index.data(LibraryModel::ticked_role).toBool()) {
      const QString key = index.data(LibraryModel::key_role).toString();
      menu->addSeparator();
      menu->addAction(tr("Read it earlier\tAlt+Up"), this, [this, key] { model_->move(key, -1); })
          ->setEnabled(model_->can_move(key, -1));
      menu->addAction(tr("Read it later\tAlt+Down"), this, [this, key] { model_->move(key, 1); })
          ->setEnabled(model_->can_move(key, 1));
    }
    menu->addSeparator();
    menu->addAction(tr("Remove from the library\tDel"), this, [this, kept] { remove(kept); });
  } else if (kind == LibraryModel::Kind::collection) {
    menu->addAction(tr("Show or hide its files"), this,
                    [this, kept] { model_->toggle_collection(kept.data(LibraryModel::key_role).toString()); });
  } else {
    delete menu;
    return;
  }
  menu->popup(list_->viewport()->mapToGlobal(at));
}

bool LibraryPane::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    if (watched == search_ && key->key() == Qt::Key_Escape && !search_->text().isEmpty()) {
      search_->clear();
      return true;
    }
    if (watched == search_ && key->key() == Qt::Key_Down) {
      list_->setFocus();
      return true;
    }
    const QModelIndex index = list_->currentIndex();
    if (watched == list_ && index.isValid()) {
      const auto kind = static_cast<LibraryModel::Kind>(index.data(LibraryModel::kind_role).toInt());
      const bool asks = index.data(LibraryModel::asks_role).toBool();
      if (asks && (key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter)) {
        Q_EMIT question_answered(true);
        return true;
      }
      const bool up = key->key() == Qt::Key_Up, down = key->key() == Qt::Key_Down;
      if ((up || down) && key->modifiers() & Qt::AltModifier && kind == LibraryModel::Kind::document) {
        model_->move(index.data(LibraryModel::key_role).toString(), up ? -1 : 1);
        return true;
      }
      if (key->key() == Qt::Key_Delete && kind == LibraryModel::Kind::session) {
        delete_session(index);
        return true;
      }
      if (key->key() == Qt::Key_Delete && kind == LibraryModel::Kind::document) {
        remove(index);
        return true;
      }
      const QVariant state = index.data(Qt::CheckStateRole);
      if (key->key() == Qt::Key_Space && state.isValid()) {
        model_->setData(index, state.toInt() == Qt::Checked ? Qt::Unchecked : Qt::Checked, Qt::CheckStateRole);
        return true;
      }
      if ((key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter)) {
        if (kind == LibraryModel::Kind::collection)
          model_->toggle_collection(index.data(LibraryModel::key_role).toString());
        else
          choose(index);
        return true;
      }
    }
  }
  return QWidget::eventFilter(watched, event);
}

}  // namespace lectern::ui

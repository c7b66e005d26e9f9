// The left pane: search box, documents, sessions.
#pragma once

#include <QWidget>
#include <cstdint>

class QLabel;
class QLineEdit;
class QListView;
class QToolButton;

namespace lectern::app {
class Workspace;
}

namespace lectern::ui {

class LibraryModel;

class LibraryPane : public QWidget {
  Q_OBJECT
 public:
  explicit LibraryPane(app::Workspace& workspace, QWidget* parent = nullptr);

  LibraryModel& model() { return *model_; }
  QListView& list() { return *list_; }
  void focus_search();
  /// The password box of a document that asks for one.
  void ask_password(const QString& path);

 Q_SIGNALS:
  void add_requested();
  void document_chosen(const QString& fingerprint);
  void session_chosen(qint64 session);
  void session_deleted(qint64 session);
  void export_requested(qint64 session);
  /// A document that was read shall leave the library.
  void remove_proposed(const QString& key);
  /// What a row asked (LibraryModel::ask).
  void question_answered(bool yes);

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void refresh_documents();
  void refresh_sessions();
  void choose(const QModelIndex& index);
  void act(const QModelIndex& index, int action);
  void show_menu(const QPoint& at);
  void remove(const QModelIndex& index);
  void delete_session(const QModelIndex& index);

  app::Workspace& workspace_;
  LibraryModel* model_;
  QLineEdit* search_;
  QLabel* section_;
  QToolButton* add_;
  QLabel* nothing_;
  QListView* list_;
};

}  // namespace lectern::ui

// The window: library | reader | conversation, and the status strip.
#pragma once

#include <QMainWindow>
#include <QStringList>
#include <QTimer>
#include <cstdint>
#include <optional>

#include "app/workspace.h"
#include "ui/question_box.h"

class QLabel;
class QSplitter;
class QTabBar;

namespace lectern::ui {

class ContextMeter;
class ConversationPane;
class DocumentPane;
class EngineStatus;
class LibraryPane;

struct WindowOptions {
  QStringList sample_paths;     // what "Open the sample" adds; empty: no such button
  bool restore_session = true;  // open the session that was open last
  QString warning = {};         // why the library could not be opened: this window's documents are not kept
};

class MainWindow : public QMainWindow {
  Q_OBJECT
 public:
  explicit MainWindow(app::Workspace& workspace, const WindowOptions& options = {}, QWidget* parent = nullptr);
  ~MainWindow() override;

  LibraryPane& library() { return *library_; }
  DocumentPane& reader() { return *reader_; }
  ConversationPane& conversation() { return *conversation_; }
  std::int64_t session() const { return session_; }

  void open_session(std::int64_t session);
  void new_session();
  void add_paths(const QStringList& paths);
  /// Asks as the question box does.
  void ask(const QString& question, QuestionBox::From from = QuestionBox::From::conversation);
  void stop();
  /// Writes place, splitter and session to the workspace now (also done shortly after each change).
  void remember_now();
  void open_settings();
  void open_shortcuts();
  void choose_model();
  void set_theme(const QString& theme);

 protected:
  void closeEvent(QCloseEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dragLeaveEvent(QDragLeaveEvent* event) override;
  void dropEvent(QDropEvent* event) override;

 private:
  struct Waiting {
    QString question;
    std::int64_t parent = 0;
  };
  /// Of the session's documents: asked for by the person, applied when its price is known and accepted.
  struct Change {
    std::vector<QString> from, to;
    QString row;      // of the library, that asks
    QString removed;  // a document that leaves the library, or empty
    bool asked = false;
  };
  void build_layout();
  void build_shortcuts();
  void connect_workspace();
  void connect_panes();
  void show_session();
  void set_session(std::int64_t session);
  void ask_now(const QString& question, std::int64_t parent);
  void ask_waiting();
  void documents_changed();
  void ticks_changed();
  void propose_change(Change change);
  void price_change(const app::DocumentsPrice& price);
  void settle_change(bool yes);
  void measure();
  void show_use();
  void show_costs();
  void show_place();
  void show_neighbour(int step);
  void show_engine();
  void show_ready();
  void add_by_dialog();
  void paste_files();
  void open_model_file();
  void export_session(std::int64_t session);
  void open_citation(const app::Citation& citation, const std::vector<app::Citation>& all);
  void arrange();
  void toggle_library();
  void next_pane();
  void escape();
  void restore();

  app::Workspace& workspace_;
  WindowOptions options_;
  std::int64_t session_ = 0;
  std::optional<Waiting> waiting_;
  std::optional<Change> change_;
  std::optional<app::ContextUse> use_;
  app::ReadingAhead ahead_;      // of this session
  bool opening_ = false;         // a session is being opened: its ticks are not a change
  bool library_wanted_ = true;   // in a wide window
  bool library_forced_ = false;  // shown by hand in a narrow one

  QSplitter* splitter_;
  QTabBar* tabs_;
  LibraryPane* library_;
  DocumentPane* reader_;
  ConversationPane* conversation_;
  QWidget* strip_;
  EngineStatus* engine_status_;
  QLabel* context_label_;
  ContextMeter* meter_;
  QLabel* context_words_;
  QLabel* memory_;
  QTimer remember_soon_, measure_soon_;
};

}  // namespace lectern::ui

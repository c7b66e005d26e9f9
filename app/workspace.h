// What the window sees of the program: calls in, queued signals out. Nothing here waits for another thread.
#pragma once

#include <QByteArray>
#include <QObject>
#include <QString>
#include <QStringList>
#include <cstdint>
#include <optional>
#include <vector>

#include "app/records.h"
#include "documents/document.h"

namespace lectern::app {

/// State of the engine, for the status strip and the empty state.
struct EngineState {
  enum class Phase { none, loading, ready, failed } phase = Phase::none;
  inference::ModelDescription model;  // once ready
  QString problem;                    // one sentence with one action, if failed or none
};

/// Share of the context window, for the context bar.
struct ContextUse {
  struct Part {
    QString name;  // a document's name, "conversation", "instructions"
    std::int64_t tokens = 0;
    bool kept = false;  // already read: costs nothing
  };
  std::vector<Part> parts;
  std::int64_t window = 0;
  bool fits = true;             // false: passages will be chosen, and the answer says so
  double seconds_to_read = -1;  // for what is not kept; negative: unknown
};

/// Pixels of a page, 32-bit BGRX, rows without padding.
struct PagePicture {
  int width = 0, height = 0;
  QByteArray pixels;
};

/// All functions belong to the GUI thread and return at once; getters read the window's own database connection.
class Workspace : public QObject {
  Q_OBJECT
 public:
  using QObject::QObject;

  // Library
  virtual std::vector<DocumentRow> documents() const = 0;  // those being read and those that failed too
  virtual std::optional<documents::Document> document(const QString& fingerprint) const = 0;
  /// Files and folders; documents_changed follows.
  virtual void add_paths(const QStringList& paths) = 0;
  virtual void retry_with_password(const QString& path, const QString& password) = 0;
  virtual void remove_document(const QString& fingerprint_or_path) = 0;
  /// Renders a page: page_rendered follows (or page_failed). A newer request of the same `purpose` replaces waiting
  /// ones.
  virtual void request_page(const QString& fingerprint, int page, double dpi, const QString& purpose) = 0;

  // Sessions
  virtual std::vector<SessionRow> sessions(const QString& search = {}) const = 0;
  virtual std::vector<Message> messages(std::int64_t session) const = 0;           // the branch that is shown, in order
  virtual std::vector<QString> session_documents(std::int64_t session) const = 0;  // fingerprints, in order
  /// Makes a session with these documents; returns its id.
  virtual std::int64_t create_session(const std::vector<QString>& fingerprints) = 0;
  virtual void set_session_documents(std::int64_t session, const std::vector<QString>& fingerprints) = 0;
  virtual void rename_session(std::int64_t session, const QString& name) = 0;
  virtual void pin_session(std::int64_t session, bool pinned) = 0;
  virtual void delete_session(std::int64_t session) = 0;
  /// format: "md", "html" or "json".
  virtual QByteArray export_session(std::int64_t session, const QString& format) const = 0;
  /// Free key and value kept per session and for the window (session 0): open page, scroll place, splitter sizes.
  virtual QString remembered(std::int64_t session, const QString& key) const = 0;
  virtual void remember(std::int64_t session, const QString& key, const QString& value) = 0;

  // Questions
  /// Asks after message `parent` (0: at the end of what is shown; below 0: as a first message, beside the others); the
  /// answer streams through the signals below.
  virtual void ask(std::int64_t session, const QString& question, std::int64_t parent = 0) = 0;
  /// Answers the same question again, as a branch.
  virtual void regenerate(std::int64_t session, std::int64_t answer) = 0;
  /// Stops reading or answering in the session; what was done is kept.
  virtual void stop(std::int64_t session) = 0;
  virtual bool is_busy(std::int64_t session) const = 0;
  /// Recomputes the context bar; context_measured follows.
  virtual void measure_context(std::int64_t session, const std::vector<QString>& fingerprints) = 0;

  // Model
  virtual EngineState engine() const = 0;
  virtual QStringList models() const = 0;  // files in the model folder
  virtual void open_model(const QString& file) = 0;

 Q_SIGNALS:
  void documents_changed();
  void document_failed(const QString& path, const QString& problem, bool password_needed);
  void page_rendered(const QString& fingerprint, int page, double dpi, const QString& purpose,
                     const lectern::app::PagePicture& picture);
  void page_failed(const QString& fingerprint, int page, const QString& purpose, const QString& problem);
  void sessions_changed();
  /// The question was saved and its answer begun.
  void answer_started(std::int64_t session, std::int64_t question, std::int64_t answer);
  void reading_progress(std::int64_t session, std::int64_t read, std::int64_t total, double seconds_left);
  /// More text of the answer; at most once a frame.
  void answer_text(std::int64_t session, std::int64_t answer, const QString& text);
  /// Finished, stopped or failed: the message as saved.
  void answer_finished(std::int64_t session, const lectern::app::Message& answer);
  void context_measured(std::int64_t session, const lectern::app::ContextUse& use);
  void engine_changed();
};

}  // namespace lectern::app

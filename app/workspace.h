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

/// Share of the context window, for the context bar, and what the next question would cost.
struct ContextUse {
  struct Part {
    QString name;  // a document's name, "conversation", "instructions"
    std::int64_t tokens = 0;
    std::int64_t kept = 0;     // of `tokens`: read already, in memory or on disk
    QString fingerprint = {};  // of a document
  };
  std::vector<Part> parts;
  std::int64_t window = 0;
  bool fits = true;  // false: passages will be chosen, and the answer says so; nothing of it counts as kept
  // Of a question that continues the conversation; its own few tokens and the chat template around it are not counted.
  std::int64_t in_memory = 0;                       // kept tokens that cost nothing
  std::int64_t on_disk = 0;                         // kept tokens that must be loaded
  std::int64_t to_read = 0;                         // what must be read before it
  double seconds_to_read = -1;                      // of to_read; negative: unknown
  std::vector<inference::MissReason> miss_reasons;  // why there is something to read
  // Of a question that starts from the documents.
  std::int64_t documents_to_read = 0;
  double documents_seconds = -1;
};

/// The documents being read before anybody asks.
struct ReadingAhead {
  bool running = false;              // false: it ended, or was stopped
  std::int64_t read = 0, total = 0;  // tokens, what was kept included
  double seconds_left = -1;          // negative: unknown
};

/// What another choice or order of a session's documents would cost.
struct DocumentsPrice {
  std::int64_t read_again = 0;  // tokens that are kept now and would have to be read again
  double seconds = -1;          // of reading them; negative: unknown
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
  /// First questions that stand beside each other, the oldest first; each begins a conversation of its own.
  virtual std::vector<std::int64_t> first_questions(std::int64_t session) const = 0;
  /// Shows the conversation that begins with this question, as it was last; conversation_shown follows.
  virtual void show_conversation(std::int64_t session, std::int64_t first_question) = 0;
  /// Stops reading or answering in the session; what was done is kept. Reading ahead that was stopped starts again when
  /// the documents, the session or the model change.
  virtual void stop(std::int64_t session) = 0;
  virtual bool is_busy(std::int64_t session) const = 0;  // with a question; reading ahead does not count
  /// For the session and the documents that the window shows (session 0: one that is not made yet); context_measured
  /// follows. What of the documents is not kept is then read in the background, in place of what was read so before.
  virtual void measure_context(std::int64_t session, const std::vector<QString>& fingerprints) = 0;
  /// What `to` would cost in place of `from`; documents_priced follows.
  virtual void price_documents(std::int64_t session, const std::vector<QString>& from,
                               const std::vector<QString>& to) = 0;
  /// Whether documents are read before a question is asked; kept in the settings.
  virtual bool read_ahead() const = 0;
  virtual void set_read_ahead(bool on) = 0;

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
  void conversation_shown(std::int64_t session);
  void context_measured(std::int64_t session, const lectern::app::ContextUse& use);
  /// Reading in the background goes on or has ended; for the session that measure_context was called with.
  void reading_ahead(std::int64_t session, const lectern::app::ReadingAhead& reading);
  void documents_priced(std::int64_t session, const std::vector<QString>& to,
                        const lectern::app::DocumentsPrice& price);
  void engine_changed();
};

}  // namespace lectern::app

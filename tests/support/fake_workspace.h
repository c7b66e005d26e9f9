// A workspace in memory for tests of the window: what the window asks is recorded, what the program would answer is
// said by the test. Documents come from real files through lectern-reader, or are made up of words on lines.
#pragma once

#include <map>
#include <memory>

#include "app/workspace.h"

namespace lectern::testing {

class FakeWorkspace : public app::Workspace {
  Q_OBJECT
 public:
  explicit FakeWorkspace(QObject* parent = nullptr);
  ~FakeWorkspace() override;

  // ---- The test's side ----
  /// Reads the file with lectern-reader and puts it into the library; pictures of its pages are the reader's.
  QString add_file(const QString& path, std::int64_t tokens);
  /// A PDF of made-up pages: each string is a page, its lines are lines of print. Pictures show the words as bars.
  QString add_made_up(const QString& name, const QStringList& pages, std::int64_t tokens = 100);
  /// A text or code file.
  QString add_text(const QString& name, documents::DocumentKind kind, const QString& text,
                   const QString& collection = {});
  void add_row(const app::DocumentRow& row);
  void set_progress(const QString& path, int read, int pages, double seconds_left);
  /// What was being read at `path` is ready.
  void finish_reading(const QString& path, const QString& fingerprint);
  void fail(const QString& path, const QString& problem, bool password_needed);
  void set_engine(const app::EngineState& state);
  static app::EngineState ready_engine();
  static app::EngineState no_engine();

  std::int64_t add_session(const QString& name, std::vector<app::Message> messages,
                           const std::vector<QString>& fingerprints, std::int64_t changed_ms);
  /// Streams into the answer that was started last.
  void stream(const QString& text);
  void progress(std::int64_t read, std::int64_t total, double seconds_left);
  /// The session's documents are being read in the background.
  void read_on(std::int64_t session, std::int64_t read, std::int64_t total, double seconds_left);
  void end_reading(std::int64_t session);
  /// Finishes the answer that was started last with this text, its citations and its report.
  void finish(app::Message answer);
  /// The citation of a passage that stands on the page; its place is looked up.
  app::Citation cite(int marker, const QString& fingerprint, int page, const QString& quote, const std::string& answer,
                     const std::string& after, app::CitationStatus status = app::CitationStatus::verified) const;

  struct Asked {
    std::int64_t session = 0, parent = 0;
    QString question;
  };
  std::vector<Asked> asked;
  QStringList added_paths, removed, opened_models, passwords;
  std::vector<std::int64_t> stopped, regenerated, deleted;
  std::vector<int> requested_pages;
  bool reads_ahead = true;
  app::DocumentsPrice price{0, 0};  // what price_documents answers
  std::vector<std::vector<QString>> priced;
  std::optional<app::ContextUse> use;  // what measure_context answers; none: made from the documents
  QStringList model_files;

  // ---- Workspace ----
  std::vector<app::DocumentRow> documents() const override { return rows_; }
  std::optional<lectern::documents::Document> document(const QString& fingerprint) const override;
  void add_paths(const QStringList& paths) override;
  void retry_with_password(const QString& path, const QString& password) override;
  void remove_document(const QString& fingerprint_or_path) override;
  void request_page(const QString& fingerprint, int page, double dpi, const QString& purpose) override;
  std::vector<app::SessionRow> sessions(const QString& search) const override;
  std::vector<app::Message> messages(std::int64_t session) const override;
  std::vector<QString> session_documents(std::int64_t session) const override;
  std::int64_t create_session(const std::vector<QString>& fingerprints) override;
  void set_session_documents(std::int64_t session, const std::vector<QString>& fingerprints) override;
  void rename_session(std::int64_t session, const QString& name) override;
  void pin_session(std::int64_t session, bool pinned) override;
  void delete_session(std::int64_t session) override;
  QByteArray export_session(std::int64_t session, const QString& format) const override;
  QString remembered(std::int64_t session, const QString& key) const override;
  void remember(std::int64_t session, const QString& key, const QString& value) override;
  void ask(std::int64_t session, const QString& question, std::int64_t parent) override;
  void regenerate(std::int64_t session, std::int64_t answer) override;
  std::vector<std::int64_t> first_questions(std::int64_t session) const override;
  void show_conversation(std::int64_t session, std::int64_t first_question) override;
  void stop(std::int64_t session) override;
  bool is_busy(std::int64_t session) const override { return busy_ == session && session != 0; }
  void measure_context(std::int64_t session, const std::vector<QString>& fingerprints) override;
  void price_documents(std::int64_t session, const std::vector<QString>& from, const std::vector<QString>& to) override;
  bool read_ahead() const override { return reads_ahead; }
  void set_read_ahead(bool on) override { reads_ahead = on; }
  app::EngineState engine() const override { return engine_; }
  QStringList models() const override { return model_files; }
  void open_model(const QString& file) override { opened_models << file; }

 private:
  struct Session;
  app::PagePicture picture(const lectern::documents::Document& document, int page, double dpi) const;
  Session* find(std::int64_t id);
  const Session* find(std::int64_t id) const;

  std::vector<app::DocumentRow> rows_;
  std::map<QString, lectern::documents::Document> texts_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::map<std::int64_t, std::map<std::int64_t, std::vector<app::Message>>> set_aside_;  // conversations not shown
  std::map<std::pair<std::int64_t, QString>, QString> remembered_;
  app::EngineState engine_;
  std::int64_t next_id_ = 1, busy_ = 0, answer_ = 0;
};

}  // namespace lectern::testing

// The real Workspace: library, sessions, settings and model of this machine.
#pragma once

#include <memory>
#include <string>

#include "app/engine_host.h"
#include "app/workspace.h"

namespace lectern::app {

struct LocalWorkspaceOptions {
  std::string library;   // database file
  std::string settings;  // settings file
  std::string models_folder;
  std::string kept_folder;  // where readings are kept; empty: in memory alone
  EngineOpener opener;      // empty: a local engine with the threads and window of the settings
  bool open_model = true;   // at once, as the settings say
};
/// In the XDG folders of the user.
LocalWorkspaceOptions default_workspace_options();

/// Throws DatabaseError if the library cannot be opened.
class LocalWorkspace : public Workspace {
  Q_OBJECT
 public:
  explicit LocalWorkspace(const LocalWorkspaceOptions& options, QObject* parent = nullptr);
  ~LocalWorkspace() override;  // stops reading and answering; what was done is kept

  std::vector<DocumentRow> documents() const override;
  std::optional<documents::Document> document(const QString& fingerprint) const override;
  void add_paths(const QStringList& paths) override;
  void retry_with_password(const QString& path, const QString& password) override;
  void remove_document(const QString& fingerprint_or_path) override;
  void request_page(const QString& fingerprint, int page, double dpi, const QString& purpose) override;

  std::vector<SessionRow> sessions(const QString& search = {}) const override;
  std::vector<Message> messages(std::int64_t session) const override;
  std::vector<QString> session_documents(std::int64_t session) const override;
  std::int64_t create_session(const std::vector<QString>& fingerprints) override;
  void set_session_documents(std::int64_t session, const std::vector<QString>& fingerprints) override;
  void rename_session(std::int64_t session, const QString& name) override;
  void pin_session(std::int64_t session, bool pinned) override;
  void delete_session(std::int64_t session) override;
  QByteArray export_session(std::int64_t session, const QString& format) const override;
  QString remembered(std::int64_t session, const QString& key) const override;
  void remember(std::int64_t session, const QString& key, const QString& value) override;

  void ask(std::int64_t session, const QString& question, std::int64_t parent = 0) override;
  void regenerate(std::int64_t session, std::int64_t answer) override;
  std::vector<std::int64_t> first_questions(std::int64_t session) const override;
  void show_conversation(std::int64_t session, std::int64_t first_question) override;
  void stop(std::int64_t session) override;
  bool is_busy(std::int64_t session) const override;
  void measure_context(std::int64_t session, const std::vector<QString>& fingerprints) override;
  void price_documents(std::int64_t session, const std::vector<QString>& from, const std::vector<QString>& to) override;
  bool read_ahead() const override;
  void set_read_ahead(bool on) override;

  EngineState engine() const override;
  QStringList models() const override;
  void open_model(const QString& file) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lectern::app

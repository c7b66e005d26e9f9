// Reads go through the GUI thread's own read-only connection, writes are posted to the database thread and announced
// when they are done; until then what was written is read from a small overlay, so that the window never sees its own
// change undone. A new session needs its number at once: one empty session is always made ahead and handed out; it is
// not listed before.
#include "app/local_workspace.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "app/conversation_export.h"
#include "app/database_writer.h"
#include "app/ingest_host.h"
#include "app/kept_readings.h"
#include "app/library.h"
#include "app/model_store.h"
#include "app/page_host.h"
#include "app/paths.h"
#include "app/prompt_builder.h"
#include "app/session_store.h"
#include "app/settings.h"
#include "inference/local_engine.h"

namespace lectern::app {
namespace {

constexpr float regenerate_temperature = 0.7F;  // greedy decoding would write the same answer again

std::vector<std::string> to_std(const std::vector<QString>& list) {
  std::vector<std::string> result;
  for (const QString& item : list) result.push_back(item.toStdString());
  return result;
}

std::vector<QString> to_qt(const std::vector<std::string>& list) {
  std::vector<QString> result;
  for (const std::string& item : list) result.push_back(QString::fromStdString(item));
  return result;
}

EngineOpener local_opener(const std::string& settings_path, const std::string& kept_folder) {
  return [settings_path, kept_folder](const std::string& file) {
    const Settings settings = load_settings(settings_path).settings;
    inference::LocalEngineOptions options;
    options.file = file;
    options.threads = settings.threads;
    if (settings.window_tokens > 0) options.window = settings.window_tokens;
    keep_readings(settings, kept_folder, options);
    return std::shared_ptr<inference::Engine>(inference::open_local_engine(options));
  };
}

}  // namespace

struct LocalWorkspace::State {
  State(LocalWorkspace& workspace, const LocalWorkspaceOptions& workspace_options)
      : owner(workspace),
        options(workspace_options),
        settings(load_settings(options.settings).settings),
        writer(options.library),
        reading(options.library, Database::Mode::read_only),
        ingest(writer),
        engine(writer, options.opener ? options.opener : local_opener(options.settings, options.kept_folder)) {
    engine.set_read_ahead(settings.read_ahead);
  }

  /// Queues a write; `done` runs on the GUI thread afterwards, also if it failed (then the problem is shown).
  void write(std::function<void(Database&)> task, std::function<void()> done) {
    writer.post([this, task = std::move(task), done = std::move(done)](Database& database) {
      std::string problem;
      try {
        task(database);
      } catch (const std::exception& error) {
        problem = error.what();
      }
      QMetaObject::invokeMethod(
          &owner,
          [this, done, problem] {
            if (!problem.empty()) {
              Q_EMIT owner.document_failed(QString::fromStdString(options.library), QString::fromStdString(problem),
                                           false);
            }
            done();
          },
          Qt::QueuedConnection);
    });
  }

  /// Changes one value of the settings file; a read-only home: the choice holds for this run.
  template <class Change>
  void change_settings(Change change) {
    change(settings);
    try {
      Settings kept = load_settings(options.settings).settings;
      change(kept);
      save_settings(options.settings, kept);
      settings = kept;
    } catch (const std::exception&) {
    }
  }

  /// In the list of documents, where the person who deleted something looks.
  void tell_what_is_not_forgotten(const std::string& problem) {
    if (problem.empty()) return;
    Q_EMIT owner.document_failed(QString::fromStdString(options.kept_folder),
                                 QStringLiteral("kept readings: ") + QString::fromStdString(problem), false);
  }

  void make_spare_session() {
    const auto made = std::make_shared<std::int64_t>(0);
    write([made](Database& database) { *made = SessionStore(database).create({}); }, [this, made] { spare = *made; });
  }

  AskOptions ask_options() const {
    AskOptions asked;
    asked.sampling = settings.sampling;
    asked.max_tokens = settings.max_tokens;
    return asked;
  }

  void open_model(const std::string& wanted) {
    try {
      engine.open(choose_model(options.models_folder, wanted));
    } catch (const std::exception& error) {
      engine.fail(QString::fromUtf8(error.what()));
    }
  }

  LocalWorkspace& owner;
  LocalWorkspaceOptions options;
  Settings settings;
  std::int64_t spare = 0;  // an empty session that nobody has seen
  std::set<std::int64_t> created;
  std::int64_t tokens_shown = 0;
  std::map<std::int64_t, std::pair<int, std::vector<std::string>>> documents_on_the_way;
  std::map<std::pair<std::int64_t, QString>, QString> remembered;

  DatabaseWriter writer;
  mutable Database reading;
  PageHost pages;
  IngestHost ingest;
  EngineHost engine;
};

LocalWorkspaceOptions default_workspace_options() {
  LocalWorkspaceOptions options;
  options.library = library_file();
  options.settings = settings_file();
  options.models_folder = models_folder();
  options.kept_folder = kept_folder().string();
  return options;
}

LocalWorkspace::LocalWorkspace(const LocalWorkspaceOptions& options, QObject* parent)
    : Workspace(parent), state_(std::make_unique<State>(*this, options)) {
  State& state = *state_;
  connect(&state.ingest, &IngestHost::changed, this, &Workspace::documents_changed);
  connect(&state.ingest, &IngestHost::failed, this, &Workspace::document_failed);
  connect(&state.pages, &PageHost::page_rendered, this, &Workspace::page_rendered);
  connect(&state.pages, &PageHost::page_failed, this, &Workspace::page_failed);
  connect(&state.engine, &EngineHost::engine_changed, this, [this] {
    Q_EMIT engine_changed();
    Q_EMIT documents_changed();  // tokens are counted with the model that is open
  });
  connect(&state.engine, &EngineHost::answer_started, this,
          [this](std::int64_t session, std::int64_t question, std::int64_t answer) {
            Q_EMIT answer_started(session, question, answer);
            Q_EMIT sessions_changed();
          });
  connect(&state.engine, &EngineHost::reading_progress, this, &Workspace::reading_progress);
  connect(&state.engine, &EngineHost::answer_text, this, &Workspace::answer_text);
  connect(&state.engine, &EngineHost::answer_finished, this, [this](std::int64_t session, const Message& answer) {
    Q_EMIT answer_finished(session, answer);
    Q_EMIT sessions_changed();
  });
  connect(&state.engine, &EngineHost::context_measured, this, [this](std::int64_t session, const ContextUse& use) {
    Q_EMIT context_measured(session, use);
    std::int64_t tokens = 0;
    for (const ContextUse::Part& part : use.parts) tokens += part.tokens;
    if (std::exchange(state_->tokens_shown, tokens) != tokens) Q_EMIT documents_changed();  // rows show their tokens
  });
  connect(&state.engine, &EngineHost::reading_ahead, this, &Workspace::reading_ahead);
  connect(&state.engine, &EngineHost::documents_priced, this,
          [this](std::int64_t session, const std::vector<std::string>& to, const DocumentsPrice& price) {
            Q_EMIT documents_priced(session, to_qt(to), price);
          });
  state.write(
      [](Database& database) {
        SessionStore store(database);
        for (const SessionRow& row : store.list()) store.mark_interrupted(row.id);
      },
      [this] { Q_EMIT sessions_changed(); });
  state.make_spare_session();
  if (options.open_model) state.open_model(state.settings.model);
}

LocalWorkspace::~LocalWorkspace() {
  if (const std::int64_t spare = state_->spare; spare != 0) {
    state_->writer.post([spare](Database& database) { SessionStore(database).remove(spare); });
  }
}

std::vector<DocumentRow> LocalWorkspace::documents() const {
  std::vector<DocumentRow> rows = state_->ingest.rows();
  const Library library(state_->reading);
  const std::string& model = state_->engine.engine().model.file;
  for (DocumentRow& row : library.list()) {
    const bool again =
        std::any_of(rows.begin(), rows.end(), [&](const DocumentRow& other) { return other.path == row.path; });
    if (again) continue;  // it is being read anew
    if (!model.empty()) row.tokens = library.tokens(row.fingerprint, model).value_or(0);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::optional<documents::Document> LocalWorkspace::document(const QString& fingerprint) const {
  return Library(state_->reading).load(fingerprint.toStdString());
}

void LocalWorkspace::add_paths(const QStringList& paths) {
  state_->ingest.add(paths);
}

void LocalWorkspace::retry_with_password(const QString& path, const QString& password) {
  state_->pages.set_password(path, password);
  state_->ingest.add({path}, password);
}

void LocalWorkspace::remove_document(const QString& fingerprint_or_path) {
  state_->ingest.dismiss(fingerprint_or_path);
  state_->pages.forget(fingerprint_or_path);
  const auto ids = std::make_shared<std::vector<std::string>>(1, fingerprint_or_path.toStdString());
  const auto problem = std::make_shared<std::string>();
  state_->write(
      [state = state_.get(), ids, problem](Database& database) {
        Library library(database);
        for (std::string& former : library.former_versions(ids->front())) ids->push_back(std::move(former));
        library.remove(ids->front());
        *problem = forget_readings(state->options.kept_folder, *ids).problem;
      },
      [this, ids, problem] {
        state_->engine.forget(*ids);
        state_->tell_what_is_not_forgotten(*problem);
        Q_EMIT documents_changed();
      });
}

void LocalWorkspace::request_page(const QString& fingerprint, int page, double dpi, const QString& purpose) {
  const std::optional<DocumentRow> row = Library(state_->reading).row(fingerprint.toStdString());
  state_->pages.request(fingerprint, row ? QString::fromStdString(row->path) : QString(), page, dpi, purpose);
}

std::vector<SessionRow> LocalWorkspace::sessions(const QString& search) const {
  const SessionStore store(state_->reading);
  std::vector<SessionRow> rows = store.list(search.toStdString());
  // Spare sessions, of this process and of any other, are empty in every way.
  std::erase_if(rows, [&](const SessionRow& row) {
    return row.messages == 0 && !state_->created.contains(row.id) && store.documents(row.id).empty();
  });
  return rows;
}

std::vector<Message> LocalWorkspace::messages(std::int64_t session) const {
  return SessionStore(state_->reading).branch(session);
}

std::vector<QString> LocalWorkspace::session_documents(std::int64_t session) const {
  const auto found = state_->documents_on_the_way.find(session);
  std::vector<QString> result;
  for (const std::string& fingerprint : found != state_->documents_on_the_way.end()
                                            ? found->second.second
                                            : SessionStore(state_->reading).documents(session)) {
    result.push_back(QString::fromStdString(fingerprint));
  }
  return result;
}

std::int64_t LocalWorkspace::create_session(const std::vector<QString>& fingerprints) {
  std::int64_t session = std::exchange(state_->spare, 0);
  // The spare one is still on its way only right after the last session was made.
  if (session == 0) session = state_->writer.call([](Database& database) { return SessionStore(database).create({}); });
  state_->created.insert(session);
  state_->make_spare_session();
  set_session_documents(session, fingerprints);
  return session;
}

void LocalWorkspace::set_session_documents(std::int64_t session, const std::vector<QString>& fingerprints) {
  auto& on_the_way = state_->documents_on_the_way[session];
  ++on_the_way.first;
  on_the_way.second = to_std(fingerprints);
  state_->write([session, list = to_std(fingerprints)](
                    Database& database) { SessionStore(database).set_documents(session, list); },
                [this, session] {
                  const auto found = state_->documents_on_the_way.find(session);
                  if (found != state_->documents_on_the_way.end() && --found->second.first == 0)
                    state_->documents_on_the_way.erase(found);
                  Q_EMIT sessions_changed();
                });
}

void LocalWorkspace::rename_session(std::int64_t session, const QString& name) {
  state_->write(
      [session, text = name.toStdString()](Database& database) { SessionStore(database).rename(session, text); },
      [this] { Q_EMIT sessions_changed(); });
}

void LocalWorkspace::pin_session(std::int64_t session, bool pinned) {
  state_->write([session, pinned](Database& database) { SessionStore(database).pin(session, pinned); },
                [this] { Q_EMIT sessions_changed(); });
}

void LocalWorkspace::delete_session(std::int64_t session) {
  state_->engine.stop(session);
  state_->created.erase(session);
  const auto ids = std::make_shared<std::vector<std::string>>();
  const auto problem = std::make_shared<std::string>();
  state_->write(
      [state = state_.get(), ids, problem, session](Database& database) {
        SessionStore store(database);
        *ids = segment_ids(store, session);
        store.remove(session);
        *problem = forget_readings(state->options.kept_folder, *ids).problem;
      },
      [this, ids, problem] {
        state_->engine.forget(*ids);
        state_->tell_what_is_not_forgotten(*problem);
        Q_EMIT sessions_changed();
      });
}

QByteArray LocalWorkspace::export_session(std::int64_t session, const QString& format) const {
  const std::optional<ExportFormat> known = export_format(format.toStdString());
  if (!known) return {};
  const auto conversation = load_conversation(state_->reading, session, *known == ExportFormat::json);
  return conversation ? QByteArray::fromStdString(export_conversation(*conversation, *known)) : QByteArray();
}

QString LocalWorkspace::remembered(std::int64_t session, const QString& key) const {
  const auto found = state_->remembered.find({session, key});
  if (found != state_->remembered.end()) return found->second;
  return QString::fromStdString(SessionStore(state_->reading).remembered(session, key.toStdString()));
}

void LocalWorkspace::remember(std::int64_t session, const QString& key, const QString& value) {
  state_->remembered[{session, key}] = value;
  state_->write([session, name = key.toStdString(), text = value.toStdString()](
                    Database& database) { SessionStore(database).remember(session, name, text); },
                [] {});
}

void LocalWorkspace::ask(std::int64_t session, const QString& question, std::int64_t parent) {
  state_->engine.ask(session, question, parent, state_->ask_options());
}

void LocalWorkspace::regenerate(std::int64_t session, std::int64_t answer) {
  AskOptions options = state_->ask_options();
  if (options.sampling.temperature <= 0) {
    const inference::SamplingOptions recommended = state_->engine.engine().model.recommended;
    if (recommended.temperature > 0)
      options.sampling = recommended;
    else
      options.sampling.temperature = regenerate_temperature;
  }
  options.sampling.seed = std::random_device{}();
  state_->engine.regenerate(session, answer, options);
}

std::vector<std::int64_t> LocalWorkspace::first_questions(std::int64_t session) const {
  return SessionStore(state_->reading).first_questions(session);
}

void LocalWorkspace::show_conversation(std::int64_t session, std::int64_t first_question) {
  state_->write(
      [session, first_question](Database& database) {
        SessionStore store(database);
        store.show_branch(session, store.newest_after(first_question));
      },
      [this, session] { Q_EMIT conversation_shown(session); });
}

void LocalWorkspace::stop(std::int64_t session) {
  state_->engine.stop(session);
}

bool LocalWorkspace::is_busy(std::int64_t session) const {
  return state_->engine.is_busy(session);
}

void LocalWorkspace::measure_context(std::int64_t session, const std::vector<QString>& fingerprints) {
  state_->engine.measure(session, to_std(fingerprints), state_->settings.max_tokens);
}

void LocalWorkspace::price_documents(std::int64_t session, const std::vector<QString>& from,
                                     const std::vector<QString>& to) {
  state_->engine.price(session, to_std(from), to_std(to));
}

bool LocalWorkspace::read_ahead() const {
  return state_->settings.read_ahead;
}

void LocalWorkspace::set_read_ahead(bool on) {
  state_->change_settings([on](Settings& settings) { settings.read_ahead = on; });
  state_->engine.set_read_ahead(on);
}

EngineState LocalWorkspace::engine() const {
  return state_->engine.engine();
}

QStringList LocalWorkspace::models() const {
  QStringList names;
  for (const std::string& name : list_models(state_->options.models_folder))
    names.push_back(QString::fromStdString(name));
  return names;
}

void LocalWorkspace::open_model(const QString& file) {
  state_->change_settings([name = file.toStdString()](Settings& settings) { settings.model = name; });
  state_->open_model(state_->settings.model);
}

}  // namespace lectern::app

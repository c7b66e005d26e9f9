// Signals leave as in the real workspace: from the event loop, never from inside the call that caused them.
#include "tests/support/fake_workspace.h"

#include <QDateTime>
#include <QImage>
#include <QPainter>
#include <QTimer>
#include <algorithm>

#include "documents/reader_client.h"

namespace lectern::testing {

struct FakeWorkspace::Session {
  app::SessionRow row;
  std::vector<app::Message> messages;
  std::vector<QString> documents;
};

FakeWorkspace::FakeWorkspace(QObject* parent) : Workspace(parent), engine_(ready_engine()) {}

FakeWorkspace::~FakeWorkspace() = default;

app::EngineState FakeWorkspace::ready_engine() {
  app::EngineState state;
  state.phase = app::EngineState::Phase::ready;
  state.model.name = "SmolLM2 135M Instruct";
  state.model.architecture = "llama";
  state.model.quantization = "Q4_1";
  state.model.device = "CPU, 2 threads";
  state.model.window = 8192;
  state.model.memory_bytes = 312'000'000;
  return state;
}

app::EngineState FakeWorkspace::no_engine() {
  app::EngineState state;
  state.problem =
      QStringLiteral("No model is open: choose a GGUF file, or run installer/run to fetch the default model.");
  return state;
}

QString FakeWorkspace::add_file(const QString& path, std::int64_t tokens) {
  lectern::documents::Document document = lectern::documents::read_document(path.toStdString());
  app::DocumentRow row;
  row.fingerprint = document.fingerprint;
  row.name = document.name;
  row.path = path.toStdString();
  row.kind = lectern::documents::name(document.kind);
  row.pages = static_cast<int>(document.pages.size());
  row.tokens = tokens;
  const QString key = QString::fromStdString(document.fingerprint);
  texts_[key] = std::move(document);
  add_row(row);
  return key;
}

QString FakeWorkspace::add_made_up(const QString& name, const QStringList& pages, std::int64_t tokens) {
  lectern::documents::Document document;
  document.fingerprint = "made-up-" + name.toStdString();
  document.name = name.toStdString();
  document.kind = lectern::documents::DocumentKind::pdf;
  for (int i = 0; i < pages.size(); ++i) {
    lectern::documents::Page page;
    page.number = i + 1;
    page.width_pt = 420;
    page.height_pt = 595;
    page.text = pages[i].toStdString();
    const std::u32string text = pages[i].toStdU32String();
    double x = 50, y = 60;
    std::int64_t start = -1;
    for (std::size_t at = 0; at <= text.size(); ++at) {
      const bool end = at == text.size() || text[at] == U' ' || text[at] == U'\n';
      if (!end && start < 0) start = static_cast<std::int64_t>(at);
      if (end && start >= 0) {
        const double width = 6.0 * static_cast<double>(static_cast<std::int64_t>(at) - start);
        page.words.push_back({start, static_cast<std::int64_t>(at), {x, y, x + width, y + 12}});
        x += width + 6;
        start = -1;
      }
      if (at < text.size() && text[at] == U'\n') {
        x = 50;
        y += 18;
      }
    }
    document.pages.push_back(std::move(page));
  }
  app::DocumentRow row;
  row.fingerprint = document.fingerprint;
  row.name = document.name;
  row.path = "/documents/" + document.name;
  row.kind = "pdf";
  row.pages = static_cast<int>(pages.size());
  row.tokens = tokens;
  const QString key = QString::fromStdString(document.fingerprint);
  texts_[key] = std::move(document);
  add_row(row);
  return key;
}

QString FakeWorkspace::add_text(const QString& name, lectern::documents::DocumentKind kind, const QString& text,
                                const QString& collection) {
  lectern::documents::Document document;
  document.fingerprint = "text-" + name.toStdString();
  document.name = name.toStdString();
  document.kind = kind;
  lectern::documents::Page page;
  page.number = 1;
  page.text = text.toStdString();
  page.first_line = 1;
  page.last_line = static_cast<int>(text.count(QLatin1Char('\n'))) + 1;
  document.pages.push_back(page);
  app::DocumentRow row;
  row.fingerprint = document.fingerprint;
  row.name = document.name;
  row.path = "/documents/" + document.name;
  row.collection = collection.toStdString();
  row.kind = lectern::documents::name(kind);
  row.pages = 1;
  row.tokens = static_cast<std::int64_t>(text.size() / 4);
  const QString key = QString::fromStdString(document.fingerprint);
  texts_[key] = std::move(document);
  add_row(row);
  return key;
}

void FakeWorkspace::add_row(const app::DocumentRow& row) {
  rows_.push_back(row);
  Q_EMIT documents_changed();
}

void FakeWorkspace::set_progress(const QString& path, int read, int pages, double seconds_left) {
  for (app::DocumentRow& row : rows_) {
    if (QString::fromStdString(row.path) != path) continue;
    row.state = app::DocumentState::reading;
    row.pages_read = read;
    row.pages = pages;
    row.seconds_left = seconds_left;
  }
  Q_EMIT documents_changed();
}

void FakeWorkspace::finish_reading(const QString& path, const QString& fingerprint) {
  for (app::DocumentRow& row : rows_) {
    if (QString::fromStdString(row.path) != path) continue;
    row.state = app::DocumentState::ready;
    row.fingerprint = fingerprint.toStdString();
  }
  Q_EMIT documents_changed();
}

void FakeWorkspace::fail(const QString& path, const QString& problem, bool password_needed) {
  for (app::DocumentRow& row : rows_) {
    if (QString::fromStdString(row.path) != path) continue;
    row.state = app::DocumentState::failed;
    row.problem = problem.toStdString();
  }
  Q_EMIT documents_changed();
  Q_EMIT document_failed(path, problem, password_needed);
}

void FakeWorkspace::set_engine(const app::EngineState& state) {
  engine_ = state;
  Q_EMIT engine_changed();
}

std::int64_t FakeWorkspace::add_session(const QString& name, std::vector<app::Message> messages,
                                        const std::vector<QString>& fingerprints, std::int64_t changed_ms) {
  auto session = std::make_unique<Session>();
  session->row.id = next_id_++;
  session->row.name = name.toStdString();
  session->row.messages = static_cast<int>(messages.size());
  session->row.changed_ms = changed_ms;
  session->messages = std::move(messages);
  for (app::Message& message : session->messages) message.session = session->row.id;
  session->documents = fingerprints;
  sessions_.push_back(std::move(session));
  Q_EMIT sessions_changed();
  return sessions_.back()->row.id;
}

void FakeWorkspace::stream(const QString& text) {
  Session* session = find(busy_);
  if (!session) return;
  session->messages.back().text += text.toStdString();
  Q_EMIT answer_text(busy_, answer_, text);
}

void FakeWorkspace::progress(std::int64_t read, std::int64_t total, double seconds_left) {
  Q_EMIT reading_progress(busy_, read, total, seconds_left);
}

void FakeWorkspace::read_on(std::int64_t session, std::int64_t read, std::int64_t total, double seconds_left) {
  Q_EMIT reading_ahead(session, {true, read, total, seconds_left});
}

void FakeWorkspace::end_reading(std::int64_t session) {
  Q_EMIT reading_ahead(session, {});
}

void FakeWorkspace::finish(app::Message answer) {
  Session* session = find(busy_);
  if (!session) return;
  answer.id = answer_;
  answer.session = busy_;
  answer.role = inference::Role::assistant;
  if (session->messages.size() >= 2) answer.parent = session->messages[session->messages.size() - 2].id;
  session->messages.back() = answer;
  const std::int64_t id = std::exchange(busy_, 0);
  Q_EMIT answer_finished(id, answer);
  Q_EMIT sessions_changed();
}

app::Citation FakeWorkspace::cite(int marker, const QString& fingerprint, int page, const QString& quote,
                                  const std::string& answer, const std::string& after,
                                  app::CitationStatus status) const {
  app::Citation citation;
  citation.marker = marker;
  citation.status = status;
  citation.quote = quote.toStdString();
  const auto text = texts_.find(fingerprint);
  if (text != texts_.end() && status != app::CitationStatus::absent) {
    citation.fingerprint = fingerprint.toStdString();
    citation.document = text->second.name;
    citation.page = page;
    const std::u32string where =
        QString::fromStdString(text->second.pages[static_cast<std::size_t>(page - 1)].text).toStdU32String();
    // Line breaks of the page count as blanks.
    std::u32string folded = where, needle = quote.toStdU32String();
    std::replace(folded.begin(), folded.end(), U'\n', U' ');
    const std::size_t at = folded.find(needle);
    if (at != std::u32string::npos) {
      citation.start = static_cast<std::int64_t>(at);
      citation.end = static_cast<std::int64_t>(at + needle.size());
    }
  }
  if (!after.empty()) {
    const std::size_t at = answer.find(after);
    if (at != std::string::npos) {
      citation.answer_end = static_cast<std::int64_t>(
          QString::fromStdString(answer.substr(0, at + after.size())).toStdU32String().size());
    }
  }
  return citation;
}

std::optional<lectern::documents::Document> FakeWorkspace::document(const QString& fingerprint) const {
  const auto at = texts_.find(fingerprint);
  if (at == texts_.end()) return std::nullopt;
  return at->second;
}

void FakeWorkspace::add_paths(const QStringList& paths) {
  added_paths << paths;
  for (const QString& path : paths) {
    app::DocumentRow row;
    row.name = path.section(QLatin1Char('/'), -1).toStdString();
    row.path = path.toStdString();
    row.kind = "pdf";
    row.state = app::DocumentState::reading;
    rows_.push_back(row);
  }
  QTimer::singleShot(0, this, [this] { Q_EMIT documents_changed(); });
}

void FakeWorkspace::retry_with_password(const QString& path, const QString& password) {
  passwords << path << password;
}

void FakeWorkspace::remove_document(const QString& fingerprint_or_path) {
  removed << fingerprint_or_path;
  std::erase_if(rows_, [&](const app::DocumentRow& row) {
    return QString::fromStdString(row.path) == fingerprint_or_path ||
           QString::fromStdString(row.fingerprint) == fingerprint_or_path;
  });
  QTimer::singleShot(0, this, [this] { Q_EMIT documents_changed(); });
}

app::PagePicture FakeWorkspace::picture(const lectern::documents::Document& document, int page, double dpi) const {
  app::PagePicture result;
  for (const app::DocumentRow& row : rows_) {
    if (row.fingerprint != document.fingerprint || document.fingerprint.starts_with("made-up-")) continue;
    auto reader = lectern::documents::ReaderProcess::open(row.path, {});
    const lectern::documents::Picture rendered = reader.render(page, dpi);
    result.width = rendered.width;
    result.height = rendered.height;
    result.pixels = QByteArray(rendered.pixels.data(), static_cast<qsizetype>(rendered.pixels.size()));
    return result;
  }
  const lectern::documents::Page& source = document.pages[static_cast<std::size_t>(page - 1)];
  const double scale = dpi / 72;
  QImage image(static_cast<int>(source.width_pt * scale), static_cast<int>(source.height_pt * scale),
               QImage::Format_RGB32);
  image.fill(Qt::white);
  QPainter painter(&image);
  for (const auto& word : source.words) {
    painter.fillRect(
        QRectF(word.box.x0 * scale, word.box.y0 * scale + 3, (word.box.x1 - word.box.x0) * scale, 5 * scale),
        Qt::darkGray);
  }
  painter.end();
  result.width = image.width();
  result.height = image.height();
  result.pixels = QByteArray(reinterpret_cast<const char*>(image.constBits()), image.sizeInBytes());
  return result;
}

void FakeWorkspace::request_page(const QString& fingerprint, int page, double dpi, const QString& purpose) {
  requested_pages.push_back(page);
  QTimer::singleShot(0, this, [this, fingerprint, page, dpi, purpose] {
    const auto at = texts_.find(fingerprint);
    if (at == texts_.end() || page < 1 || page > static_cast<int>(at->second.pages.size())) {
      Q_EMIT page_failed(fingerprint, page, purpose, QStringLiteral("page %1: there is no such page").arg(page));
      return;
    }
    Q_EMIT page_rendered(fingerprint, page, dpi, purpose, picture(at->second, page, dpi));
  });
}

FakeWorkspace::Session* FakeWorkspace::find(std::int64_t id) {
  for (auto& session : sessions_) {
    if (session->row.id == id) return session.get();
  }
  return nullptr;
}

const FakeWorkspace::Session* FakeWorkspace::find(std::int64_t id) const {
  return const_cast<FakeWorkspace*>(this)->find(id);
}

std::vector<app::SessionRow> FakeWorkspace::sessions(const QString& search) const {
  std::vector<app::SessionRow> rows;
  for (const auto& session : sessions_) {
    if (QString::fromStdString(session->row.name).contains(search, Qt::CaseInsensitive)) rows.push_back(session->row);
  }
  return rows;
}

std::vector<app::Message> FakeWorkspace::messages(std::int64_t session) const {
  const Session* found = find(session);
  return found ? found->messages : std::vector<app::Message>();
}

std::vector<QString> FakeWorkspace::session_documents(std::int64_t session) const {
  const Session* found = find(session);
  return found ? found->documents : std::vector<QString>();
}

std::int64_t FakeWorkspace::create_session(const std::vector<QString>& fingerprints) {
  return add_session({}, {}, fingerprints, QDateTime::currentMSecsSinceEpoch());
}

void FakeWorkspace::set_session_documents(std::int64_t session, const std::vector<QString>& fingerprints) {
  if (Session* found = find(session)) found->documents = fingerprints;
}

void FakeWorkspace::rename_session(std::int64_t session, const QString& name) {
  if (Session* found = find(session)) found->row.name = name.toStdString();
  QTimer::singleShot(0, this, [this] { Q_EMIT sessions_changed(); });
}

void FakeWorkspace::pin_session(std::int64_t session, bool pinned) {
  if (Session* found = find(session)) found->row.pinned = pinned;
  QTimer::singleShot(0, this, [this] { Q_EMIT sessions_changed(); });
}

void FakeWorkspace::delete_session(std::int64_t session) {
  deleted.push_back(session);
  std::erase_if(sessions_, [session](const auto& s) { return s->row.id == session; });
  QTimer::singleShot(0, this, [this] { Q_EMIT sessions_changed(); });
}

QByteArray FakeWorkspace::export_session(std::int64_t session, const QString& format) const {
  return "session " + QByteArray::number(static_cast<qlonglong>(session)) + " as " + format.toUtf8();
}

QString FakeWorkspace::remembered(std::int64_t session, const QString& key) const {
  const auto at = remembered_.find({session, key});
  return at == remembered_.end() ? QString() : at->second;
}

void FakeWorkspace::remember(std::int64_t session, const QString& key, const QString& value) {
  remembered_[{session, key}] = value;
}

void FakeWorkspace::ask(std::int64_t session, const QString& question, std::int64_t parent) {
  asked.push_back({session, parent, question});
  Session* found = find(session);
  if (!found) return;
  if (parent < 0 && !found->messages.empty()) {
    const std::int64_t first = found->messages.front().id;
    set_aside_[session][first] = std::exchange(found->messages, {});
  }
  if (parent > 0) {
    const auto at = std::find_if(found->messages.begin(), found->messages.end(),
                                 [parent](const auto& m) { return m.id == parent; });
    if (at != found->messages.end()) found->messages.erase(at + 1, found->messages.end());
  }
  app::Message ours;
  ours.id = 1000 + next_id_++;
  ours.parent = found->messages.empty() ? 0 : found->messages.back().id;
  ours.session = session;
  ours.text = question.toStdString();
  app::Message answer;
  answer.id = 1000 + next_id_++;
  answer.parent = ours.id;
  answer.session = session;
  answer.role = inference::Role::assistant;
  answer.state = app::MessageState::partial;
  if (found->row.name.empty()) found->row.name = ours.text;
  found->messages.push_back(ours);
  found->messages.push_back(answer);
  found->row.messages = static_cast<int>(found->messages.size());
  busy_ = session;
  answer_ = answer.id;
  QTimer::singleShot(0, this, [this, session, ours, answer] {
    Q_EMIT answer_started(session, ours.id, answer.id);
    Q_EMIT sessions_changed();
  });
}

void FakeWorkspace::regenerate(std::int64_t session, std::int64_t answer) {
  regenerated.push_back(answer);
  Session* found = find(session);
  if (!found) return;
  const auto at =
      std::find_if(found->messages.begin(), found->messages.end(), [answer](const auto& m) { return m.id == answer; });
  if (at == found->messages.end()) return;
  app::Message again = *at;
  found->messages.erase(at, found->messages.end());
  again.id = 1000 + next_id_++;
  again.text.clear();
  again.citations.clear();
  again.report.reset();
  again.state = app::MessageState::partial;
  found->messages.push_back(again);
  busy_ = session;
  answer_ = again.id;
  QTimer::singleShot(0, this, [this, session, again] { Q_EMIT answer_started(session, again.parent, again.id); });
}

std::vector<std::int64_t> FakeWorkspace::first_questions(std::int64_t session) const {
  std::vector<std::int64_t> all;
  const Session* found = find(session);
  if (found && !found->messages.empty()) all.push_back(found->messages.front().id);
  if (const auto aside = set_aside_.find(session); aside != set_aside_.end()) {
    for (const auto& conversation : aside->second) all.push_back(conversation.first);
  }
  std::sort(all.begin(), all.end());
  return all;
}

void FakeWorkspace::show_conversation(std::int64_t session, std::int64_t first_question) {
  Session* found = find(session);
  auto& aside = set_aside_[session];
  std::vector<app::Message> shown = std::move(aside[first_question]);
  aside.erase(first_question);
  const std::int64_t first = found->messages.front().id;
  aside[first] = std::exchange(found->messages, std::move(shown));
  QTimer::singleShot(0, this, [this, session] { Q_EMIT conversation_shown(session); });
}

void FakeWorkspace::stop(std::int64_t session) {
  stopped.push_back(session);
  Session* found = find(busy_);
  if (!found || busy_ != session) return;
  app::Message answer = found->messages.back();
  answer.state = app::MessageState::stopped;
  QTimer::singleShot(0, this, [this, answer] { finish(answer); });
}

void FakeWorkspace::measure_context(std::int64_t session, const std::vector<QString>& fingerprints) {
  app::ContextUse measured;
  measured.window = engine_.model.window;
  for (const QString& fingerprint : fingerprints) {
    for (const app::DocumentRow& row : rows_) {
      if (QString::fromStdString(row.fingerprint) != fingerprint) continue;
      measured.parts.push_back(
          {QString::fromStdString(row.name), row.tokens, session != 0 ? row.tokens : 0, fingerprint});
      (session != 0 ? measured.in_memory : measured.to_read) += row.tokens;
    }
  }
  measured.documents_to_read = measured.to_read;
  measured.seconds_to_read = measured.documents_seconds = measured.to_read > 0 ? 118 : 0;
  if (use) measured = *use;
  QTimer::singleShot(0, this, [this, session, measured] { Q_EMIT context_measured(session, measured); });
}

void FakeWorkspace::price_documents(std::int64_t session, const std::vector<QString>&, const std::vector<QString>& to) {
  priced.push_back(to);
  QTimer::singleShot(0, this, [this, session, to] { Q_EMIT documents_priced(session, to, price); });
}

}  // namespace lectern::testing

// A session's messages form a tree by `parent`; `shown_message` is the end of the branch that is on the screen. The
// text of a message goes into the full-text index when it is final; partial answers would only wear the index out.
#include "app/session_store.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "app/records_json.h"
#include "app/search_text.h"

namespace lectern::app {
namespace {

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

// Ids are int32 in memory and on disk, little endian on every machine that this program runs on.
std::string bytes_of(const std::vector<inference::TokenId>& ids) {
  std::string bytes(ids.size() * sizeof(inference::TokenId), '\0');
  if (!ids.empty()) std::memcpy(bytes.data(), ids.data(), bytes.size());
  return bytes;
}

std::vector<inference::TokenId> ids_of(const std::string& bytes) {
  std::vector<inference::TokenId> ids(bytes.size() / sizeof(inference::TokenId));
  if (!ids.empty()) std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(inference::TokenId));
  return ids;
}

constexpr const char* message_columns =
    "id, parent, session, role, text, state, problem, created_ms, token_ids, report";

Message message_of(const Statement& row) {
  Message message;
  message.id = row.integer(0);
  message.parent = row.integer(1);
  message.session = row.integer(2);
  message.role = role(row.text(3));
  message.text = row.text(4);
  message.state = message_state(row.text(5));
  message.problem = row.text(6);
  message.created_ms = row.integer(7);
  message.token_ids = ids_of(row.blob(8));
  if (!row.is_null(9)) message.report = report_from_text(row.text(9));
  return message;
}

void load_citations(Database& database, std::vector<Message>& messages) {
  Statement rows(
      database,
      "SELECT marker, origin, status, fingerprint, document, page, claimed_page, first_line, last_line, quote, "
      "start_offset, end_offset, answer_end FROM citations WHERE message = ?1 ORDER BY position");
  for (Message& message : messages) {
    rows.bind(1, message.id);
    while (rows.step()) {
      Citation citation;
      citation.marker = static_cast<int>(rows.integer(0));
      citation.origin = citation_origin(rows.text(1));
      citation.status = citation_status(rows.text(2));
      citation.fingerprint = rows.text(3);
      citation.document = rows.text(4);
      citation.page = static_cast<int>(rows.integer(5));
      citation.claimed_page = static_cast<int>(rows.integer(6));
      if (!rows.is_null(7)) citation.lines = {static_cast<int>(rows.integer(7)), static_cast<int>(rows.integer(8))};
      citation.quote = rows.text(9);
      citation.start = rows.integer(10);
      citation.end = rows.integer(11);
      citation.answer_end = rows.integer(12);
      message.citations.push_back(std::move(citation));
    }
    rows.reset();
  }
}

void save_citations(Database& database, std::int64_t message, const std::vector<Citation>& citations) {
  Statement(database, "DELETE FROM citations WHERE message = ?1").bind(1, message).run();
  Statement insert(database,
                   "INSERT INTO citations (message, position, marker, origin, status, fingerprint, document, page, "
                   "claimed_page, first_line, last_line, quote, start_offset, end_offset, answer_end) "
                   "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)");
  std::int64_t position = 0;
  for (const Citation& citation : citations) {
    insert.bind(1, message).bind(2, position++).bind(3, std::int64_t{citation.marker});
    insert.bind(4, std::string_view(name(citation.origin))).bind(5, std::string_view(name(citation.status)));
    insert.bind(6, std::string_view(citation.fingerprint)).bind(7, std::string_view(citation.document));
    insert.bind(8, std::int64_t{citation.page}).bind(9, std::int64_t{citation.claimed_page});
    if (citation.lines)
      insert.bind(10, std::int64_t{citation.lines->first}).bind(11, std::int64_t{citation.lines->second});
    insert.bind(12, std::string_view(citation.quote)).bind(13, citation.start).bind(14, citation.end);
    insert.bind(15, citation.answer_end).run();
  }
}

void index_message(Database& database, std::int64_t message, const std::string& text) {
  Statement(database, "INSERT OR REPLACE INTO message_index (rowid, text) VALUES (?1, ?2)")
      .bind(1, message)
      .bind(2, std::string_view(index_text(text)))
      .run();
}

void touch(Database& database, std::int64_t session) {
  Statement(database, "UPDATE sessions SET changed_ms = ?2 WHERE id = ?1").bind(1, session).bind(2, now_ms()).run();
}

[[noreturn]] void refuse(const Database& database, const std::string& what) {
  throw DatabaseError(DatabaseError::Kind::other, database.path() + ": " + what);
}

std::int64_t session_of(Database& database, std::int64_t message) {
  Statement row(database, "SELECT session FROM messages WHERE id = ?1");
  row.bind(1, message);
  return row.step() ? row.integer(0) : 0;
}

// The name of a session that the person did not name is its first question.
constexpr const char* session_columns =
    "s.id, coalesce(nullif(s.name, ''), (SELECT substr(m.text, 1, 80) FROM messages m WHERE m.session = s.id AND "
    "m.role = "
    "'user' ORDER BY m.id LIMIT 1), ''), (SELECT count(*) FROM messages m WHERE m.session = s.id), s.pinned, "
    "s.changed_ms";

SessionRow session_row(const Statement& row) {
  SessionRow session;
  session.id = row.integer(0);
  session.name = row.text(1);
  std::replace_if(
      session.name.begin(), session.name.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  session.messages = static_cast<int>(row.integer(2));
  session.pinned = row.integer(3) != 0;
  session.changed_ms = row.integer(4);
  return session;
}

std::string like_pattern(const std::string& text) {
  std::string pattern = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + '%';
}

}  // namespace

std::int64_t SessionStore::create(const std::string& name) {
  const std::int64_t now = now_ms();
  Statement(database_, "INSERT INTO sessions (name, created_ms, changed_ms) VALUES (?1, ?2, ?2)")
      .bind(1, std::string_view(name))
      .bind(2, now)
      .run();
  return database_.last_insert_id();
}

std::vector<SessionRow> SessionStore::list(const std::string& search) const {
  std::string sql = std::string("SELECT ") + session_columns + " FROM sessions s";
  const std::string query = all_words_query(search);
  if (!search.empty()) {
    sql += " WHERE s.name LIKE ?1 ESCAPE '\\'";
    if (!query.empty())
      sql +=
          " OR s.id IN (SELECT m.session FROM messages m WHERE m.id IN "
          "(SELECT rowid FROM message_index WHERE message_index MATCH ?2))";
  }
  sql += " ORDER BY s.changed_ms DESC, s.id DESC";
  Statement rows(database_, sql);
  if (!search.empty()) {
    rows.bind(1, std::string_view(like_pattern(search)));
    if (!query.empty()) rows.bind(2, std::string_view(query));
  }
  std::vector<SessionRow> sessions;
  while (rows.step()) sessions.push_back(session_row(rows));
  return sessions;
}

std::optional<SessionRow> SessionStore::find(const std::string& id_or_name) const {
  const bool digits = !id_or_name.empty() && id_or_name.size() <= 18 &&
                      std::all_of(id_or_name.begin(), id_or_name.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (digits) {
    if (std::optional<SessionRow> session = find(std::int64_t{std::stoll(id_or_name)})) return session;
  }
  // A given name wins over a first question that reads the same; of several, the one used last.
  for (const SessionRow& session : list()) {
    if (session.name == id_or_name && !id_or_name.empty()) {
      Statement row(database_, std::string("SELECT ") + session_columns +
                                   " FROM sessions s WHERE s.name = ?1 ORDER BY s.changed_ms DESC, s.id DESC LIMIT 1");
      row.bind(1, std::string_view(id_or_name));
      return row.step() ? session_row(row) : session;
    }
  }
  return std::nullopt;
}

std::optional<SessionRow> SessionStore::find(std::int64_t session) const {
  Statement row(database_, std::string("SELECT ") + session_columns + " FROM sessions s WHERE s.id = ?1");
  row.bind(1, session);
  if (!row.step()) return std::nullopt;
  return session_row(row);
}

void SessionStore::rename(std::int64_t session, const std::string& name) {
  Statement(database_, "UPDATE sessions SET name = ?2 WHERE id = ?1")
      .bind(1, session)
      .bind(2, std::string_view(name))
      .run();
}

void SessionStore::pin(std::int64_t session, bool pinned) {
  Statement(database_, "UPDATE sessions SET pinned = ?2 WHERE id = ?1")
      .bind(1, session)
      .bind(2, std::int64_t{pinned})
      .run();
}

void SessionStore::remove(std::int64_t session) {
  Statement(database_, "DELETE FROM sessions WHERE id = ?1").bind(1, session).run();
}

std::vector<std::string> SessionStore::documents(std::int64_t session) const {
  Statement rows(database_, "SELECT fingerprint FROM session_documents WHERE session = ?1 ORDER BY position");
  rows.bind(1, session);
  std::vector<std::string> fingerprints;
  while (rows.step()) fingerprints.push_back(rows.text(0));
  return fingerprints;
}

void SessionStore::set_documents(std::int64_t session, const std::vector<std::string>& fingerprints) {
  Transaction transaction(database_);
  Statement(database_, "DELETE FROM session_documents WHERE session = ?1").bind(1, session).run();
  Statement insert(database_, "INSERT INTO session_documents (session, position, fingerprint) VALUES (?1, ?2, ?3)");
  std::int64_t position = 0;
  for (const std::string& fingerprint : fingerprints)
    insert.bind(1, session).bind(2, position++).bind(3, std::string_view(fingerprint)).run();
  touch(database_, session);
  transaction.commit();
}

std::int64_t SessionStore::add_message(const Message& message) {
  Transaction transaction(database_);
  if (message.parent != 0 && session_of(database_, message.parent) != message.session)
    refuse(database_,
           "message " + std::to_string(message.parent) + " is not in session " + std::to_string(message.session));
  Statement insert(database_,
                   "INSERT INTO messages (session, parent, role, state, text, problem, token_ids, report, created_ms) "
                   "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
  insert.bind(1, message.session);
  if (message.parent != 0) insert.bind(2, message.parent);
  insert.bind(3, std::string_view(name(message.role))).bind(4, std::string_view(name(message.state)));
  insert.bind(5, std::string_view(message.text)).bind(6, std::string_view(message.problem));
  insert.bind_blob(7, bytes_of(message.token_ids));
  if (message.report) insert.bind(8, std::string_view(report_to_text(*message.report)));
  insert.bind(9, message.created_ms != 0 ? message.created_ms : now_ms()).run();
  const std::int64_t id = database_.last_insert_id();
  save_citations(database_, id, message.citations);
  if (message.state != MessageState::partial) index_message(database_, id, message.text);
  Statement(database_, "UPDATE sessions SET shown_message = ?2, changed_ms = ?3 WHERE id = ?1")
      .bind(1, message.session)
      .bind(2, id)
      .bind(3, now_ms())
      .run();
  transaction.commit();
  return id;
}

void SessionStore::save_partial(std::int64_t message, const std::string& text) {
  Statement(database_,
            "UPDATE messages SET text = ?2, state = 'partial' WHERE id = ?1 AND state IN ('partial', 'stopped')")
      .bind(1, message)
      .bind(2, std::string_view(text))
      .run();
}

void SessionStore::finish_message(const Message& message) {
  Transaction transaction(database_);
  Statement update(
      database_, "UPDATE messages SET state = ?2, text = ?3, problem = ?4, token_ids = ?5, report = ?6 WHERE id = ?1");
  update.bind(1, message.id).bind(2, std::string_view(name(message.state))).bind(3, std::string_view(message.text));
  update.bind(4, std::string_view(message.problem)).bind_blob(5, bytes_of(message.token_ids));
  if (message.report) update.bind(6, std::string_view(report_to_text(*message.report)));
  update.run();
  if (database_.changes() == 0)
    refuse(database_, "message " + std::to_string(message.id) + " is gone: its session was deleted");
  save_citations(database_, message.id, message.citations);
  index_message(database_, message.id, message.text);
  touch(database_, session_of(database_, message.id));
  transaction.commit();
}

std::optional<Message> SessionStore::message(std::int64_t id) const {
  std::vector<Message> found;
  Statement row(database_, std::string("SELECT ") + message_columns + " FROM messages WHERE id = ?1");
  row.bind(1, id);
  if (!row.step()) return std::nullopt;
  found.push_back(message_of(row));
  load_citations(database_, found);
  return std::move(found.front());
}

std::vector<Message> SessionStore::branch(std::int64_t session) const {
  // A parent is always older than its answer, so the order of ids is the order of the branch.
  Statement rows(database_,
                 std::string("WITH RECURSIVE shown(message) AS (SELECT shown_message FROM sessions WHERE id = ?1 "
                             "UNION SELECT m.parent FROM messages m JOIN shown ON m.id = shown.message) "
                             "SELECT ") +
                     message_columns +
                     " FROM messages WHERE session = ?1 AND id IN (SELECT message FROM shown) ORDER BY id");
  rows.bind(1, session);
  std::vector<Message> messages;
  while (rows.step()) messages.push_back(message_of(rows));
  load_citations(database_, messages);
  return messages;
}

std::vector<Message> SessionStore::all_messages(std::int64_t session) const {
  Statement rows(database_, std::string("SELECT ") + message_columns + " FROM messages WHERE session = ?1 ORDER BY id");
  rows.bind(1, session);
  std::vector<Message> messages;
  while (rows.step()) messages.push_back(message_of(rows));
  load_citations(database_, messages);
  return messages;
}

std::vector<AnswerReport> SessionStore::newest_reports(int limit) const {
  Statement rows(database_, "SELECT report FROM messages WHERE report IS NOT NULL ORDER BY id DESC LIMIT ?1");
  rows.bind(1, static_cast<std::int64_t>(limit));
  std::vector<AnswerReport> reports;
  while (rows.step()) reports.push_back(report_from_text(rows.text(0)));
  return reports;
}

void SessionStore::show_branch(std::int64_t session, std::int64_t last_message) {
  if (last_message != 0 && session_of(database_, last_message) != session)
    refuse(database_, "message " + std::to_string(last_message) + " is not in session " + std::to_string(session));
  Statement(database_, "UPDATE sessions SET shown_message = ?2 WHERE id = ?1")
      .bind(1, session)
      .bind(2, last_message)
      .run();
}

std::vector<std::int64_t> SessionStore::first_questions(std::int64_t session) const {
  Statement rows(database_, "SELECT id FROM messages WHERE session = ?1 AND parent IS NULL ORDER BY id");
  rows.bind(1, session);
  std::vector<std::int64_t> questions;
  while (rows.step()) questions.push_back(rows.integer(0));
  return questions;
}

std::int64_t SessionStore::newest_after(std::int64_t message) const {
  Statement rows(database_,
                 "WITH RECURSIVE after(message) AS (SELECT ?1 UNION SELECT m.id FROM messages m JOIN after ON "
                 "m.parent = after.message) SELECT max(message) FROM after");
  rows.bind(1, message);
  return rows.step() ? rows.integer(0) : message;
}

int SessionStore::mark_interrupted(std::int64_t session) {
  Transaction transaction(database_);
  std::vector<std::pair<std::int64_t, std::string>> interrupted;
  {
    Statement rows(database_, "SELECT id, text FROM messages WHERE session = ?1 AND state = 'partial'");
    rows.bind(1, session);
    while (rows.step()) interrupted.emplace_back(rows.integer(0), rows.text(1));
  }
  Statement update(database_, "UPDATE messages SET state = 'stopped' WHERE id = ?1");
  for (const auto& [id, text] : interrupted) {
    update.bind(1, id).run();
    index_message(database_, id, text);
  }
  transaction.commit();
  return static_cast<int>(interrupted.size());
}

std::string SessionStore::remembered(std::int64_t session, const std::string& key) const {
  Statement row(database_, "SELECT value FROM remembered WHERE session = ?1 AND key = ?2");
  row.bind(1, session).bind(2, std::string_view(key));
  return row.step() ? row.text(0) : std::string();
}

void SessionStore::remember(std::int64_t session, const std::string& key, const std::string& value) {
  Statement(database_,
            "INSERT INTO remembered (session, key, value) VALUES (?1, ?2, ?3) "
            "ON CONFLICT (session, key) DO UPDATE SET value = excluded.value")
      .bind(1, session)
      .bind(2, std::string_view(key))
      .bind(3, std::string_view(value))
      .run();
}

}  // namespace lectern::app

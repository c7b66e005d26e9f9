// The index is made again from the headers of the files when it is lost, so nothing stands here alone but the history
// of readings and the reasons why something was forgotten, both of which are bounded and may be lost without harm.
// Bounded tables number their rows in order of writing and drop those that are too far behind the newest.
#include "inference/disk/context_index.h"

#include <algorithm>

namespace lectern::inference {

namespace {

constexpr std::int64_t index_version = 2;
constexpr std::int64_t most_forgotten = 1 << 16;
constexpr std::int64_t most_contents = 1 << 18;
constexpr std::int64_t most_conversations = 1 << 12;
constexpr std::int64_t most_clearings = 1 << 12;

constexpr const char* schema = R"(
CREATE TABLE identities (
  id INTEGER PRIMARY KEY, model TEXT NOT NULL, settings TEXT NOT NULL, build TEXT NOT NULL,
  UNIQUE (model, settings, build)) STRICT;
CREATE TABLE extents (
  id INTEGER PRIMARY KEY AUTOINCREMENT, identity INTEGER NOT NULL REFERENCES identities, key BLOB NOT NULL,
  parent BLOB NOT NULL, begin INTEGER NOT NULL, end INTEGER NOT NULL, place INTEGER NOT NULL, parts BLOB NOT NULL,
  has_state INTEGER NOT NULL, file TEXT NOT NULL UNIQUE, row_bytes INTEGER NOT NULL, file_bytes INTEGER NOT NULL,
  last_used INTEGER NOT NULL, UNIQUE (identity, key)) STRICT;
CREATE INDEX extents_by_parent ON extents (identity, parent);
CREATE TABLE documents (
  extent INTEGER NOT NULL REFERENCES extents ON DELETE CASCADE, document TEXT NOT NULL,
  PRIMARY KEY (extent, document)) STRICT, WITHOUT ROWID;
CREATE INDEX documents_by_name ON documents (document);
CREATE TABLE forgotten (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, reason INTEGER NOT NULL) STRICT;
CREATE TABLE written (day INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT;
CREATE TABLE clearings (id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL) STRICT;
CREATE TABLE conversations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE conversation_documents (
  conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE, place INTEGER NOT NULL,
  document TEXT NOT NULL, content INTEGER NOT NULL, PRIMARY KEY (conversation, place)) STRICT, WITHOUT ROWID;
CREATE INDEX conversations_by_document ON conversation_documents (document);
CREATE TABLE contents (
  id INTEGER PRIMARY KEY AUTOINCREMENT, content INTEGER NOT NULL, identity INTEGER NOT NULL REFERENCES identities,
  UNIQUE (content, identity)) STRICT;
CREATE TABLE document_contents (
  id INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT NOT NULL, content INTEGER NOT NULL, place INTEGER NOT NULL,
  UNIQUE (document, content, place)) STRICT;
CREATE INDEX documents_by_content ON document_contents (content);
INSERT INTO clearings VALUES (abs(random() % 1099511627776) + 1, 0);
PRAGMA user_version = 2;
)";

#define EXTENT_COLUMNS \
  "id, identity, key, parent, begin, end, place, parts, has_state, file, row_bytes, file_bytes, last_used"

ExtentRow row_at(const Statement& statement, const std::string& name) {
  ExtentRow row;
  row.number = statement.integer(0);
  row.identity = statement.integer(1);
  row.extent.key = statement.key_at(2);
  row.extent.parent = statement.key_at(3);
  row.extent.begin = statement.integer(4);
  row.extent.end = statement.integer(5);
  row.extent.place = static_cast<StatePlace>(std::clamp<std::int64_t>(statement.integer(6), 0, 3));
  auto parts = unpack_parts(statement.text_at(7));
  row.has_state = statement.integer(8) != 0;
  row.file = statement.text_at(9);
  row.row_bytes = statement.integer(10);
  row.file_bytes = statement.integer(11);
  row.last_used_s = statement.integer(12);
  if (!parts || row.extent.begin < 0 || row.extent.end <= row.extent.begin || row.row_bytes <= 0 ||
      row.file_bytes < row.row_bytes || row.file.empty() || row.file.find('/') != std::string::npos)
    throw IndexError(IndexError::Kind::damaged, name + ": the index is damaged (a row of impossible numbers)");
  row.extent.parts = std::move(*parts);
  return row;
}

std::vector<ExtentRow> rows_of(Statement& statement) {
  std::vector<ExtentRow> rows;
  while (statement.step()) rows.push_back(row_at(statement, "index.sqlite"));
  return rows;
}

std::int64_t user_version(Connection& connection) {
  Statement statement(connection, "PRAGMA user_version");
  return statement.step() ? statement.integer(0) : 0;
}

}  // namespace

ContextIndex::ContextIndex(const std::string& location, const std::string& name, Connection::Mode mode)
    : connection_(location, name, mode) {
  const std::int64_t version = user_version(connection_);
  if (version > index_version)
    throw IndexError(IndexError::Kind::newer,
                     name + ": was written by a newer version of this program; update it or delete the folder");
  Statement check(connection_, "PRAGMA quick_check(1)");
  if (!check.step() || check.text_at(0) != "ok")
    throw IndexError(IndexError::Kind::damaged, name + ": the index is damaged");
  Statement tables(connection_, "SELECT count(*) FROM sqlite_schema WHERE name = 'extents'");
  const bool has_tables = tables.step() && tables.integer(0) > 0;
  if ((version == index_version) != has_tables)
    throw IndexError(IndexError::Kind::damaged, name + ": the index is of an older version or not an index");
}

bool ContextIndex::is_empty() {
  return user_version(connection_) == 0;
}
void ContextIndex::make() {
  connection_.execute(schema);
}

std::int64_t ContextIndex::identity(const ReadingIdentity& identity) {
  {
    Statement find(connection_, "SELECT id FROM identities WHERE model = ? AND settings = ? AND build = ?");
    find.text(identity.model).text(identity.settings).text(identity.build);
    if (find.step()) return find.integer(0);
  }
  Statement(connection_, "INSERT INTO identities (model, settings, build) VALUES (?, ?, ?)")
      .text(identity.model)
      .text(identity.settings)
      .text(identity.build)
      .run();
  return connection_.last_insert_id();
}

std::optional<ExtentRow> ContextIndex::find(std::int64_t identity, const ChainKey& key) {
  Statement statement(connection_, "SELECT " EXTENT_COLUMNS " FROM extents WHERE identity = ? AND key = ?");
  statement.bind(identity).key(key);
  if (!statement.step()) return std::nullopt;
  return row_at(statement, "index.sqlite");
}

std::optional<ExtentRow> ContextIndex::find(std::int64_t number) {
  Statement statement(connection_, "SELECT " EXTENT_COLUMNS " FROM extents WHERE id = ?");
  statement.bind(number);
  if (!statement.step()) return std::nullopt;
  return row_at(statement, "index.sqlite");
}

bool ContextIndex::knows_file(std::string_view name) {
  Statement statement(connection_, "SELECT 1 FROM extents WHERE file = ?");
  statement.text(name);
  return statement.step();
}

std::vector<ExtentRow> ContextIndex::following(std::int64_t identity, const ChainKey& parent) {
  Statement statement(connection_,
                      "SELECT " EXTENT_COLUMNS " FROM extents WHERE identity = ? AND parent = ? ORDER BY id");
  statement.bind(identity).key(parent);
  return rows_of(statement);
}

bool ContextIndex::has_descendants(const ExtentRow& row) {
  Statement statement(connection_, "SELECT 1 FROM extents WHERE identity = ? AND parent = ?");
  statement.bind(row.identity).key(row.extent.key);
  return statement.step();
}

std::vector<ExtentRow> ContextIndex::all() {
  Statement statement(connection_, "SELECT " EXTENT_COLUMNS " FROM extents ORDER BY begin, id");
  return rows_of(statement);
}

std::vector<ExtentRow> ContextIndex::leaves() {
  Statement statement(connection_, "SELECT " EXTENT_COLUMNS
                                   " FROM extents AS leaf WHERE NOT EXISTS "
                                   "(SELECT 1 FROM extents WHERE identity = leaf.identity AND parent = leaf.key)");
  return rows_of(statement);
}

// A document itself, or passages of it, whose id goes on behind a '#' (the character before '$').
#define IS_DOCUMENT "(document = ? OR (document >= ? AND document < ?))"

namespace {
Statement& bind_document(Statement& statement, std::string_view id) {
  const std::string text(id);
  return statement.text(text).text(text + "#").text(text + "$");
}
}  // namespace

std::vector<ExtentRow> ContextIndex::with_document(std::string_view id) {
  Statement statement(connection_, "SELECT " EXTENT_COLUMNS
                                   " FROM extents WHERE id IN (SELECT extent FROM documents WHERE " IS_DOCUMENT ")");
  bind_document(statement, id);
  return rows_of(statement);
}

std::vector<std::string> ContextIndex::with_same_text(std::string_view id) {
  Statement statement(connection_,
                      "SELECT DISTINCT document FROM document_contents WHERE content IN "
                      "(SELECT content FROM document_contents WHERE " IS_DOCUMENT ")");
  bind_document(statement, id);
  std::vector<std::string> ids{std::string(id)};
  while (statement.step())
    if (statement.text_at(0) != id) ids.push_back(statement.text_at(0));
  return ids;
}

std::vector<ExtentRow> ContextIndex::path_to(const ExtentRow& row, const ChainKey& root) {
  std::vector<ExtentRow> path{row};
  while (path.back().extent.parent != root) {
    auto parent = find(row.identity, path.back().extent.parent);
    // Positions fall strictly, so a circle ends here too.
    if (!parent || parent->extent.end != path.back().extent.begin) return {};
    path.push_back(std::move(*parent));
  }
  std::reverse(path.begin(), path.end());
  return path;
}

std::int64_t ContextIndex::insert(const ExtentRow& row) {
  Statement(connection_,
            "INSERT INTO extents (identity, key, parent, begin, end, place, parts, has_state, file, row_bytes, "
            "file_bytes, last_used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(row.identity)
      .key(row.extent.key)
      .key(row.extent.parent)
      .bind(row.extent.begin)
      .bind(row.extent.end)
      .bind(static_cast<std::int64_t>(row.extent.place))
      .blob(pack_parts(row.extent.parts))
      .bind(row.has_state ? 1 : 0)
      .text(row.file)
      .bind(row.row_bytes)
      .bind(row.file_bytes)
      .bind(row.last_used_s)
      .run();
  const std::int64_t number = connection_.last_insert_id();
  for (const ExtentPart& part : row.extent.parts)
    if (!part.id.empty())
      Statement(connection_, "INSERT OR IGNORE INTO documents VALUES (?, ?)").bind(number).text(part.id).run();
  Statement(connection_, "DELETE FROM forgotten WHERE key = ?").key(row.extent.key).run();
  return number;
}

void ContextIndex::forget(const ChainKey& key, Forgotten reason) {
  Statement(connection_, "INSERT OR REPLACE INTO forgotten (key, reason) VALUES (?, ?)")
      .key(key)
      .bind(static_cast<std::int64_t>(reason))
      .run();
  Statement(connection_, "DELETE FROM forgotten WHERE id <= ?")
      .bind(connection_.last_insert_id() - most_forgotten)
      .run();
}

void ContextIndex::replace(const ExtentRow& row) {
  Statement(connection_, "DELETE FROM extents WHERE id = ?").bind(row.number).run();
}

void ContextIndex::remove(const ExtentRow& row, Forgotten reason) {
  replace(row);
  forget(row.extent.key, reason);
}

void ContextIndex::remove_with_descendants(const ExtentRow& row, Forgotten reason, std::vector<ExtentRow>& removed) {
  std::vector<ExtentRow> open{row};
  while (!open.empty()) {
    const ExtentRow next = std::move(open.back());
    open.pop_back();
    if (!find(next.number)) continue;
    remove(next, reason);
    for (ExtentRow& child : following(next.identity, next.extent.key)) open.push_back(std::move(child));
    removed.push_back(next);
  }
}

void ContextIndex::drop_state(std::int64_t number) {
  Statement(connection_, "UPDATE extents SET has_state = 0 WHERE id = ?").bind(number).run();
}

void ContextIndex::touch(std::int64_t number, std::int64_t now_s) {
  Statement(connection_, "UPDATE extents SET last_used = ? WHERE id = ?").bind(now_s).bind(number).run();
}

ContextIndex::Totals ContextIndex::totals() {
  Totals totals;
  {
    Statement statement(connection_, "SELECT count(*), sum(end - begin), sum(has_state) FROM extents");
    if (statement.step()) {
      totals.extents = statement.integer(0);
      totals.tokens = statement.integer(1);
      totals.states = statement.integer(2);
    }
  }
  {
    Statement statement(connection_, "SELECT count(DISTINCT document) FROM documents");
    if (statement.step()) totals.documents = statement.integer(0);
  }
  totals.bytes = bytes();
  return totals;
}

std::int64_t ContextIndex::bytes() {
  Statement statement(connection_, "SELECT sum(CASE WHEN has_state THEN file_bytes ELSE row_bytes END) FROM extents");
  return statement.step() ? statement.integer(0) : 0;
}

// A new index begins at a number of its own, so that nobody who knew the one before takes it for that.
std::int64_t ContextIndex::generation() {
  Statement statement(connection_, "SELECT max(id) FROM clearings");
  return statement.step() ? statement.integer(0) : 0;
}

// 0 stands for everything.
void ContextIndex::note_clearing_number(std::int64_t number) {
  Statement(connection_, "INSERT INTO clearings (document) VALUES (?)").bind(number).run();
  Statement(connection_, "DELETE FROM clearings WHERE id <= ?")
      .bind(connection_.last_insert_id() - most_clearings)
      .run();
}
void ContextIndex::note_clearing_of_all() {
  note_clearing_number(0);
}
void ContextIndex::note_clearing(std::string_view document) {
  note_clearing_number(static_cast<std::int64_t>(document_hash(document)));
}

Clearings ContextIndex::clearings_since(std::int64_t generation) {
  Clearings clearings;
  Statement known(connection_, "SELECT min(id), max(id) FROM clearings");
  if (!known.step() || generation > known.integer(1) || generation < known.integer(0) - 1) {
    clearings.everything = true;  // of another index, or so long ago that it is not known any more
    return clearings;
  }
  Statement since(connection_, "SELECT document FROM clearings WHERE id > ?");
  since.bind(generation);
  while (since.step()) {
    const std::int64_t document = since.integer(0);
    if (document == 0) clearings.everything = true;
    clearings.documents.push_back(static_cast<std::uint64_t>(document));
  }
  return clearings;
}

std::int64_t ContextIndex::written_on(std::int64_t day) {
  Statement statement(connection_, "SELECT bytes FROM written WHERE day = ?");
  statement.bind(day);
  return statement.step() ? statement.integer(0) : 0;
}
void ContextIndex::add_written(std::int64_t day, std::int64_t bytes) {
  Statement(connection_, "DELETE FROM written WHERE day <> ?").bind(day).run();
  Statement(connection_,
            "INSERT INTO written VALUES (?, ?) ON CONFLICT (day) DO UPDATE SET bytes = bytes + excluded.bytes")
      .bind(day)
      .bind(bytes)
      .run();
}

std::optional<Forgotten> ContextIndex::forgotten(const ChainKey& key) {
  Statement statement(connection_, "SELECT reason FROM forgotten WHERE key = ?");
  statement.key(key);
  if (!statement.step()) return std::nullopt;
  return static_cast<Forgotten>(std::clamp<std::int64_t>(statement.integer(0), 0, 2));
}

void ContextIndex::remember_reading(std::int64_t identity, const std::string& conversation,
                                    std::span<const ReadPart> documents, std::span<const std::uint64_t> contents) {
  Statement(connection_, "DELETE FROM conversations WHERE name = ?").text(conversation).run();
  Statement(connection_, "INSERT INTO conversations (name) VALUES (?)").text(conversation).run();
  const std::int64_t number = connection_.last_insert_id();
  std::int64_t place = 0;
  for (const ReadPart& part : documents) {
    Statement(connection_, "INSERT INTO conversation_documents VALUES (?, ?, ?, ?)")
        .bind(number)
        .bind(place++)
        .text(part.id)
        .bind(static_cast<std::int64_t>(part.content))
        .run();
    Statement(connection_, "INSERT OR REPLACE INTO document_contents (document, content, place) VALUES (?, ?, ?)")
        .text(part.id)
        .bind(static_cast<std::int64_t>(part.content))
        .bind(place - 1)
        .run();
  }
  Statement(connection_, "DELETE FROM document_contents WHERE id <= (SELECT max(id) FROM document_contents) - ?")
      .bind(most_contents)
      .run();
  Statement(connection_, "DELETE FROM conversations WHERE id <= ?").bind(number - most_conversations).run();
  for (std::uint64_t content : contents)
    Statement(connection_, "INSERT OR REPLACE INTO contents (content, identity) VALUES (?, ?)")
        .bind(static_cast<std::int64_t>(content))
        .bind(identity)
        .run();
  Statement(connection_, "DELETE FROM contents WHERE id <= (SELECT max(id) FROM contents) - ?")
      .bind(most_contents)
      .run();
}

std::vector<ReadPart> ContextIndex::last_reading(const std::string& conversation) {
  Statement statement(connection_,
                      "SELECT document, content FROM conversation_documents WHERE conversation = "
                      "(SELECT id FROM conversations WHERE name = ?) ORDER BY place");
  statement.text(conversation);
  std::vector<ReadPart> parts;
  while (statement.step()) parts.push_back({statement.text_at(0), static_cast<std::uint64_t>(statement.integer(1))});
  return parts;
}

std::vector<std::int64_t> ContextIndex::places_of(const std::string& document) {
  Statement statement(connection_, "SELECT DISTINCT place FROM document_contents WHERE document = ?");
  statement.text(document);
  std::vector<std::int64_t> places;
  while (statement.step()) places.push_back(statement.integer(0));
  return places;
}

std::optional<ReadingIdentity> ContextIndex::reader_of(std::uint64_t content, std::int64_t preferred) {
  Statement statement(connection_,
                      "SELECT model, settings, build FROM contents JOIN identities ON identities.id = identity "
                      "WHERE content = ? ORDER BY identity = ? DESC, contents.id DESC LIMIT 1");
  statement.bind(static_cast<std::int64_t>(content)).bind(preferred);
  if (!statement.step()) return std::nullopt;
  return ReadingIdentity{statement.text_at(0), statement.text_at(1), statement.text_at(2)};
}

void ContextIndex::forget_readings() {
  connection_.execute(
      "DELETE FROM conversation_documents; DELETE FROM conversations; DELETE FROM contents; "
      "DELETE FROM document_contents");
}

void ContextIndex::forget_readings_of(std::string_view document) {
  Statement contents(connection_,
                     "DELETE FROM contents WHERE content IN "
                     "(SELECT content FROM document_contents WHERE " IS_DOCUMENT ")");
  bind_document(contents, document).run();
  Statement documents(connection_, "DELETE FROM conversation_documents WHERE " IS_DOCUMENT);
  bind_document(documents, document).run();
  Statement same(connection_, "DELETE FROM document_contents WHERE " IS_DOCUMENT);
  bind_document(same, document).run();
}

void ContextIndex::empty_log() {
  Statement(connection_, "PRAGMA wal_checkpoint(TRUNCATE)").run();
}

}  // namespace lectern::inference

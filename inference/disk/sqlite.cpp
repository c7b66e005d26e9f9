// Every result code of SQLite ends in fail(), which turns it into one sentence: the file, what is wrong, what to do.
#include "inference/disk/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace lectern::inference {

namespace {
// Another process's transactions are short; this is one that hangs, and the engine's thread waits here.
constexpr int busy_timeout_ms = 5'000;
}  // namespace

void Connection::fail(int code) const {
  const int system_error = handle_ != nullptr ? sqlite3_system_errno(handle_) : 0;
  const std::string detail = handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
  const bool no_space = system_error == ENOSPC || system_error == EDQUOT;
  const bool no_rights = system_error == EACCES || system_error == EROFS || system_error == EPERM;
  using Kind = IndexError::Kind;
  switch (code & 0xFF) {
    case SQLITE_ERROR:  // a table or column is missing, the format is unknown: the statements themselves are right
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: throw IndexError(Kind::damaged, name_ + ": the index is damaged (" + detail + ")");
    case SQLITE_FULL: throw IndexError(Kind::full, name_ + ": the disk is full; free some space");
    case SQLITE_BUSY:
    case SQLITE_LOCKED: throw IndexError(Kind::busy, name_ + ": another program is holding the index; close it");
    case SQLITE_READONLY:
    case SQLITE_PERM: throw IndexError(Kind::forbidden, name_ + ": cannot be written; make it and its folder writable");
    default: break;
  }
  if (no_space) throw IndexError(Kind::full, name_ + ": the disk is full; free some space");
  if (no_rights) throw IndexError(Kind::forbidden, name_ + ": cannot be written; make it and its folder writable");
  throw IndexError(Kind::other, name_ + ": " + detail +
                                    (system_error != 0 ? std::string(" (") + std::strerror(system_error) + ")" : "") +
                                    "; check the disk and the folder");
}

Connection::Connection(const std::string& location, std::string name, Mode mode) : name_(std::move(name)) {
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_READWRITE |
                    (mode == Mode::read_write ? SQLITE_OPEN_CREATE : 0) |
                    (location.starts_with("file:") ? SQLITE_OPEN_URI : 0);
  try {
    int code = sqlite3_open_v2(location.c_str(), &handle_, flags, nullptr);
    if (code != SQLITE_OK) fail(code);
    sqlite3_busy_timeout(handle_, busy_timeout_ms);
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);  // no SQL of ours may damage the file
    if (mode == Mode::look_only) {
      execute("PRAGMA query_only = ON");
      return;
    }
    if (sqlite3_db_readonly(handle_, "main") == 1) fail(SQLITE_READONLY);
    execute(
        "PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON; "
        "PRAGMA cell_size_check = ON");
    // Entering WAL mode does not always wait for another process that is doing the same.
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(busy_timeout_ms);
    for (;;) {
      code = sqlite3_exec(handle_, "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
      if ((code & 0xFF) != SQLITE_BUSY || std::chrono::steady_clock::now() > give_up) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    if (code != SQLITE_OK) fail(code);
  } catch (...) {
    for (const auto& [sql, statement] : prepared_) sqlite3_finalize(statement);
    sqlite3_close_v2(handle_);
    throw;
  }
}

Connection::~Connection() {
  for (const auto& [sql, statement] : prepared_) sqlite3_finalize(statement);
  sqlite3_close_v2(handle_);
}

void Connection::execute(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

std::int64_t Connection::last_insert_id() const {
  return sqlite3_last_insert_rowid(handle_);
}
std::int64_t Connection::changes() const {
  return sqlite3_changes64(handle_);
}

Statement::Statement(Connection& connection, const char* sql) : connection_(connection) {
  sqlite3_stmt*& prepared = connection.prepared_[sql];
  if (prepared == nullptr) {
    const int code = sqlite3_prepare_v3(connection.handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
    if (code != SQLITE_OK) connection.fail(code);
  }
  statement_ = prepared;
}

Statement::~Statement() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Statement& Statement::bind(std::int64_t value) {
  const int code = sqlite3_bind_int64(statement_, ++parameter_, value);
  if (code != SQLITE_OK) connection_.fail(code);
  return *this;
}

Statement& Statement::text(std::string_view text) {
  // An empty view may point nowhere, which SQLite would take for NULL.
  const int code = sqlite3_bind_text64(statement_, ++parameter_, text.empty() ? "" : text.data(), text.size(),
                                       SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) connection_.fail(code);
  return *this;
}

Statement& Statement::blob(std::string_view bytes) {
  const int code =
      sqlite3_bind_blob64(statement_, ++parameter_, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_TRANSIENT);
  if (code != SQLITE_OK) connection_.fail(code);
  return *this;
}

Statement& Statement::key(const ChainKey& key) {
  char bytes[16];
  std::memcpy(bytes, &key.low, 8);
  std::memcpy(bytes + 8, &key.high, 8);
  return blob({bytes, sizeof bytes});
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  connection_.fail(code);
}

void Statement::run() {
  while (step()) {
  }
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Statement::text_at(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

ChainKey Statement::key_at(int column) const {
  const std::string bytes = text_at(column);
  if (bytes.size() != 16) connection_.fail(SQLITE_CORRUPT);
  ChainKey key;
  std::memcpy(&key.low, bytes.data(), 8);
  std::memcpy(&key.high, bytes.data() + 8, 8);
  return key;
}

Transaction::Transaction(Connection& connection) : connection_(&connection) {
  connection.execute("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  // SQLite may have rolled back by itself (a full disk); then there is nothing to undo and the error does not matter.
  if (connection_ != nullptr) sqlite3_exec(connection_->handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
  connection_->execute("COMMIT");
  connection_ = nullptr;
}

}  // namespace lectern::inference

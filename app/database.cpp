// Every result code of SQLite ends in check(), which turns it into one sentence: the file, what is wrong, what to do.
// SQLite reports a full disk or missing rights on the -wal and -shm files as plain I/O errors, so the errno behind it
// decides there.
#include "app/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

namespace lectern::app {
namespace {

using Kind = DatabaseError::Kind;

constexpr int busy_timeout_ms = 10'000;  // another process's transactions are short; this is a process that hangs

/// SQLite's own errno is that of its last try, which hides the reason of the first.
bool is_forbidden(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const auto is_refused = [](const std::string& place) {
    return faccessat(AT_FDCWD, place.c_str(), W_OK, AT_EACCESS) != 0 &&
           (errno == EACCES || errno == EROFS || errno == EPERM);
  };
  return is_refused(path) || is_refused(folder.empty() ? "." : folder);
}

Kind kind_of(const std::string& path, int code, int system_error) {
  if (system_error == ENOSPC || system_error == EDQUOT) {
    if ((code & 0xFF) == SQLITE_IOERR || (code & 0xFF) == SQLITE_CANTOPEN) return Kind::disk_full;
  }
  switch (code & 0xFF) {
    case SQLITE_FULL: return Kind::disk_full;
    case SQLITE_READONLY:
    case SQLITE_PERM: return Kind::read_only;
    case SQLITE_CANTOPEN: return is_forbidden(path) ? Kind::read_only : Kind::other;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Kind::damaged;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return Kind::busy;
    default: return Kind::other;
  }
}

[[noreturn]] void fail(const std::string& path, sqlite3* handle, int code) {
  const int system_error = handle != nullptr ? sqlite3_system_errno(handle) : 0;
  const std::string detail = handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
  const Kind kind = kind_of(path, code, system_error);
  std::string message = path + ": ";
  switch (kind) {
    case Kind::disk_full: message += "the disk is full; free some space and try again"; break;
    case Kind::read_only:
      message += "cannot be written; make the file and its folder writable, or set XDG_DATA_HOME to a folder that is";
      break;
    case Kind::damaged:
      message += "the file is damaged (" + detail + "); move it away and start again, or put back a copy of it";
      break;
    case Kind::busy:
      message += "another program is holding it; wait for that program or close it, and try again";
      break;
    default:
      if ((code & 0xFF) == SQLITE_CANTOPEN)
        message += "cannot be opened (" +
                   std::string(system_error != 0 ? std::strerror(system_error) : detail.c_str()) +
                   "); check that its folder is there and that it is a file";
      else if ((code & 0xFF) == SQLITE_IOERR)
        message += "reading or writing failed (" + detail +
                   (system_error != 0 ? ", " + std::string(std::strerror(system_error)) : std::string()) +
                   "); check the disk and try again";
      else
        message += detail;
  }
  throw DatabaseError(kind, message);
}

void check(Database& database, int code) {
  if (code != SQLITE_OK) fail(database.path(), database.handle(), code);
}

}  // namespace

Database::Database(const std::string& path, Mode mode) : path_(path) {
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    (mode == Mode::read_write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
  try {
    int code = sqlite3_open_v2(path.c_str(), &handle_, flags, nullptr);
    if (code != SQLITE_OK) fail(path_, handle_, code);
    sqlite3_busy_timeout(handle_, busy_timeout_ms);
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);  // no SQL of ours may damage the file
    if (mode == Mode::read_write && sqlite3_db_readonly(handle_, "main") == 1) fail(path_, nullptr, SQLITE_READONLY);
    execute("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON");
    if (mode == Mode::read_write) {
      // Entering WAL mode does not always wait for another process that is doing the same.
      const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(busy_timeout_ms);
      for (;;) {
        code = sqlite3_exec(handle_, "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
        if ((code & 0xFF) != SQLITE_BUSY || std::chrono::steady_clock::now() > give_up) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
      check(*this, code);
    } else {
      execute("PRAGMA query_only = ON; SELECT count(*) FROM sqlite_schema");
    }
  } catch (...) {
    sqlite3_close_v2(handle_);
    throw;
  }
}

Database::~Database() {
  sqlite3_close_v2(handle_);
}

void Database::execute(const char* sql) {
  check(*this, sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr));
}

std::int64_t Database::last_insert_id() const {
  return sqlite3_last_insert_rowid(handle_);
}

std::int64_t Database::changes() const {
  return sqlite3_changes64(handle_);
}

Statement::Statement(Database& database, std::string_view sql) : database_(database) {
  check(database_,
        sqlite3_prepare_v2(database_.handle(), sql.data(), static_cast<int>(sql.size()), &statement_, nullptr));
}

Statement::~Statement() {
  sqlite3_finalize(statement_);
}

Statement& Statement::bind(int index, std::int64_t value) {
  check(database_, sqlite3_bind_int64(statement_, index, value));
  return *this;
}

Statement& Statement::bind(int index, double value) {
  check(database_, sqlite3_bind_double(statement_, index, value));
  return *this;
}

Statement& Statement::bind(int index, std::string_view text) {
  // An empty view may point nowhere, which SQLite would take for NULL.
  check(database_, sqlite3_bind_text64(statement_, index, text.empty() ? "" : text.data(), text.size(),
                                       SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind_blob(int index, std::string_view bytes) {
  check(database_,
        sqlite3_bind_blob64(statement_, index, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::bind_null(int index) {
  check(database_, sqlite3_bind_null(statement_, index));
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  // The message must be taken before the reset, and the statement must not stay open: it would hold its transaction.
  try {
    fail(database_.path(), database_.handle(), code);
  } catch (...) {
    sqlite3_reset(statement_);
    throw;
  }
}

void Statement::run() {
  while (step()) {
  }
  reset();
}

void Statement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

double Statement::real(int column) const {
  return sqlite3_column_double(statement_, column);
}

std::string Statement::text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_, column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::string Statement::blob(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Transaction::Transaction(Database& database)
    : database_(&database), nested_(sqlite3_get_autocommit(database.handle()) == 0) {
  if (nested_)
    database.execute("SAVEPOINT nested");
  else
    database.execute(sqlite3_db_readonly(database.handle(), "main") == 1 ? "BEGIN" : "BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (database_ == nullptr) return;
  // SQLite may have rolled back by itself (full disk); then there is nothing to undo and the error does not matter.
  sqlite3_exec(database_->handle(), nested_ ? "ROLLBACK TO nested; RELEASE nested" : "ROLLBACK", nullptr, nullptr,
               nullptr);
}

void Transaction::commit() {
  assert(database_ != nullptr);
  database_->execute(nested_ ? "RELEASE nested" : "COMMIT");
  database_ = nullptr;
}

}  // namespace lectern::app

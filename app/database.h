// A thin wrapper over SQLite: values in, values out, errors thrown. One connection belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace lectern::app {

/// One sentence that names the file and says what is wrong and what to do.
class DatabaseError : public std::runtime_error {
 public:
  enum class Kind { newer_version, read_only, disk_full, damaged, busy, other };
  DatabaseError(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

class Database {
 public:
  enum class Mode { read_write, read_only };
  /// Opens (read_write: creates) the file: WAL, synchronous FULL, foreign keys, busy timeout. Runs no migration.
  Database(const std::string& path, Mode mode);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void execute(const char* sql);
  std::int64_t last_insert_id() const;
  std::int64_t changes() const;
  const std::string& path() const { return path_; }
  sqlite3* handle() { return handle_; }

 private:
  sqlite3* handle_ = nullptr;
  std::string path_;
};

/// A prepared statement. Parameters and columns are numbered from 1 and 0, as in SQLite.
class Statement {
 public:
  Statement(Database& database, std::string_view sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, double value);
  Statement& bind(int index, std::string_view text);
  Statement& bind_blob(int index, std::string_view bytes);
  Statement& bind_null(int index);
  bool step();  // true: a row is there
  void run();   // steps to the end and resets
  void reset();

  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  std::string blob(int column) const;
  bool is_null(int column) const;

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
};

/// Rolled back unless committed. Takes the write lock at once (read_write), so that it waits for another writer at its
/// start and nowhere else. Inside another transaction it is a savepoint.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database* database_;
  bool nested_;
};

}  // namespace lectern::app

// A thin wrapper over SQLite for the index of kept readings: values in, values out, errors thrown.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "inference/chain_key.h"
#include "kernels/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace lectern::inference {

class IndexError : public Error {
 public:
  enum class Kind { damaged, full, forbidden, busy, newer, other };
  IndexError(Kind what, const std::string& message) : Error(ErrorKind::io, message), what_(what) {}
  Kind what_failed() const { return what_; }

 private:
  Kind what_;
};

/// One connection: WAL, synchronous NORMAL, foreign keys, what is deleted is overwritten. Used by one thread at a time.
class Connection {
 public:
  enum class Mode { read_write, look_only };  // look_only: the file must be there
  /// `location` is a path or a URI, `name` stands in messages.
  Connection(const std::string& location, std::string name, Mode mode);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void execute(const char* sql);
  std::int64_t last_insert_id() const;
  std::int64_t changes() const;

 private:
  friend class Statement;
  friend class Transaction;
  [[noreturn]] void fail(int code) const;
  std::string name_;
  sqlite3* handle_ = nullptr;
  std::unordered_map<std::string, sqlite3_stmt*> prepared_;
};

/// A statement, prepared once for each connection: two of the same text must not be open at once. Parameters are bound
/// in order; columns are numbered from 0.
class Statement {
 public:
  Statement(Connection& connection, const char* sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::int64_t value);
  Statement& text(std::string_view text);
  Statement& blob(std::string_view bytes);
  Statement& key(const ChainKey& key);
  bool step();  // true: a row is there
  void run();

  std::int64_t integer(int column) const;
  std::string text_at(int column) const;  // text or bytes
  ChainKey key_at(int column) const;      // throws IndexError{damaged} if there are not 16 bytes

 private:
  Connection& connection_;
  sqlite3_stmt* statement_ = nullptr;
  int parameter_ = 0;
};

/// Takes the write lock at once. Rolled back unless committed.
class Transaction {
 public:
  explicit Transaction(Connection& connection);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Connection* connection_;
};

}  // namespace lectern::inference

// What is kept, as rows of SQLite: extents, forgotten keys, what was read. No token ids and no text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/disk/extent_file.h"
#include "inference/disk/extent_store.h"
#include "inference/disk/reading_log.h"
#include "inference/disk/sqlite.h"

namespace lectern::inference {

struct ExtentRow {
  std::int64_t number = 0;
  std::int64_t identity = 0;
  Extent extent;
  bool has_state = false;
  std::string file;                            // its name
  std::int64_t row_bytes = 0, file_bytes = 0;  // as in ExtentLayout
  std::int64_t last_used_s = 0;
  /// What the file should measure now.
  std::int64_t bytes() const { return has_state ? file_bytes : row_bytes; }
};

/// Throws IndexError. Used by one thread at a time. Functions that change something belong into a transaction of the
/// caller's.
class ContextIndex {
 public:
  /// Opens or makes the file. Throws IndexError{newer} if it was written by a newer version, IndexError{damaged} if it
  /// is damaged or of an older one.
  ContextIndex(const std::string& location, const std::string& name, Connection::Mode mode);
  Connection& connection() { return connection_; }
  /// True until make() was called, in whatever process.
  bool is_empty();
  void make();

  /// The number of an identity, which becomes known if it was not.
  std::int64_t identity(const ReadingIdentity& identity);

  std::optional<ExtentRow> find(std::int64_t identity, const ChainKey& key);
  std::optional<ExtentRow> find(std::int64_t number);
  bool knows_file(std::string_view name);
  std::vector<ExtentRow> following(std::int64_t identity, const ChainKey& parent);
  bool has_descendants(const ExtentRow& row);
  std::vector<ExtentRow> all();
  std::vector<ExtentRow> leaves();
  std::vector<ExtentRow> with_document(std::string_view id);
  /// `id` itself, and documents (or passages) that were read with the same ids as it or its passages: the rows of one
  /// serve for the other, and are kept under the first one's name.
  std::vector<std::string> with_same_text(std::string_view id);
  /// Root first, `row` itself last. Empty if an ancestor is missing.
  std::vector<ExtentRow> path_to(const ExtentRow& row, const ChainKey& root);

  std::int64_t insert(const ExtentRow& row);  // gives its number; its key is not forgotten any more
  /// Deletes the row alone; replace() because one with the same key follows.
  void replace(const ExtentRow& row);
  void remove(const ExtentRow& row, Forgotten reason);
  /// Deletes it and all that goes on from it; they are added to `removed`.
  void remove_with_descendants(const ExtentRow& row, Forgotten reason, std::vector<ExtentRow>& removed);
  void drop_state(std::int64_t number);
  void touch(std::int64_t number, std::int64_t now_s);

  struct Totals {
    std::int64_t extents = 0, tokens = 0, states = 0, documents = 0, bytes = 0;
  };
  Totals totals();
  std::int64_t bytes();

  /// Grows with every clearing that is noted: what was copied before must not be kept after it.
  std::int64_t generation();
  void note_clearing_of_all();
  void note_clearing(std::string_view document);
  Clearings clearings_since(std::int64_t generation);
  std::int64_t written_on(std::int64_t day);
  void add_written(std::int64_t day, std::int64_t bytes);

  std::optional<Forgotten> forgotten(const ChainKey& key);
  void note_not_kept(const ChainKey& key) { forget(key, Forgotten::evicted); }
  void remember_reading(std::int64_t identity, const std::string& conversation, std::span<const ReadPart> documents,
                        std::span<const std::uint64_t> contents);
  std::vector<ReadPart> last_reading(const std::string& conversation);
  std::vector<std::int64_t> places_of(const std::string& document);
  std::optional<ReadingIdentity> reader_of(std::uint64_t content, std::int64_t preferred);
  void forget_readings();
  void forget_readings_of(std::string_view document);
  /// Empties the log, so that nothing deleted remains in it. Does nothing while another process reads.
  void empty_log();

 private:
  void note_clearing_number(std::int64_t number);
  void forget(const ChainKey& key, Forgotten reason);
  Connection connection_;
};

}  // namespace lectern::inference

// The folder of kept readings as one thing: index and files together, whoever reads and writes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/disk/context_index.h"
#include "inference/disk/extent_file.h"
#include "inference/disk/file_system.h"

namespace lectern::inference {

struct ContextDiskStats {
  std::int64_t extents = 0, tokens = 0, states = 0, documents = 0;
  std::int64_t bytes = 0, budget_bytes = 0, quarantined = 0;
  std::int64_t written_bytes_today = 0;
  std::string problem;  // why nothing is kept here at present ("…: the disk is full"), or empty
};

/// What verify_context_folder() found.
struct VerifyReport {
  std::int64_t extents = 0;  // files that the index knows, read back whole
  std::int64_t bytes = 0;
  std::vector<std::string> damaged;  // "NAME: what is wrong", files that are not there included
  std::int64_t orphans = 0;          // files that the index does not know; the next start removes them
  std::int64_t other_versions = 0;   // files of a format that this build does not know
  std::string problem;               // why the folder could not be looked at, or empty
};

/// Without a model, for the folder of all identities. None of them throws; `problem` says what is wrong.
ContextDiskStats context_folder_stats(const std::filesystem::path& folder, FileSystem& files,
                                      std::optional<std::int64_t> budget_bytes = {});
/// Reads every file of every identity and changes nothing.
VerifyReport verify_context_folder(const std::filesystem::path& folder, FileSystem& files);

/// Thread-safe, never throws: an index or files that cannot be used are a miss and set `problem`; after some seconds it
/// is tried again. A damaged index is set aside and made again from the headers of the files.
class ContextFolder {
 public:
  ContextFolder(std::filesystem::path folder, FileSystem& files);
  ~ContextFolder();
  ContextFolder(const ContextFolder&) = delete;
  ContextFolder& operator=(const ContextFolder&) = delete;

  FileSystem& files() { return files_; }
  std::filesystem::path extent_path(const std::string& name) const { return folder_ / "extents" / name; }
  std::filesystem::path extents() const { return folder_ / "extents"; }
  const std::filesystem::path& path() const { return folder_; }

  std::vector<ExtentRow> following(const ReadingIdentity& identity, const ChainKey& parent);
  std::optional<ExtentRow> find(std::int64_t number);
  bool holds(const ReadingIdentity& identity, const ChainKey& key);
  void touch(std::span<const std::int64_t> numbers);

  /// Whether an extent may be saved: its parent is kept (or is `root`) and it is not kept with its state already.
  enum class Wanted { yes, kept_already, parent_missing, unknown };
  Wanted wants(const ReadingIdentity& identity, const ChainKey& root, const Extent& extent);
  /// Grows with every clearing. Nothing while the index cannot be used.
  std::optional<std::int64_t> generation();
  Clearings clearings_since(std::int64_t generation);
  std::vector<std::int64_t> places_of(const std::string& document);

  struct Room {
    std::int64_t budget_bytes = 0;  // as the options and the free space give it
    bool enough = false;
  };
  /// Whether `bytes` more may be written now; sets `problem` if not.
  Room room_for(std::int64_t bytes, std::optional<std::int64_t> budget_bytes, std::int64_t daily_write_bytes);
  /// `unwanted`: kept by another process, its parent gone, cleared since `generation`; `failed`: the index did, and
  /// `problem` says why. The file must be deleted then.
  enum class Committed { kept, unwanted, failed };
  /// Takes up a file that is complete and on the disk, in one transaction: row, thinning, eviction.
  Committed commit(const ReadingIdentity& identity, const ChainKey& root, ExtentRow row, std::int64_t generation,
                   std::int64_t budget_bytes);

  /// What ends at `key` was read and found no place here: a later miss says so.
  void note_not_kept(const ChainKey& key);
  /// An extent could not be read or is not what it should be: it goes into quarantine, its descendants go.
  /// Nothing happens if it is not kept any more under this number and in this file.
  void damaged(std::int64_t number, const std::string& file);
  /// Its file was not there or too short: as damaged(), unless another process removed or thinned it meanwhile.
  void lost(std::int64_t number, const std::string& file);

  /// As ContextDisk::clear() and clear_document().
  std::optional<std::int64_t> clear();
  std::optional<std::int64_t> clear_document(std::string_view id);
  ContextDiskStats stats(std::optional<std::int64_t> budget_bytes);
  std::optional<Forgotten> forgotten(const ChainKey& key);
  void remember_reading(const ReadingIdentity& identity, const std::string& conversation,
                        std::span<const ReadPart> documents, std::span<const std::uint64_t> contents);
  std::vector<ReadPart> last_reading(const std::string& conversation);
  std::optional<ReadingIdentity> reader_of(std::uint64_t content, const ReadingIdentity& preferred);

  /// What keeps the writer from writing, until the next thing written or `problem` of another kind.
  void set_write_problem(const std::string& problem);

 private:
  /// Runs `action` with the index, under the mutex. Nothing if there is no index or the action failed.
  template <class Action>
  auto with_index(Action action) -> std::optional<decltype(action(std::declval<ContextIndex&>()))>;
  bool open_index();
  void open_or_make_index();
  void set_index_aside();
  void rebuild(ContextIndex& index);
  void reconcile(ContextIndex& index);
  void commit(Transaction& transaction);
  std::optional<std::int64_t> clear(const std::function<void(ContextIndex&, std::vector<ExtentRow>&)>& choose);
  std::int64_t remove_files(std::span<const ExtentRow> rows);
  bool remove_quietly(const std::filesystem::path& file);
  void quarantine(const ExtentRow& row);
  void remove_unknown_files();
  void empty_quarantine();
  std::int64_t budget(std::optional<std::int64_t> wanted, std::int64_t kept_bytes);

  std::filesystem::path folder_;
  FileSystem& files_;
  std::mutex mutex_;
  std::unique_ptr<ContextIndex> index_;
  bool is_damaged_ = false;  // a statement said so
  bool is_full_ = false;     // the last thing that failed did for want of space
  std::int64_t next_try_s_ = INT64_MIN;
  std::int64_t tried_s_ = INT64_MIN;
  std::string index_problem_, write_problem_;
};

}  // namespace lectern::inference

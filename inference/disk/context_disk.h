// Kept readings on disk: a file for every extent, an index of them, a writer behind the reading.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/disk/context_folder.h"
#include "inference/disk/extent_file.h"
#include "inference/disk/extent_store.h"
#include "inference/disk/file_system.h"
#include "inference/disk/reading_log.h"
#include "inference/kv_pages.h"
#include "inference/types.h"

namespace lectern::inference {

struct ContextDiskOptions {
  std::filesystem::path folder;  // made if it is not there
  /// Bytes of files that may be kept; nothing: 50 GB or a tenth of what is free, whichever is less.
  std::optional<std::int64_t> budget_bytes;
  std::int64_t daily_write_bytes = std::int64_t{50} << 30;
  std::int64_t queue_bytes = std::int64_t{256} << 20;  // copied and not yet written; save() waits beyond
};

/// Never throws, never serves what was not verified: whatever fails is a miss, and `problem` of the
/// stats says why. Used by one thread (the engine's); writing and reading go on in threads of its own. Several
/// processes may use one folder at once.
class ContextDisk : public ExtentStore, public ReadingLog {
 public:
  /// Opens or makes the folder, brings index and files together. A folder that cannot be used is tried again after some
  /// seconds; until then everything is a miss.
  ContextDisk(const ContextDiskOptions& options, const ReadingIdentity& identity, const KeptShape& shape,
              FileSystem& files);
  ~ContextDisk() override;  // after flush()
  ContextDisk(const ContextDisk&) = delete;
  ContextDisk& operator=(const ContextDisk&) = delete;

  /// Besides what ExtentStore says: left alone are an extent whose parent is neither kept nor on its way, and one whose
  /// state is not finite or not at its end. Waits while more than queue_bytes are still to be written, but not for a
  /// disk that hangs. After an error what is queued is dropped, and nothing is taken for some seconds.
  void save(const Extent& extent, std::span<const TokenId> tokens, std::span<const PageRef> pages,
            const DeltaSnapshot& state) override;
  bool holds(const ChainKey& key) override;
  std::vector<StoredExtent> following(const ChainKey& parent) override;
  /// What fails goes into quarantine. What this returns must be destroyed before the disk, and may outlive neither the
  /// target's pages nor its snapshot.
  std::unique_ptr<ContextRestore> restore(std::span<const StoredExtent> path, std::span<const TokenId> tokens,
                                          const RestoreTarget& target) override;
  Clearings new_clearings() override;
  std::optional<Forgotten> forgotten(const ChainKey& key) override;
  /// Waits until all that was saved is on the disk or has failed.
  void flush();

  /// Forgets everything of all identities, or all that was computed with this document (or passages of it, "ID#…") in
  /// the context, whoever kept it.
  /// What was saved before and is still on its way, here or in another process, is dropped. Gives the number of bytes
  /// that were freed, or nothing if it could not be done: `problem` of the stats says why.
  std::optional<std::int64_t> clear();
  std::optional<std::int64_t> clear_document(std::string_view id);
  ContextDiskStats stats();

  bool is_usable() override;
  void remember_reading(const std::string& conversation, std::span<const ReadPart> documents,
                        std::span<const std::uint64_t> contents) override;
  std::vector<ReadPart> last_reading(const std::string& conversation) override;
  std::vector<std::int64_t> places_of(const std::string& document) override;
  std::optional<ReadingIdentity> reader_of(std::uint64_t content) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lectern::inference

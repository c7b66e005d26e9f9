// Kept readings on disk: a file for every extent, an index of them, a writer behind the reading.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/disk/extent.h"
#include "inference/disk/file_system.h"
#include "inference/kv_pages.h"
#include "inference/types.h"

namespace lectern::inference {

/// What a kept reading depends on beside its tokens, in three parts, each a reason of its own to read again. Compared
/// as text; all three together are the identity that root_key() takes.
struct ReadingIdentity {
  std::string model;     // file or folder, its size and the hash of its weights and tokenizer
  std::string settings;  // rope scaling, types of kept values
  std::string build;     // kernels, instruction path, grid, format of the files here
  std::string text() const { return model + '\x1e' + settings + '\x1e' + build; }
};

/// Sizes of what is kept for one model.
struct KeptShape {
  std::int64_t layers = 0;  // with keys and values
  kernels::KvShape kv;
  DeltaShape delta;
};

struct ContextDiskOptions {
  std::filesystem::path folder;  // made if it is not there
  /// Bytes of files that may be kept; nothing: 50 GB or a tenth of what is free, whichever is less.
  std::optional<std::int64_t> budget_bytes;
  std::int64_t daily_write_bytes = std::int64_t{50} << 30;
  std::int64_t queue_bytes = std::int64_t{256} << 20;  // copied and not yet written; save() waits beyond
};

struct ContextDiskStats {
  std::int64_t extents = 0, tokens = 0, states = 0, documents = 0;
  std::int64_t bytes = 0, budget_bytes = 0, quarantined = 0;
  std::int64_t written_bytes_today = 0;
  std::string problem;  // why nothing is kept here at present ("…: the disk is full"), or empty
};

/// Why the rows after a key are not there any more.
enum class Forgotten { evicted, cleared, damaged };

/// An extent that the index knows. `number` names it in this process.
struct StoredExtent : Extent {
  std::int64_t number = 0;
  bool has_state = false;  // its state may have been thinned
};

/// Reads extents back in the background, layer by layer, into memory that nobody else may see before finish() has
/// returned true. Destroying it waits for the reading to stop.
class ContextRestore {
 public:
  virtual ~ContextRestore() = default;
  /// Blocks until these rows, or this layer's recurrent state and convolution rows, are there and their checksums hold.
  /// False: they are damaged or cannot be read; the extent is in quarantine and must be read from the document again.
  virtual bool wait_for_keys_and_values(std::int64_t layer) = 0;
  virtual bool wait_for_delta(std::int64_t layer) = 0;
  /// The same for everything. The target's hidden row and row kind are set then.
  virtual bool finish() = 0;
  virtual std::int64_t bytes() const = 0;
};

/// One segment of a request that was read: what it was and the hash of its ids.
struct ReadPart {
  std::string id;
  std::uint64_t content = 0;
};

/// Where restored rows go.
struct RestoreTarget {
  const KvSequence* kv = nullptr;     // reserved up to the end of the path; rows from `first` on are written
  std::int64_t first = 0;             // rows before it are there already
  DeltaSnapshot* snapshot = nullptr;  // of the last extent: filled whole
};

/// Never throws after construction, never serves what was not verified: whatever fails is a miss, and `problem` of the
/// stats says why. Used by one thread (the engine's); writing and reading go on in threads of its own. Several
/// processes may use one folder at once.
class ContextDisk {
 public:
  /// Opens or makes the folder, brings index and files together. Throws Error{io} that names the folder if it cannot be
  /// used at all.
  ContextDisk(const ContextDiskOptions& options, const ReadingIdentity& identity, const KeptShape& shape,
              FileSystem& files);
  ~ContextDisk();  // after flush()
  ContextDisk(const ContextDisk&) = delete;
  ContextDisk& operator=(const ContextDisk&) = delete;

  /// Keeps an extent: its token ids [end - begin], the pages of slots [0, end) and the state at its end are copied now
  /// and written behind. An extent whose key is kept already with its state is left alone.
  void save(const Extent& extent, std::span<const TokenId> tokens, std::span<const PageRef> pages,
            const DeltaSnapshot& state);
  /// Extents that go on from this key, of this identity. Those that are still being written are not among them.
  std::vector<StoredExtent> following(const ChainKey& parent);
  /// Starts to read `path`, extents that join, the last of which has a state. Headers are read and compared first, with
  /// `tokens` [path.front().begin, path.back().end) id by id; null if one of them is not what it should be (it is in
  /// quarantine then).
  std::unique_ptr<ContextRestore> restore(std::span<const StoredExtent> path, std::span<const TokenId> tokens,
                                          const RestoreTarget& target);
  /// Waits until all that was saved is on the disk or has failed.
  void flush();

  /// Forgets everything of all identities, or all that was computed with this document in the context, whoever kept it.
  /// Gives the number of bytes that were freed.
  std::int64_t clear();
  std::int64_t clear_document(std::string_view id);
  ContextDiskStats stats();
  std::optional<Forgotten> forgotten(const ChainKey& key);

  /// What was read, kept or not, in order to say why something must be read again. `documents` are those of the
  /// conversation in their order; `contents` are hashes of all segments of the chain.
  void remember_reading(const std::string& conversation, std::span<const ReadPart> documents,
                        std::span<const std::uint64_t> contents);
  /// The documents of the conversation's last reading.
  std::vector<ReadPart> last_reading(const std::string& conversation);
  /// The identity under which this content was read: the present one if it was, else the latest other one.
  std::optional<ReadingIdentity> reader_of(std::uint64_t content);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lectern::inference

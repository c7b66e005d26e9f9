// What the context store asks of the disk: keep an extent, find those that go on from a place, read them back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "inference/disk/clearings.h"
#include "inference/disk/extent.h"
#include "inference/kv_pages.h"
#include "inference/types.h"

namespace lectern::inference {

/// Why the rows after a key are not there any more.
enum class Forgotten { evicted, cleared, damaged };

/// An extent that is kept. `number` names it to the store that gave it.
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
  /// False: they are damaged or cannot be read; the extent is not offered again and its text must be read once more.
  virtual bool wait_for_keys_and_values(std::int64_t layer) = 0;
  virtual bool wait_for_delta(std::int64_t layer) = 0;
  /// The same for everything. The target's hidden row and row kind are set then.
  virtual bool finish() = 0;
  virtual std::int64_t bytes() const = 0;
};

/// Where restored rows go.
struct RestoreTarget {
  const KvSequence* kv = nullptr;     // reserved up to the end of the path; rows from `first` on are written
  std::int64_t first = 0;             // rows before it are there already
  DeltaSnapshot* snapshot = nullptr;  // of the last extent: filled whole
};

/// Used by one thread. Nothing here throws: what fails is a miss.
class ExtentStore {
 public:
  virtual ~ExtentStore() = default;
  /// Keeps an extent: its token ids [end - begin], the pages of slots [0, end) and the state at its end are copied
  /// before it returns. An extent of that key that is kept already is left alone, or replaced if its state is gone.
  virtual void save(const Extent& extent, std::span<const TokenId> tokens, std::span<const PageRef> pages,
                    const DeltaSnapshot& state) = 0;
  /// True if an extent with this key is kept or on its way to the disk.
  virtual bool holds(const ChainKey& key) = 0;
  /// Extents that go on from this key. Those that are still on their way to the disk are not among them.
  virtual std::vector<StoredExtent> following(const ChainKey& parent) = 0;
  /// Starts to read `path`, extents that join, the last of which has a state. What it holds is compared with `tokens`
  /// [path.front().begin, path.back().end) id by id first; null if it is not what it should be.
  virtual std::unique_ptr<ContextRestore> restore(std::span<const StoredExtent> path, std::span<const TokenId> tokens,
                                                  const RestoreTarget& target) = 0;
  /// What was cleared since the last call, here or by another process. What was read before that is not kept: extents
  /// that are saved are of the time of this call.
  virtual Clearings new_clearings() = 0;
  virtual std::optional<Forgotten> forgotten(const ChainKey& key) = 0;
};

}  // namespace lectern::inference

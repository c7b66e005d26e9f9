// Kept extents on their way back into memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "inference/delta_snapshots.h"
#include "inference/disk/context_folder.h"
#include "inference/disk/extent.h"
#include "inference/kv_pages.h"
#include "inference/types.h"

namespace lectern::inference {

/// An extent that the index knows. `number` names it in this process.
struct StoredExtent : Extent {
  std::int64_t number = 0;
  bool has_state = false;  // its state may have been thinned
};

/// Where restored rows go. All of it must stay where it is until the ContextRestore is gone.
struct RestoreTarget {
  const KvSequence* kv = nullptr;     // reserved up to the end of the path; rows from `first` on are written
  std::int64_t first = 0;             // rows before it are there already
  DeltaSnapshot* snapshot = nullptr;  // of the last extent: filled whole
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
  /// Of the files that are read.
  virtual std::int64_t bytes() const = 0;
};

/// ContextDisk::restore(). The folder outlives what it returns.
std::unique_ptr<ContextRestore> start_restore(ContextFolder& folder, const ReadingIdentity& identity,
                                              const ChainKey& root, const KeptShape& shape,
                                              std::span<const StoredExtent> path, std::span<const TokenId> tokens,
                                              const RestoreTarget& target);

}  // namespace lectern::inference

// One running token chain: its keys and values and its recurrent state, always at the same position.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "inference/delta_snapshots.h"
#include "inference/disk/extent_store.h"
#include "inference/kv_pages.h"
#include "kernels/error.h"

namespace lectern::inference {

/// A kept reading on its way from the disk into a sequence. Layers ask for what they need, so that the first of them
/// run while the last are still being read.
class PendingRestore {
 public:
  PendingRestore(std::unique_ptr<ContextRestore> restore, std::unique_ptr<DeltaSnapshot> snapshot, std::int64_t end);
  ~PendingRestore();

  /// Waits; throws RestoreFailed.
  void need_keys_and_values(std::int64_t layer);
  /// The same, and moves the layer's state to `live`. Only the first call for a layer does anything.
  void need_delta(std::int64_t layer, DeltaState& live);
  /// Waits for everything and brings `live` up to date. False if it was damaged.
  bool finish(DeltaState& live);
  /// The state that came, after finish().
  std::unique_ptr<DeltaSnapshot> take_snapshot() { return std::move(snapshot_); }
  std::int64_t end() const { return end_; }

 private:
  std::unique_ptr<DeltaSnapshot> snapshot_;
  std::unique_ptr<ContextRestore> restore_;  // writes to the snapshot: goes first
  std::int64_t end_;
  std::int64_t moved_ = 0;  // DeltaNet layers
};

/// What was on its way from the disk is damaged. The sequence must be thrown away.
class RestoreFailed : public Error {
 public:
  RestoreFailed() : Error(ErrorKind::io, "context: a kept reading cannot be read back") {}
};

struct Sequence {
  Sequence(KvPagePool& pool, const DeltaShape& shape) : kv(pool), state(shape) {}
  std::int64_t position() const { return kv.length(); }
  /// Back to nothing.
  void restart(KvPagePool& pool);

  KvSequence kv;
  DeltaState state;
  std::unique_ptr<PendingRestore> restore;  // writes to pages of `kv`: goes first; null when nothing is on its way
};

}  // namespace lectern::inference

#include "inference/sequence.h"

#include <cstring>

namespace lectern::inference {

PendingRestore::PendingRestore(std::unique_ptr<ContextRestore> restore, std::unique_ptr<DeltaSnapshot> snapshot,
                               std::int64_t end)
    : snapshot_(std::move(snapshot)), restore_(std::move(restore)), end_(end) {}
PendingRestore::~PendingRestore() = default;

void PendingRestore::need_keys_and_values(std::int64_t layer) {
  if (!restore_->wait_for_keys_and_values(layer)) throw RestoreFailed();
}

void PendingRestore::need_delta(std::int64_t layer, DeltaState& live) {
  if (layer < moved_) return;  // layers come in order
  if (!restore_->wait_for_delta(layer)) throw RestoreFailed();
  const auto copy = [](kernels::Tensor from, kernels::Tensor to) {
    std::memcpy(to.data, from.data, static_cast<std::size_t>(from.elements()) * sizeof(float));
  };
  copy(snapshot_->state.recurrent(layer), live.recurrent(layer));
  copy(snapshot_->state.conv(layer), live.conv(layer));
  moved_ = layer + 1;
}

bool PendingRestore::finish(DeltaState& live) {
  if (!restore_->finish()) return false;
  for (std::int64_t layer = moved_; layer < live.shape().layers; ++layer) need_delta(layer, live);
  return true;
}

void Sequence::restart(KvPagePool& pool) {
  restore.reset();
  kv = KvSequence(pool);
  state.clear();
}

}  // namespace lectern::inference

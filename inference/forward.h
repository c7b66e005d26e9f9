// The forward pass: tokens in, hidden rows and logits out (model.md 3.1).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/layer_pass.h"
#include "inference/weights.h"

namespace lectern::inference {

/// Sizes of a sequence's state for a model.
DeltaShape delta_shape(const ModelConfig& config);
kernels::KvShape kv_shape(const ModelConfig& config);

/// Owns the work memory, sized here for `chunk` rows and sequences of up to `window` tokens: a pass allocates nothing
/// but pages. Model, weights and stream must outlive it. One thread.
class Forward {
 public:
  Forward(const ModelConfig& config, const Weights& weights, kernels::Stream& stream, std::int64_t chunk,
          std::int64_t window);

  /// Reads the pieces' tokens (all rows of one kind, together at most `chunk`) and moves their sequences on. Returns
  /// the final-normed hidden row of every token, [R, H] f32, valid until the next pass. A row's bits never depend on
  /// the other rows of the pass. Throws Error{bad_request} for an unknown token id or a full window (nothing has
  /// changed then), Error{out_of_memory} without pages (likewise), Error{device} naming the layer where a value stopped
  /// being finite, RestoreFailed where what was on its way from the disk is damaged (the sequences must be thrown away
  /// then).
  kernels::ConstTensor run(std::span<const ForwardPiece> pieces, RowKind kind);
  /// logits = hidden · W_lmᵀ: hidden [R, H] as run() or a snapshot gave it, out [R, V] f32. Throws Error{device} if one
  /// is not finite.
  void logits(kernels::ConstTensor hidden, RowKind kind, kernels::Tensor out);

  const ModelConfig& config() const { return config_; }
  kernels::Stream& stream() { return stream_; }
  std::int64_t chunk() const { return chunk_; }
  std::int64_t window() const { return window_; }
  std::int64_t workspace_bytes() const { return arena_.size_bytes(); }

 private:
  void check(std::span<const ForwardPiece> pieces) const;

  const ModelConfig& config_;
  const Weights& weights_;
  kernels::Stream& stream_;
  std::int64_t chunk_;
  std::int64_t window_;
  kernels::Arena arena_;
  std::vector<TokenId> ids_;             // [chunk]
  std::vector<std::int64_t> positions_;  // [chunk]
  std::vector<std::byte*> strips_;       // [pages of all sequences of a pass]
  std::vector<kernels::AttentionSlots> slots_;
  std::vector<kernels::Tensor> snapshot_views_;
};

}  // namespace lectern::inference

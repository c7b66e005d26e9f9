// The state of a sequence that is not keys and values: DeltaNet's recurrent matrices and convolution rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/memory.h"
#include "kernels/moe_experts.h"  // RowKind
#include "kernels/tensor.h"

namespace lectern::inference {

using kernels::RowKind;

/// Sizes of the state of one sequence; `layers` is 0 for a model without DeltaNet layers.
struct DeltaShape {
  std::int64_t layers = 0;
  std::int64_t value_heads = 0;
  std::int64_t key_dim = 0;
  std::int64_t value_dim = 0;
  std::int64_t conv_rows = 0;  // taps - 1
  std::int64_t conv_channels = 0;
  std::int64_t hidden = 0;  // width of the residual stream

  std::int64_t recurrent_values() const { return value_heads * key_dim * value_dim; }
  std::int64_t conv_values() const { return conv_rows * conv_channels; }
  /// Bytes of one snapshot.
  std::int64_t bytes() const;
};

/// The live state: per layer S [Hv, Dk, Dv] f32 and the last convolution inputs [K-1, C] f32. Zero at a sequence's
/// start.
class DeltaState {
 public:
  explicit DeltaState(const DeltaShape& shape);
  const DeltaShape& shape() const { return shape_; }
  kernels::Tensor recurrent(std::int64_t layer);
  kernels::Tensor conv(std::int64_t layer);
  void clear();
  void copy_from(const DeltaState& other);
  bool is_finite() const;
  bool operator==(const DeltaState& other) const { return recurrent_ == other.recurrent_ && conv_ == other.conv_; }

 private:
  DeltaShape shape_;
  std::vector<float, kernels::PageAllocator<float>> recurrent_;
  std::vector<float> conv_;
};

/// An exact copy of the state after `position` tokens, and the final-normed hidden row of the last of them, from which
/// the next token's logits are computed again bit for bit (with the kernels that `rows` names).
struct DeltaSnapshot {
  explicit DeltaSnapshot(const DeltaShape& shape);
  std::int64_t position = 0;
  RowKind rows = RowKind::prefill;
  DeltaState state;
  std::vector<float> hidden;  // [H]
  /// False when a value is NaN or infinite: such a state is never kept.
  bool is_finite() const;
  std::int64_t bytes() const { return state.shape().bytes(); }
};

}  // namespace lectern::inference

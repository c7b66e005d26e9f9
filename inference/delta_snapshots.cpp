// A recurrent state cannot be cut back to a shorter prefix as keys and values can, so every place that a later request
// may start from needs its own copy. The kernels write them in the middle of a pass (at listed offsets), so that taking
// a snapshot never changes how a prompt is read.
#include "inference/delta_snapshots.h"

#include <algorithm>
#include <cmath>

namespace lectern::inference {

namespace {
bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}
}  // namespace

std::int64_t DeltaShape::bytes() const {
  return (layers * (recurrent_values() + conv_values()) + hidden) * static_cast<std::int64_t>(sizeof(float));
}

DeltaState::DeltaState(const DeltaShape& shape)
    : shape_(shape),
      recurrent_(static_cast<std::size_t>(shape.layers * shape.recurrent_values())),
      conv_(static_cast<std::size_t>(shape.layers * shape.conv_values())) {}

kernels::Tensor DeltaState::recurrent(std::int64_t layer) {
  return kernels::f32_view(recurrent_.data() + layer * shape_.recurrent_values(),
                           {shape_.value_heads, shape_.key_dim, shape_.value_dim});
}

kernels::Tensor DeltaState::conv(std::int64_t layer) {
  return kernels::f32_view(conv_.data() + layer * shape_.conv_values(), {shape_.conv_rows, shape_.conv_channels});
}

void DeltaState::clear() {
  std::fill(recurrent_.begin(), recurrent_.end(), 0.0F);
  std::fill(conv_.begin(), conv_.end(), 0.0F);
}

void DeltaState::copy_from(const DeltaState& other) {
  std::copy(other.recurrent_.begin(), other.recurrent_.end(), recurrent_.begin());
  std::copy(other.conv_.begin(), other.conv_.end(), conv_.begin());
}

bool DeltaState::is_finite() const {
  return all_finite(recurrent_) && all_finite(conv_);
}

DeltaSnapshot::DeltaSnapshot(const DeltaShape& shape) : state(shape), hidden(static_cast<std::size_t>(shape.hidden)) {}

bool DeltaSnapshot::is_finite() const {
  return state.is_finite() && all_finite(hidden);
}

}  // namespace lectern::inference

// Keys and values are cut back by forgetting slots; a recurrent state is not. Its value before the pass stays in place,
// the pass works on a copy of one layer at a time, and the rows that are kept are run again: 1 + a rows of the cheapest
// part of a layer, without any matrix product. Dropped: a state for each draft (72 MiB a token in Qwen3-Next 80B), and
// adding the logged updates in one step, which is as cheap but rounds differently from decoding token by token.
#include "inference/delta_replay.h"

#include <cassert>
#include <cstring>

#include "inference/forward.h"
#include "inference/layer_pass.h"
#include "kernels/causal_conv1d.h"
#include "kernels/delta_rule.h"

namespace lectern::inference {

using kernels::ConstTensor;
using kernels::Tensor;

namespace {
constexpr std::int64_t f32_bytes = sizeof(float);

void keep(ConstTensor from, Tensor to) {
  assert(from.size_bytes() <= to.size_bytes());
  std::memcpy(to.data, from.data, static_cast<std::size_t>(from.size_bytes()));
}
}  // namespace

std::int64_t DeltaReplay::bytes(const ModelConfig& config, std::int64_t rows) {
  const DeltaShape shape = delta_shape(config);
  if (shape.layers == 0) return 0;
  const DeltaConfig& d = config.delta;
  const std::int64_t layer = d.conv_channels() + d.key_heads * d.key_dim + d.value_size() + 2 * d.value_heads;
  return (shape.layers * rows * layer + shape.recurrent_values() + shape.conv_values() +
          rows * (d.conv_channels() + d.value_size())) *
             f32_bytes +
         (5 * shape.layers + 4) * kernels::memory_alignment;
}

DeltaReplay::DeltaReplay(const ModelConfig& config, std::int64_t rows)
    : config_(config.delta), rows_(rows), arena_(bytes(config, rows)) {
  const DeltaShape shape = delta_shape(config);
  if (shape.layers == 0) return;
  const DeltaConfig& d = config_;
  for (std::int64_t layer = 0; layer < shape.layers; ++layer)
    layers_.push_back({{},
                       arena_.f32({rows, d.conv_channels()}),
                       arena_.f32({rows, d.key_heads, d.key_dim}),
                       arena_.f32({rows, d.value_heads, d.value_dim}),
                       arena_.f32({rows, d.value_heads}),
                       arena_.f32({rows, d.value_heads})});
  recurrent_ = arena_.f32({shape.value_heads, shape.key_dim, shape.value_dim});
  conv_ = arena_.f32({shape.conv_rows, shape.conv_channels});
  u_ = arena_.f32({rows, d.conv_channels()});
  o_ = arena_.f32({rows, d.value_heads, d.value_dim});
}

Tensor DeltaReplay::record_conv(std::int64_t layer, ConstTensor conv, ConstTensor m, DeltaState& state) {
  Layer& rows = layers_[static_cast<std::size_t>(layer)];
  rows.conv = conv;
  keep(m, rows.m);
  keep(state.conv(layer), conv_);
  return conv_;
}

Tensor DeltaReplay::record_delta(std::int64_t layer, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                                 DeltaState& state) {
  Layer& rows = layers_[static_cast<std::size_t>(layer)];
  keep(k, rows.k);
  keep(v, rows.v);
  keep(g, rows.g);
  keep(beta, rows.beta);
  keep(state.recurrent(layer), recurrent_);
  return recurrent_;
}

void DeltaReplay::apply(kernels::Stream& stream, std::int64_t count, DeltaState& state) {
  assert(count <= rows_);
  for (std::int64_t layer = 0; layer < static_cast<std::int64_t>(layers_.size()); ++layer) {
    const Layer& rows = layers_[static_cast<std::size_t>(layer)];
    kernels::causal_conv1d(stream, slice(rows.m, 0, count), rows.conv, state.conv(layer), {}, {}, slice(u_, 0, count));
    const Tensor k = slice(rows.k, 0, count);  // also in the place of q: it only goes into the result
    kernels::delta_rule(stream, k, k, slice(rows.v, 0, count), slice(rows.g, 0, count), slice(rows.beta, 0, count),
                        config_.sharing, {}, state.recurrent(layer), {}, {}, slice(o_, 0, count));
  }
}

}  // namespace lectern::inference

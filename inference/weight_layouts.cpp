#include "inference/weight_layouts.h"

namespace lectern::inference {

using kernels::ConstTensor;

void take_interleaved_qkvz(WeightLoader& loader, const std::string& name, const ModelConfig& config,
                           DeltaWeights& weights) {
  const DeltaConfig& size = config.delta;
  const std::int64_t channels = size.conv_channels(), values = size.value_size();
  const std::int64_t shared = size.value_heads / size.key_heads;              // r: value heads of one key head
  const std::int64_t group = 2 * size.key_dim + 2 * shared * size.value_dim;  // per key head q | k | v.. | z..
  const std::int64_t keys = size.key_heads * size.key_dim;
  const WeightLoader::Shape shape = {channels + values, config.hidden};
  const auto value_row = [&](std::int64_t i) {  // without the group's leading q and k
    const std::int64_t head = i / size.value_dim;
    return head / shared * group + 2 * size.key_dim + head % shared * size.value_dim + i % size.value_dim;
  };
  weights.qkv = loader.reordered(name, shape, channels, [&](std::int64_t i) {
    if (i < keys) return i / size.key_dim * group + i % size.key_dim;
    if (i < 2 * keys) return (i - keys) / size.key_dim * group + size.key_dim + i % size.key_dim;
    return value_row(i - 2 * keys);
  });
  weights.z =
      loader.reordered(name, shape, values, [&](std::int64_t i) { return value_row(i) + shared * size.value_dim; });
}

void take_interleaved_ba(WeightLoader& loader, const std::string& name, const ModelConfig& config,
                         DeltaWeights& weights) {
  const std::int64_t heads = config.delta.value_heads;
  const std::int64_t shared = heads / config.delta.key_heads;  // per key head b.. | a..
  const WeightLoader::Shape shape = {2 * heads, config.hidden};
  const auto b_row = [&](std::int64_t head) { return head / shared * 2 * shared + head % shared; };
  weights.b = loader.reordered(name, shape, heads, b_row);
  weights.a = loader.reordered(name, shape, heads, [&](std::int64_t head) { return b_row(head) + shared; });
  loader.require_finite(name);
}

void take_split_ba(WeightLoader& loader, const std::string& b, const std::string& a, const ModelConfig& config,
                   DeltaWeights& weights) {
  weights.b = loader.matrix(b, {config.delta.value_heads, config.hidden});
  weights.a = loader.matrix(a, {config.delta.value_heads, config.hidden});
  loader.require_finite(b);
  loader.require_finite(a);
}

void take_fused_gate_up(WeightLoader& loader, const std::string& name, const ModelConfig& config, MoeWeights& weights) {
  const std::int64_t experts = config.moe.experts, inner = config.moe.hidden;
  const WeightLoader::Shape shape = {experts, 2 * inner, config.hidden};
  const auto gate_row = [&](std::int64_t i) { return i / inner * 2 * inner + i % inner; };
  const auto stack = [&](ConstTensor flat) {
    return ConstTensor(flat.data, flat.type, {experts, inner, config.hidden});
  };
  weights.gate = stack(loader.reordered(name, shape, experts * inner, gate_row));
  weights.up =
      stack(loader.reordered(name, shape, experts * inner, [&](std::int64_t i) { return gate_row(i) + inner; }));
}

}  // namespace lectern::inference

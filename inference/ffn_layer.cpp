#include "inference/ffn_layer.h"

#include <algorithm>

#include "kernels/elementwise.h"
#include "kernels/moe_experts.h"
#include "kernels/moe_route.h"

namespace lectern::inference {

using kernels::Tensor;

void dense_layer(LayerPass& pass, const DenseWeights& weights, kernels::ConstTensor x, Tensor out) {
  const kernels::Arena::Scope scope(pass.arena);
  Tensor gate = pass.arena.f32({x.dim(0), weights.gate.dim(0)});
  Tensor up = pass.arena.f32({x.dim(0), weights.up.dim(0)});
  const kernels::Product products[] = {{weights.gate, gate}, {weights.up, up}};
  project(pass, x, products);
  kernels::silu_multiply(pass.stream, gate, up, gate);
  project(pass, gate, weights.down, out);
}

void moe_layer(LayerPass& pass, const MoeWeights& weights, kernels::ConstTensor x, Tensor out) {
  const MoeConfig& moe = pass.config.moe;
  const std::int64_t rows = x.dim(0);
  const kernels::Arena::Scope scope(pass.arena);

  Tensor logits = pass.arena.f32({rows, moe.experts});
  Tensor experts = pass.arena.tensor(kernels::DType::i32, {rows, moe.used});
  Tensor shares = pass.arena.f32({rows, moe.used});
  project(pass, x, weights.router, logits);
  kernels::moe_route(pass.stream, logits, moe.normalize, experts, shares);
  kernels::moe_experts(pass.stream, x, weights.gate, weights.up, weights.down, experts, shares, pass.kind, out);
  if (moe.shared_hidden == 0) return;

  Tensor shared = pass.arena.f32({rows, x.columns()});
  Tensor gate = pass.arena.f32({rows, 1});
  dense_layer(pass, weights.shared, x, shared);
  project(pass, x, weights.shared_router, gate);
  kernels::add_sigmoid_scaled(pass.stream, shared, Tensor(gate.data, gate.type, {rows}), out);
}

std::int64_t ffn_workspace(const ModelConfig& config, std::int64_t rows) {
  const MoeConfig& moe = config.moe;
  const std::int64_t dense = 2 * config.dense_hidden;
  const std::int64_t mixture = moe.experts + 2 * moe.used + config.hidden + 1 + 2 * moe.shared_hidden;
  return rows * std::max(dense, mixture) * static_cast<std::int64_t>(sizeof(float)) + 10 * kernels::memory_alignment;
}

}  // namespace lectern::inference

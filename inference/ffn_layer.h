// The feed-forward half of a layer: dense SwiGLU, or a mixture of experts with a gated shared expert (model.md 3.7).
#pragma once

#include "inference/layer_pass.h"
#include "inference/weights.h"

namespace lectern::inference {

/// out = down(silu(gate x) * up x). x, out [R, H] f32, x already normed.
void dense_layer(LayerPass& pass, const DenseWeights& weights, kernels::ConstTensor x, kernels::Tensor out);
/// out = sum of the chosen experts, plus the shared expert times sigmoid(x · w_shared).
void moe_layer(LayerPass& pass, const MoeWeights& weights, kernels::ConstTensor x, kernels::Tensor out);
/// Bytes of temporaries for `rows` rows of the larger of the two.
std::int64_t ffn_workspace(const ModelConfig& config, std::int64_t rows);

}  // namespace lectern::inference

// Gated DeltaNet: the mixer of three in four Qwen3-Next layers (model.md 3.2).
#pragma once

#include "inference/layer_pass.h"
#include "inference/weights.h"

namespace lectern::inference {

/// out = DeltaNet(x), and the states of the pieces' sequences move on. x, out [R, H] f32, x already normed.
/// `layer` counts the DeltaNet layers only.
void delta_layer(LayerPass& pass, const DeltaWeights& weights, std::int64_t layer, kernels::ConstTensor x,
                 kernels::Tensor out);
/// Bytes of temporaries for `rows` rows.
std::int64_t delta_workspace(const ModelConfig& config, std::int64_t rows);

}  // namespace lectern::inference

// Full attention with grouped heads: the mixer of llama layers and of every fourth Qwen3-Next layer (model.md 3.5).
#pragma once

#include "inference/layer_pass.h"
#include "inference/weights.h"

namespace lectern::inference {

/// out = Attention(x). x, out [R, H] f32, x already normed. `layer` counts the attention layers only: its strip of a
/// page. The pieces' sequences must have room for their tokens (KvSequence::reserve).
void attention_layer(LayerPass& pass, const AttentionWeights& weights, std::int64_t layer, kernels::ConstTensor x,
                     kernels::Tensor out);
/// Bytes of temporaries for `rows` rows.
std::int64_t attention_workspace(const ModelConfig& config, std::int64_t rows);

}  // namespace lectern::inference

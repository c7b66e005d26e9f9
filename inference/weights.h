// The weights of a model, by the names the formulas use. All matrices are [out, in]: y = x · wᵀ.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "inference/checkpoint.h"
#include "inference/gguf_file.h"
#include "inference/model_config.h"
#include "kernels/memory.h"
#include "kernels/tensor.h"

namespace lectern::inference {

/// Sizes as in AttentionConfig: D head_dim, Ha heads, Hkv kv_heads.
struct AttentionWeights {
  kernels::ConstTensor q;       // [Ha * D, H], or [Ha * 2D, H] with output gate: per head query rows, then gate rows
  kernels::ConstTensor k, v;    // [Hkv * D, H]
  kernels::ConstTensor output;  // [H, Ha * D]
  kernels::ConstTensor q_norm, k_norm;  // [D] f32, empty without qk_norm
};

/// Sizes as in DeltaConfig: Hk key heads of Dk, Hv value heads of Dv, C = conv_channels, K taps.
struct DeltaWeights {
  kernels::ConstTensor qkv;      // [C, H]: rows q | k | v, heads in order
  kernels::ConstTensor z;        // [Hv * Dv, H]
  kernels::ConstTensor b, a;     // [Hv, H]
  kernels::ConstTensor conv;     // [C, K] f32, oldest tap first
  kernels::ConstTensor decay;    // [Hv] f32: -exp(A_log)
  kernels::ConstTensor dt_bias;  // [Hv] f32
  kernels::ConstTensor norm;     // [Dv] f32, plain factor
  kernels::ConstTensor output;   // [H, Hv * Dv]
};

struct DenseWeights {
  kernels::ConstTensor gate, up;  // [I, H]
  kernels::ConstTensor down;      // [H, I]
};

struct MoeWeights {
  kernels::ConstTensor router;         // [E, H]
  kernels::ConstTensor gate, up;       // [E, I, H]
  kernels::ConstTensor down;           // [E, H, I]
  DenseWeights shared;                 // empty without shared expert
  kernels::ConstTensor shared_router;  // [1, H]: sigmoid(x · wᵀ) scales the shared expert
};

struct LayerWeights {
  kernels::ConstTensor input_norm;  // [H] f32, before the mixer
  std::variant<AttentionWeights, DeltaWeights> mixer;
  kernels::ConstTensor ffn_norm;  // [H] f32, before the feed-forward network
  std::variant<DenseWeights, MoeWeights> ffn;
};

/// The layer for multi-token prediction (model.md 4): c = combine [norm(embedding of the next token); norm(hidden)], an
/// attention layer over c, then `output_norm` and logits.
struct MtpWeights {
  kernels::ConstTensor combine;         // [H, 2H]: columns of the embedding first
  kernels::ConstTensor embedding_norm;  // [H] f32
  kernels::ConstTensor hidden_norm;     // [H] f32
  kernels::ConstTensor input_norm;      // [H] f32, before the attention
  AttentionWeights attention;
  kernels::ConstTensor ffn_norm;                              // [H] f32; empty without feed-forward network
  std::optional<std::variant<DenseWeights, MoeWeights>> ffn;  // some small models have none here
  kernels::ConstTensor output_norm;                           // [H] f32
  kernels::ConstTensor embedding, output;                     // [V, H]; those of the model where the file has none
};

/// What loading takes.
struct WeightBytes {
  std::int64_t mapped = 0;  // read in place
  std::int64_t owned = 0;   // copied
};

/// Views into a file's mapping, or into buffers owned here where rows had to be put in order, experts joined or a small
/// tensor widened to f32. The files must outlive it. Movable; the tensors stay valid.
struct Weights {
  kernels::ConstTensor embedding;    // [V, H]
  kernels::ConstTensor output_norm;  // [H] f32
  kernels::ConstTensor output;       // [V, H]; the embedding itself in tied models
  std::vector<LayerWeights> layers;
  std::optional<MtpWeights> mtp;

  std::int64_t mapped_bytes = 0;  // of the files, read in place
  std::int64_t owned_bytes = 0;   // copied
  std::vector<kernels::Buffer> owned;

  WeightBytes bytes() const { return {mapped_bytes, owned_bytes}; }
};

/// Finds every tensor the configuration asks for. One that is missing, misshapen, of a type without kernels, or holds
/// NaN or infinity (norms, decay, dt_bias) is an Error that names file and tensor; so is one that nothing would use.
Weights load_weights(const GgufFile& file, const ModelConfig& config);
Weights load_weights(const Checkpoint& checkpoint, const ModelConfig& config);

/// The same checks without copying anything.
WeightBytes check_weights(const GgufFile& file, const ModelConfig& config);
WeightBytes check_weights(const Checkpoint& checkpoint, const ModelConfig& config);

/// Tensors of the vision tower of a multimodal checkpoint: nothing here computes with them.
bool is_vision_tensor(const std::string& name);

}  // namespace lectern::inference

// The shapes that `model synthesize` knows, and the tensors of a file of such a shape (model.md, sections 1, 2 and 7).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "inference/synthetic_values.h"
#include "kernels/tensor.h"

namespace lectern::inference {

/// Sizes as in model_config.h.
struct SyntheticShape {
  std::string preset;
  std::string architecture;  // general.architecture: qwen3next, qwen35 or qwen35moe
  std::string pre;           // tokenizer.ggml.pre
  std::int64_t layers = 0;   // without the draft layer
  std::int64_t hidden = 0;
  std::int64_t vocabulary = 0;
  std::int64_t context = 262144;
  double rope_base = 1e7;
  std::int64_t rope_dimensions = 64;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 256;
  std::int64_t key_heads = 16, value_heads = 32, delta_dim = 128;  // delta_dim: of keys and of values
  std::int64_t conv_kernel = 4;
  std::int64_t attention_interval = 4;
  std::int64_t experts = 0, experts_used = 0, expert_hidden = 0, shared_hidden = 0;
  std::int64_t dense_hidden = 0;             // 0: the family has no such key
  std::vector<std::int64_t> dense_layers{};  // layers without experts in a model that has experts
  bool tied = false;                         // the embedding is the output matrix too
  bool draft_layer = false;                  // one MTP layer (model.md section 4) as a last block

  std::int64_t blocks() const { return layers + (draft_layer ? 1 : 0); }
  bool is_attention(std::int64_t block) const { return block >= layers || (block + 1) % attention_interval == 0; }
  bool is_moe(std::int64_t block) const;
};

const std::vector<SyntheticShape>& synthetic_presets();

struct SyntheticTensorSpec {
  std::string name;
  kernels::DType type = kernels::DType::f32;
  std::vector<std::int64_t> shape{};  // slowest axis first
  Distribution distribution{};

  std::int64_t elements() const;
  std::int64_t size_bytes() const;
};

/// Every tensor of the file, in its order. `type` is that of the matrices: f32, bf16, q8_0 or q4_k. Norms, router, the
/// projections to b and a, convolution, decay and dt are f32 always. With q4_k the mix is llama.cpp's Q4_K_M: the
/// output matrix (or tied embedding) is q6_k, and so are, in the layers that its use_more_bits names, all down
/// projections, attn_v and the fused attn_qkv of DeltaNet layers. Where rows are no whole number of blocks, q4_k and
/// q6_k become q8_0, and that becomes bf16.
std::vector<SyntheticTensorSpec> synthetic_tensors(const SyntheticShape& shape, kernels::DType type);

}  // namespace lectern::inference

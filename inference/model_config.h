// What a model is made of: the numbers the forward pass needs, read from a file's metadata and checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "inference/checkpoint.h"
#include "inference/gguf_file.h"
#include "inference/rope_config.h"
#include "kernels/delta_rule.h"

namespace lectern::inference {

/// Members of a family share names of tensors and keys; qwen3moe belongs to qwen3, qwen35moe to qwen35.
enum class ModelFamily { llama, qwen3, qwen3next, qwen35 };
enum class LayerKind { attention, delta };
enum class FfnKind { dense, moe };

/// Sizes of the attention layers.
struct AttentionConfig {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;  // divides heads; query head h uses KV head h / (heads / kv_heads)
  std::int64_t head_dim = 0;  // D, of queries, keys and values
  bool qk_norm = false;       // RMSNorm over D of every query and key head, before the rotation
  bool output_gate = false;   // rows of q: per head D of query, then D of gate; sigmoid(gate) * attention
};

/// Sizes of the DeltaNet layers; all 0 in models without them.
struct DeltaConfig {
  std::int64_t key_heads = 0;
  std::int64_t value_heads = 0;  // a multiple of key_heads
  std::int64_t key_dim = 0;      // Dk, per head
  std::int64_t value_dim = 0;    // Dv, per head
  std::int64_t conv_kernel = 0;  // taps; K - 1 rows of state
  kernels::DeltaHeads sharing = kernels::DeltaHeads::grouped;
  /// Channels of [q|k|v] through the convolution: 2 Hk Dk + Hv Dv.
  std::int64_t conv_channels() const { return 2 * key_heads * key_dim + value_heads * value_dim; }
  std::int64_t value_size() const { return value_heads * value_dim; }
};

/// Sizes of the mixtures of experts; all 0 in models without them.
struct MoeConfig {
  std::int64_t experts = 0;        // E
  std::int64_t used = 0;           // k
  std::int64_t hidden = 0;         // I, of one expert
  std::int64_t shared_hidden = 0;  // of the shared expert, 0: none
  bool normalize = true;           // weights of the k experts divided by their sum
};

struct LayerConfig {
  LayerKind mixer = LayerKind::attention;
  FfnKind ffn = FfnKind::dense;
};

struct ModelConfig {
  ModelFamily family = ModelFamily::llama;
  std::string architecture;  // as GGUF files name it: "llama", "qwen3next"
  std::string name;          // "SmolLM2 135M Instruct", else the file's name
  std::string quantization;  // of most weights: "Q4_1", "F32"
  std::int64_t parameters = 0;

  std::int64_t hidden = 0;          // H
  std::int64_t vocabulary = 0;      // V: rows of the embedding; ids beyond the tokenizer's are padding
  std::int64_t tokens = 0;          // entries of the tokenizer in a GGUF file, <= vocabulary; else 0
  std::int64_t context_length = 0;  // the longest window the model was made for
  std::int64_t dense_hidden = 0;    // of dense feed-forward layers; 0 if there are none
  std::int64_t mtp_layers = 0;      // layers for multi-token prediction behind `layers`: 0 or 1
  float norm_eps = 1e-6F;           // every RMSNorm; weights are plain factors (any +1 is folded into them)
  bool tied_output = false;         // logits use the embedding
  bool quantized = false;           // some matrix is; else keys and values stay f32

  AttentionConfig attention;
  RopeConfig rope;
  DeltaConfig delta;
  MoeConfig moe;
  std::vector<LayerConfig> layers;

  std::int64_t attention_layers() const;
  std::int64_t delta_layers() const;
};

/// Reads and checks the configuration. Error{unsupported} for a family, scaling or option this build cannot run,
/// Error{bad_file} for a missing key or an impossible number; both name file and key.
ModelConfig read_model_config(const GgufFile& file);
ModelConfig read_model_config(const Checkpoint& checkpoint);

}  // namespace lectern::inference

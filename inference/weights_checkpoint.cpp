// The names of Hugging Face checkpoints (model.md 2). Whether projections are interleaved or split and experts fused or
// single is told by the tensors present. Norms of Qwen3-Next and Qwen3.5 are stored around zero, so 1 is added, but not
// to the gated norm of the DeltaNet; A_log becomes -exp(A_log). Value heads are grouped per key head.

#include <string>
#include <vector>

#include "inference/checkpoint.h"
#include "inference/json_file.h"
#include "inference/weight_layouts.h"
#include "inference/weight_loader.h"
#include "inference/weights.h"
#include "kernels/error.h"

namespace lectern::inference {

using kernels::ConstTensor;

namespace {

using Change = WeightLoader::Change;

/// What all parts of a checkpoint are read with.
struct Source {
  WeightLoader& loader;
  const ModelConfig& config;

  /// An RMSNorm that is stored as the family stores them.
  ConstTensor norm(const std::string& name, std::int64_t width) const {
    const bool centred = config.family == ModelFamily::qwen3next || config.family == ModelFamily::qwen35;
    return loader.small(name, {width}, centred ? Change::add_one : Change::none);
  }
};

AttentionWeights load_attention(const Source& source, const std::string& prefix) {
  const AttentionConfig& size = source.config.attention;
  const std::int64_t hidden = source.config.hidden;
  const std::int64_t q_rows = size.heads * size.head_dim * (size.output_gate ? 2 : 1);
  const std::int64_t kv_rows = size.kv_heads * size.head_dim;
  AttentionWeights weights;
  weights.q = source.loader.matrix(prefix + "q_proj.weight", {q_rows, hidden});
  weights.k = source.loader.matrix(prefix + "k_proj.weight", {kv_rows, hidden});
  weights.v = source.loader.matrix(prefix + "v_proj.weight", {kv_rows, hidden});
  weights.output = source.loader.matrix(prefix + "o_proj.weight", {hidden, size.heads * size.head_dim});
  if (size.qk_norm) {
    weights.q_norm = source.norm(prefix + "q_norm.weight", size.head_dim);
    weights.k_norm = source.norm(prefix + "k_norm.weight", size.head_dim);
  }
  return weights;
}

DeltaWeights load_delta(const Source& source, const std::string& prefix) {
  WeightLoader& loader = source.loader;
  const DeltaConfig& size = source.config.delta;
  const std::int64_t hidden = source.config.hidden;
  DeltaWeights weights;
  if (const std::string mixed = prefix + "in_proj_qkvz.weight"; loader.has(mixed)) {
    take_interleaved_qkvz(loader, mixed, source.config, weights);
  } else {
    weights.qkv = loader.matrix(prefix + "in_proj_qkv.weight", {size.conv_channels(), hidden});
    weights.z = loader.matrix(prefix + "in_proj_z.weight", {size.value_size(), hidden});
  }
  if (const std::string mixed = prefix + "in_proj_ba.weight"; loader.has(mixed)) {
    take_interleaved_ba(loader, mixed, source.config, weights);
  } else {
    take_split_ba(loader, prefix + "in_proj_b.weight", prefix + "in_proj_a.weight", source.config, weights);
  }
  // Stored as [C, 1, K], the convolution of one channel by itself.
  weights.conv = loader.small(prefix + "conv1d.weight", {size.conv_channels(), size.conv_kernel});
  weights.decay = loader.small(prefix + "A_log", {size.value_heads}, Change::negative_exponential);
  weights.dt_bias = loader.small(prefix + "dt_bias", {size.value_heads});
  weights.norm = loader.small(prefix + "norm.weight", {size.value_dim});
  weights.output = loader.matrix(prefix + "out_proj.weight", {hidden, size.value_size()});
  return weights;
}

DenseWeights load_dense(const Source& source, const std::string& prefix, std::int64_t inner) {
  const std::int64_t hidden = source.config.hidden;
  DenseWeights weights;
  weights.gate = source.loader.matrix(prefix + "gate_proj.weight", {inner, hidden});
  weights.up = source.loader.matrix(prefix + "up_proj.weight", {inner, hidden});
  weights.down = source.loader.matrix(prefix + "down_proj.weight", {hidden, inner});
  return weights;
}

MoeWeights load_moe(const Source& source, const std::string& prefix) {
  WeightLoader& loader = source.loader;
  const MoeConfig& size = source.config.moe;
  const std::int64_t hidden = source.config.hidden;
  MoeWeights weights;
  weights.router = loader.matrix(prefix + "gate.weight", {size.experts, hidden});
  if (const std::string fused = prefix + "experts.gate_up_proj"; loader.has(fused)) {
    take_fused_gate_up(loader, fused, source.config, weights);
    weights.down = loader.matrix(prefix + "experts.down_proj", {size.experts, hidden, size.hidden});
  } else {
    const auto joined = [&](const char* name, const WeightLoader::Shape& shape) {
      std::vector<std::string> names;
      for (std::int64_t expert = 0; expert < size.experts; ++expert)
        names.push_back(prefix + "experts." + std::to_string(expert) + name);
      return loader.stacked(names, shape);
    };
    weights.gate = joined(".gate_proj.weight", {size.hidden, hidden});
    weights.up = joined(".up_proj.weight", {size.hidden, hidden});
    weights.down = joined(".down_proj.weight", {hidden, size.hidden});
  }
  if (size.shared_hidden > 0) {
    weights.shared = load_dense(source, prefix + "shared_expert.", size.shared_hidden);
    weights.shared_router = loader.matrix(prefix + "shared_expert_gate.weight", {1, hidden});
    loader.require_finite(prefix + "shared_expert_gate.weight");
  }
  return weights;
}

MtpWeights load_mtp(const Source& source, const Weights& model) {
  const std::int64_t hidden = source.config.hidden;
  const std::string layer = "mtp.layers.0.";
  MtpWeights weights;
  weights.combine = source.loader.matrix("mtp.fc.weight", {hidden, 2 * hidden});
  weights.embedding_norm = source.norm("mtp.pre_fc_norm_embedding.weight", hidden);
  weights.hidden_norm = source.norm("mtp.pre_fc_norm_hidden.weight", hidden);
  weights.output_norm = source.norm("mtp.norm.weight", hidden);
  weights.input_norm = source.norm(layer + "input_layernorm.weight", hidden);
  weights.attention = load_attention(source, layer + "self_attn.");
  if (source.loader.has(layer + "mlp.gate.weight"))
    weights.ffn = load_moe(source, layer + "mlp.");
  else if (source.loader.has(layer + "mlp.gate_proj.weight"))
    weights.ffn = load_dense(source, layer + "mlp.", source.config.dense_hidden);
  if (weights.ffn) weights.ffn_norm = source.norm(layer + "post_attention_layernorm.weight", hidden);
  weights.embedding = model.embedding;
  weights.output = model.output;
  return weights;
}

/// Rows and columns that share a scale, as the configuration says.
void read_scale_block(const Checkpoint& checkpoint, WeightLoader& loader) {
  const JsonKeys root(checkpoint.config(), checkpoint.config_file());
  const auto quantization = root.object("quantization_config");
  const nlohmann::json* const block = quantization ? quantization->find("weight_block_size") : nullptr;
  if (block == nullptr) return;
  const auto is_size = [](const nlohmann::json& value) {
    return value.is_number_unsigned() && value.get<std::uint64_t>() >= 1 && value.get<std::uint64_t>() <= 1 << 20;
  };
  if (!block->is_array() || block->size() != 2 || !is_size((*block)[0]) || !is_size((*block)[1]))
    quantization->bad("weight_block_size", "is not a pair of sizes");
  loader.set_scale_block((*block)[0].get<std::int64_t>(), (*block)[1].get<std::int64_t>());
}

Weights take_all(const Checkpoint& checkpoint, const ModelConfig& config, WeightLoader::Mode mode) {
  Weights weights;
  WeightLoader loader(checkpoint.name(), checkpoint.tensors(), weights, mode);
  read_scale_block(checkpoint, loader);
  const Source source{loader, config};
  const bool multimodal = loader.has("model.language_model.embed_tokens.weight");
  const std::string root = multimodal ? "model.language_model." : "model.";
  if (multimodal)  // only text is read
    for (const StoredTensor& tensor : checkpoint.tensors())
      if (is_vision_tensor(tensor.name)) loader.ignore(tensor.name);

  weights.embedding = loader.matrix(root + "embed_tokens.weight", {config.vocabulary, config.hidden});
  weights.output_norm = source.norm(root + "norm.weight", config.hidden);
  if (config.tied_output) {
    weights.output = weights.embedding;
    loader.ignore("lm_head.weight");  // a second copy, in some checkpoints
  } else {
    weights.output = loader.matrix("lm_head.weight", {config.vocabulary, config.hidden});
  }
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    const std::string prefix = root + "layers." + std::to_string(i) + ".";
    LayerWeights layer;
    layer.input_norm = source.norm(prefix + "input_layernorm.weight", config.hidden);
    if (config.layers[i].mixer == LayerKind::attention)
      layer.mixer = load_attention(source, prefix + "self_attn.");
    else
      layer.mixer = load_delta(source, prefix + "linear_attn.");
    layer.ffn_norm = source.norm(prefix + "post_attention_layernorm.weight", config.hidden);
    if (config.layers[i].ffn == FfnKind::moe)
      layer.ffn = load_moe(source, prefix + "mlp.");
    else
      layer.ffn = load_dense(source, prefix + "mlp.", config.dense_hidden);
    loader.ignore(prefix + "self_attn.rotary_emb.inv_freq");  // that very old files carry
    weights.layers.push_back(std::move(layer));
  }
  if (config.mtp_layers > 0) weights.mtp = load_mtp(source, weights);
  loader.require_all_taken();
  return weights;
}

}  // namespace

bool is_vision_tensor(const std::string& name) {
  return name.starts_with("model.visual.") || name.starts_with("visual.");
}

Weights load_weights(const Checkpoint& checkpoint, const ModelConfig& config) {
  return take_all(checkpoint, config, WeightLoader::Mode::load);
}
WeightBytes check_weights(const Checkpoint& checkpoint, const ModelConfig& config) {
  const Weights weights = take_all(checkpoint, config, WeightLoader::Mode::check);
  return {weights.mapped_bytes, weights.owned_bytes};
}

}  // namespace lectern::inference

// The names and layouts of GGUF files (model.md 7). Qwen3-Next stores b and a (and in older files q, k, v and z)
// interleaved per key head (model.md 2.2); the forward pass gets them apart: [q|k|v], z, b, a. Value heads keep the
// file's order: grouped per key head in qwen3next, tiled over the key heads in qwen35 (DeltaConfig::sharing).

#include <string>

#include "inference/weight_layouts.h"
#include "inference/weight_loader.h"
#include "inference/weights.h"
#include "kernels/error.h"

namespace lectern::inference {

using kernels::ConstTensor;

namespace {

std::vector<StoredTensor> stored_tensors(const GgufFile& file) {
  std::vector<StoredTensor> tensors;
  for (const GgufTensor& entry : file.tensors())
    tensors.push_back({entry.name, file.file_of(entry), entry.shape, entry.type_name, entry.type,
                       entry.type ? file.view(entry).data : nullptr, entry.size_bytes.value_or(0)});
  return tensors;
}

using Loader = WeightLoader;
using Shape = WeightLoader::Shape;

AttentionWeights load_attention(Loader& loader, const std::string& prefix, const ModelConfig& config) {
  const AttentionConfig& size = config.attention;
  const std::int64_t q_rows = size.heads * size.head_dim * (size.output_gate ? 2 : 1);
  const std::int64_t kv_rows = size.kv_heads * size.head_dim;
  AttentionWeights weights;
  weights.q = loader.matrix(prefix + "attn_q.weight", {q_rows, config.hidden});
  weights.k = loader.matrix(prefix + "attn_k.weight", {kv_rows, config.hidden});
  weights.v = loader.matrix(prefix + "attn_v.weight", {kv_rows, config.hidden});
  weights.output = loader.matrix(prefix + "attn_output.weight", {config.hidden, size.heads * size.head_dim});
  if (size.qk_norm) {
    weights.q_norm = loader.small(prefix + "attn_q_norm.weight", {size.head_dim});
    weights.k_norm = loader.small(prefix + "attn_k_norm.weight", {size.head_dim});
  }
  return weights;
}

DeltaWeights load_delta(Loader& loader, const std::string& prefix, const ModelConfig& config) {
  const DeltaConfig& size = config.delta;
  const std::int64_t channels = size.conv_channels();
  const std::int64_t values = size.value_size();
  DeltaWeights weights;
  if (const std::string mixed = prefix + "ssm_in.weight"; loader.has(mixed)) {  // older files
    take_interleaved_qkvz(loader, mixed, config, weights);
  } else {
    weights.qkv = loader.matrix(prefix + "attn_qkv.weight", {channels, config.hidden});
    weights.z = loader.matrix(prefix + "attn_gate.weight", {values, config.hidden});
  }
  if (config.family == ModelFamily::qwen3next) {
    take_interleaved_ba(loader, prefix + "ssm_ba.weight", config, weights);
  } else {
    take_split_ba(loader, prefix + "ssm_beta.weight", prefix + "ssm_alpha.weight", config, weights);
  }

  const std::string dt = prefix + "ssm_dt.bias";
  weights.conv = loader.small(prefix + "ssm_conv1d.weight", {channels, size.conv_kernel});
  weights.decay = loader.small(prefix + "ssm_a", {size.value_heads});
  weights.dt_bias = loader.small(loader.has(dt) ? dt : prefix + "ssm_dt", {size.value_heads});
  weights.norm = loader.small(prefix + "ssm_norm.weight", {size.value_dim});
  weights.output = loader.matrix(prefix + "ssm_out.weight", {config.hidden, values});
  return weights;
}

DenseWeights load_dense(Loader& loader, const std::string& prefix, const std::string& suffix, std::int64_t inner,
                        std::int64_t hidden) {
  DenseWeights weights;
  weights.gate = loader.matrix(prefix + "ffn_gate" + suffix, {inner, hidden});
  weights.up = loader.matrix(prefix + "ffn_up" + suffix, {inner, hidden});
  weights.down = loader.matrix(prefix + "ffn_down" + suffix, {hidden, inner});
  return weights;
}

MoeWeights load_moe(Loader& loader, const std::string& prefix, const ModelConfig& config) {
  const MoeConfig& size = config.moe;
  MoeWeights weights;
  weights.router = loader.matrix(prefix + "ffn_gate_inp.weight", {size.experts, config.hidden});
  if (const std::string fused = prefix + "ffn_gate_up_exps.weight"; loader.has(fused)) {
    take_fused_gate_up(loader, fused, config, weights);
  } else {
    weights.gate = loader.matrix(prefix + "ffn_gate_exps.weight", {size.experts, size.hidden, config.hidden});
    weights.up = loader.matrix(prefix + "ffn_up_exps.weight", {size.experts, size.hidden, config.hidden});
  }
  weights.down = loader.matrix(prefix + "ffn_down_exps.weight", {size.experts, config.hidden, size.hidden});
  if (size.shared_hidden > 0) {
    weights.shared = load_dense(loader, prefix, "_shexp.weight", size.shared_hidden, config.hidden);
    weights.shared_router = loader.matrix(prefix + "ffn_gate_inp_shexp.weight", {1, config.hidden});
    loader.require_finite(prefix + "ffn_gate_inp_shexp.weight");
  }
  return weights;
}

const char* ffn_norm_name(const ModelConfig& config) {
  const bool plain = config.family == ModelFamily::llama || config.family == ModelFamily::qwen3;
  return plain ? "ffn_norm.weight" : "post_attention_norm.weight";
}

/// The block behind the last layer, in files that have one.
MtpWeights load_mtp(Loader& loader, const ModelConfig& config, const Weights& model) {
  const std::string prefix = "blk." + std::to_string(config.layers.size()) + ".";
  const std::int64_t hidden = config.hidden;
  MtpWeights weights;
  weights.combine = loader.matrix(prefix + "nextn.eh_proj.weight", {hidden, 2 * hidden});
  weights.embedding_norm = loader.small(prefix + "nextn.enorm.weight", {hidden});
  weights.hidden_norm = loader.small(prefix + "nextn.hnorm.weight", {hidden});
  weights.output_norm = loader.small(prefix + "nextn.shared_head_norm.weight", {hidden});
  weights.input_norm = loader.small(prefix + "attn_norm.weight", {hidden});
  weights.attention = load_attention(loader, prefix, config);
  if (loader.has(prefix + "ffn_gate_inp.weight"))
    weights.ffn = load_moe(loader, prefix, config);
  else if (loader.has(prefix + "ffn_gate.weight"))
    weights.ffn = load_dense(loader, prefix, ".weight", config.dense_hidden, hidden);
  if (weights.ffn) weights.ffn_norm = loader.small(prefix + ffn_norm_name(config), {hidden});
  const auto own_or = [&](const std::string& name, ConstTensor shared) {
    return loader.has(name) ? loader.matrix(name, {config.vocabulary, hidden}) : shared;
  };
  weights.embedding = own_or(prefix + "nextn.embed_tokens.weight", model.embedding);
  weights.output = own_or(prefix + "nextn.shared_head_head.weight", model.output);
  return weights;
}

Weights take_all(const GgufFile& file, const ModelConfig& config, Loader::Mode mode) {
  const std::vector<StoredTensor> tensors = stored_tensors(file);
  Weights weights;
  Loader loader(file.name(), tensors, weights, mode);
  weights.embedding = loader.matrix("token_embd.weight", {config.vocabulary, config.hidden});
  weights.output_norm = loader.small("output_norm.weight", {config.hidden});
  weights.output =
      config.tied_output ? weights.embedding : loader.matrix("output.weight", {config.vocabulary, config.hidden});
  loader.ignore("rope_freqs.weight");  // read by model_config

  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    const std::string prefix = "blk." + std::to_string(i) + ".";
    LayerWeights layer;
    layer.input_norm = loader.small(prefix + "attn_norm.weight", {config.hidden});
    if (config.layers[i].mixer == LayerKind::attention)
      layer.mixer = load_attention(loader, prefix, config);
    else
      layer.mixer = load_delta(loader, prefix, config);
    layer.ffn_norm = loader.small(prefix + ffn_norm_name(config), {config.hidden});
    if (config.layers[i].ffn == FfnKind::moe)
      layer.ffn = load_moe(loader, prefix, config);
    else
      layer.ffn = load_dense(loader, prefix, ".weight", config.dense_hidden, config.hidden);
    loader.ignore(prefix + "attn_rot_embd.weight");  // frequencies that very old files carry; never used
    loader.ignore(prefix + "rope_freqs.weight");     // the common ones, repeated in each layer by some writers
    weights.layers.push_back(std::move(layer));
  }
  if (config.mtp_layers > 0) weights.mtp = load_mtp(loader, config, weights);
  loader.require_all_taken();
  return weights;
}

}  // namespace

Weights load_weights(const GgufFile& file, const ModelConfig& config) {
  return take_all(file, config, Loader::Mode::load);
}
WeightBytes check_weights(const GgufFile& file, const ModelConfig& config) {
  const Weights weights = take_all(file, config, Loader::Mode::check);
  return {weights.mapped_bytes, weights.owned_bytes};
}

}  // namespace lectern::inference

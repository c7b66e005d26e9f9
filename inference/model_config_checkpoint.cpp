// config.json (model.md 1.1 and 2.3). Values that a file must state are asked for, never assumed: the defaults of the
// library that wrote them differ from the models. Multimodal checkpoints keep the text model under `text_config`.

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "inference/checkpoint.h"
#include "inference/gguf_file.h"
#include "inference/json_file.h"
#include "inference/model_config.h"
#include "inference/model_limits.h"
#include "inference/weights.h"
#include "kernels/error.h"

namespace lectern::inference {

using Json = nlohmann::json;

namespace {

struct Known {
  const char* model_type;
  const char* architecture;  // as GGUF files name it
  ModelFamily family;
};
constexpr Known known[] = {{"llama", "llama", ModelFamily::llama},
                           {"qwen3", "qwen3", ModelFamily::qwen3},
                           {"qwen3_moe", "qwen3moe", ModelFamily::qwen3},
                           {"qwen3_next", "qwen3next", ModelFamily::qwen3next},
                           {"qwen3_5", "qwen35", ModelFamily::qwen35},
                           {"qwen3_5_text", "qwen35", ModelFamily::qwen35},
                           {"qwen3_5_moe", "qwen35moe", ModelFamily::qwen35},
                           {"qwen3_5_moe_text", "qwen35moe", ModelFamily::qwen35}};

/// Options of other models whose formulas this build does not have.
void refuse_options(const JsonKeys& keys) {
  for (const char* const option : {"attention_bias", "mlp_bias", "use_sliding_window", "mtp_use_dedicated_embeddings"})
    if (keys.boolean(option).value_or(false))
      keys.unsupported("'" + std::string(option) + "' is true, which this build cannot run");
  if (const std::string act = keys.text("hidden_act").value_or("silu"); act != "silu")
    keys.unsupported("'hidden_act' is '" + printable(act) + "'; only silu can be run");
  if (const std::string gate = keys.text("output_gate_type").value_or("swish"); gate != "swish" && gate != "silu")
    keys.unsupported("'output_gate_type' is '" + printable(gate) + "'; only swish can be run");
}

void read_attention(const JsonKeys& keys, ModelConfig& config) {
  AttentionConfig& attention = config.attention;
  attention.heads = keys.required("num_attention_heads", 1, most_heads);
  attention.kv_heads = keys.integer("num_key_value_heads", 1, most_heads).value_or(attention.heads);
  if (attention.heads % attention.kv_heads != 0)
    keys.bad("num_attention_heads", "is " + std::to_string(attention.heads) + ", not a multiple of the " +
                                        std::to_string(attention.kv_heads) + " key/value heads");
  if (!keys.has("head_dim") && config.hidden % attention.heads != 0)
    keys.bad("hidden_size", "is not a multiple of the number of heads, and 'head_dim' is missing");
  attention.head_dim =
      keys.integer("head_dim", 1, most_head_dim).value_or(std::max<std::int64_t>(1, config.hidden / attention.heads));
}

/// YaRN's attention factor: stated, or from `factor` and the two mscale values, or from `factor` alone.
double yarn_magnitude_of(const JsonKeys& rope, double factor) {
  if (const auto stated = rope.positive("attention_factor")) return *stated;
  const auto scale = rope.positive("mscale"), all_dim = rope.positive("mscale_all_dim");
  if (!scale || !all_dim) return yarn_magnitude(factor);
  const auto with = [&](double m) { return factor > 1.0 ? 0.1 * m * std::log(factor) + 1.0 : 1.0; };
  return with(*scale) / with(*all_dim);
}

/// Rotary settings stand in rope_parameters, or rope_scaling and beside it in older files.
void read_rope(const JsonKeys& keys, ModelConfig& config) {
  RopeConfig& rope = config.rope;
  const bool hybrid = config.family == ModelFamily::qwen3next || config.family == ModelFamily::qwen35;
  const Json none = Json::object();
  const JsonKeys scaling =
      keys.object("rope_parameters").value_or(keys.object("rope_scaling").value_or(JsonKeys(none, keys.file())));
  const auto either = [&](const char* key) { return scaling.has(key) ? scaling.positive(key) : keys.positive(key); };

  rope.freq_base = either("rope_theta").value_or(0.0);
  if (rope.freq_base == 0.0) {
    if (config.family != ModelFamily::llama) keys.bad("rope_theta", "is missing");
    rope.freq_base = 10000.0;  // what the first Llama files leave out
  }
  const double part = either("partial_rotary_factor").value_or(hybrid ? 0.25 : 1.0);
  const std::int64_t head_dim = config.attention.head_dim;
  rope.dimensions = static_cast<std::int64_t>(static_cast<double>(head_dim) * std::min(part, 2.0));
  if (rope.dimensions < 2 || rope.dimensions % 2 != 0 || rope.dimensions > head_dim)
    keys.bad("partial_rotary_factor", "gives " + std::to_string(rope.dimensions) +
                                          " rotated dimensions, not an even number from 2 to the head's " +
                                          std::to_string(head_dim));
  rope.frequencies = rope_frequencies(rope.dimensions, rope.freq_base);

  std::string type = scaling.text("rope_type").value_or("");
  if (type.empty()) type = scaling.text("type").value_or("default");
  if (type == "default" || type == "mrope") return;  // for text the three positions of M-RoPE are equal
  const double factor = scaling.required_positive("factor");
  if (factor < 1.0) scaling.bad("factor", "is " + std::to_string(factor) + "; 1 or more is possible");
  const double original =
      scaling.positive("original_max_position_embeddings").value_or(static_cast<double>(config.context_length));
  if (type == "linear") {
    for (double& frequency : rope.frequencies) frequency /= factor;
    if (factor != 1.0) rope.scaling = "linear";
  } else if (type == "yarn") {
    const Yarn yarn{factor, original, scaling.positive("beta_fast").value_or(32.0),
                    scaling.positive("beta_slow").value_or(1.0), scaling.boolean("truncate").value_or(true)};
    rope.frequencies = yarn_frequencies(rope.dimensions, rope.freq_base, yarn);
    rope.magnitude = static_cast<float>(yarn_magnitude_of(scaling, factor));
    rope.scaling = "yarn";
    // The vendor's advice is to add the scaling and to leave the length as it was.
    const double reach = std::min(factor * original, static_cast<double>(most_context));
    config.context_length = std::max(config.context_length, static_cast<std::int64_t>(reach));
  } else if (type == "llama3") {
    const Llama3Scaling llama3{factor, scaling.required_positive("low_freq_factor"),
                               scaling.required_positive("high_freq_factor"), original};
    if (llama3.high_freq_factor <= llama3.low_freq_factor)
      scaling.bad("high_freq_factor", "is not above 'low_freq_factor'");
    rope.frequencies = llama3_frequencies(rope.dimensions, rope.freq_base, llama3);
    rope.scaling = "factors";
  } else {
    scaling.unsupported("the rotary scaling '" + printable(type) +
                        "' is not known; default, linear, yarn and llama3 are");
  }
}

/// Mixers by `layer_types`, else by `full_attention_interval`.
void read_mixers(const JsonKeys& keys, ModelConfig& config) {
  const bool hybrid = config.family == ModelFamily::qwen3next || config.family == ModelFamily::qwen35;
  const Json* const kinds = keys.find("layer_types");
  if (kinds != nullptr) {
    if (!kinds->is_array() || kinds->size() != config.layers.size())
      keys.bad("layer_types", "is not a list of " + std::to_string(config.layers.size()) + " layers");
    for (std::size_t i = 0; i < kinds->size(); ++i) {
      const std::string kind = (*kinds)[i].is_string() ? (*kinds)[i].get<std::string>() : "";
      if (kind != "full_attention" && !(hybrid && kind == "linear_attention"))
        keys.unsupported("'layer_types' has '" + printable(kind) + "' for layer " + std::to_string(i) +
                         ", which this build cannot run");
      config.layers[i].mixer = kind == "full_attention" ? LayerKind::attention : LayerKind::delta;
    }
  } else if (hybrid) {
    const auto interval = static_cast<std::size_t>(keys.integer("full_attention_interval", 1, most_layers).value_or(4));
    for (std::size_t i = 0; i < config.layers.size(); ++i)
      config.layers[i].mixer = (i + 1) % interval == 0 ? LayerKind::attention : LayerKind::delta;
  }
}

void read_delta(const JsonKeys& keys, DeltaConfig& delta) {
  delta.conv_kernel = keys.required("linear_conv_kernel_dim", 2, 64);
  delta.key_dim = keys.required("linear_key_head_dim", 1, most_head_dim);
  delta.value_dim = keys.required("linear_value_head_dim", 1, most_head_dim);
  delta.key_heads = keys.required("linear_num_key_heads", 1, most_heads);
  delta.value_heads = keys.required("linear_num_value_heads", 1, most_heads);
  if (delta.value_heads % delta.key_heads != 0)
    keys.bad("linear_num_value_heads", "is " + std::to_string(delta.value_heads) + ", not a multiple of the " +
                                           std::to_string(delta.key_heads) + " key heads");
}

/// Layer i has experts iff it is not in `mlp_only_layers` and (i + 1) % `decoder_sparse_step` is 0.
void read_moe(const JsonKeys& keys, ModelConfig& config) {
  MoeConfig& moe = config.moe;
  const bool mixture = config.architecture.ends_with("moe") || config.family == ModelFamily::qwen3next;
  // transformers 5 writes the second name for Qwen3-MoE.
  const char* const count =
      keys.has("num_local_experts") && !keys.has("num_experts") ? "num_local_experts" : "num_experts";
  if (!mixture || keys.integer(count, 0, most_experts) == 0) return;
  const auto step = static_cast<std::size_t>(keys.integer("decoder_sparse_step", 1, most_layers).value_or(1));
  for (std::size_t i = 0; i < config.layers.size(); ++i)
    if ((i + 1) % step == 0) config.layers[i].ffn = FfnKind::moe;
  if (const Json* const dense = keys.find("mlp_only_layers"); dense != nullptr) {
    if (!dense->is_array()) keys.bad("mlp_only_layers", "is not a list of layers");
    for (const Json& layer : *dense) {
      if (!layer.is_number_unsigned() || layer.get<std::uint64_t>() >= config.layers.size())
        keys.bad("mlp_only_layers",
                 "names layer " + layer.dump().substr(0, 40) + " of " + std::to_string(config.layers.size()));
      config.layers[layer.get<std::size_t>()].ffn = FfnKind::dense;
    }
  }
  moe.experts = keys.required(count, 1, most_experts);
  moe.used = keys.required("num_experts_per_tok", 1, moe.experts);
  moe.hidden = keys.required("moe_intermediate_size", 1, most_hidden);
  if (config.family != ModelFamily::qwen3)
    moe.shared_hidden = keys.required("shared_expert_intermediate_size", 0, most_hidden);
  // Where the key is absent, transformers divides in Qwen3-Next and not in Qwen3-MoE; Qwen3.5 has no such key.
  moe.normalize = config.family == ModelFamily::qwen35 ||
                  keys.boolean("norm_topk_prob").value_or(config.family == ModelFamily::qwen3next);
}

void check_quantization(const JsonKeys& root) {
  const auto quantization = root.object("quantization_config");
  if (!quantization) return;
  const std::string method = quantization->text("quant_method").value_or("");
  if (method != "fp8")
    root.unsupported("its weights are quantized by '" + printable(method) +
                     "', which this build cannot read; get the model in BF16, block FP8 or as GGUF");
}

/// Name, size and number format, for people.
void describe(const Checkpoint& checkpoint, ModelConfig& config) {
  std::filesystem::path folder = std::filesystem::absolute(checkpoint.folder()).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  config.name = folder.filename().string();
  std::map<std::string, std::int64_t> elements;  // of the matrices, by type
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    if (is_vision_tensor(tensor.name) || tensor.name.ends_with("_scale_inv")) continue;
    config.parameters += tensor.elements();
    if (std::ranges::count_if(tensor.shape, [](std::int64_t n) { return n != 1; }) >= 2)
      elements[tensor.type_name] += tensor.elements();
  }
  const auto most = std::ranges::max_element(elements, {}, [](const auto& entry) { return entry.second; });
  if (most != elements.end()) config.quantization = most->first == "F8_E4M3" ? "FP8" : most->first;
  config.quantized = false;  // FP8 is computed with as BF16
}

}  // namespace

ModelConfig read_model_config(const Checkpoint& checkpoint) {
  const JsonKeys root(checkpoint.config(), checkpoint.config_file());
  const JsonKeys keys = root.object("text_config").value_or(root);
  const std::string type = root.text("model_type").value_or("");
  const auto* const found = std::ranges::find_if(known, [&](const Known& entry) { return type == entry.model_type; });
  if (found == std::end(known))
    root.unsupported("the model type '" + printable(type) +
                     "' is not known; this build runs llama, qwen3, qwen3_moe, qwen3_next, qwen3_5 and qwen3_5_moe");
  check_quantization(root);
  refuse_options(keys);

  ModelConfig config;
  config.architecture = found->architecture;
  config.family = found->family;
  config.hidden = keys.required("hidden_size", 1, most_hidden);
  config.vocabulary = keys.required("vocab_size", 1, most_vocabulary);
  config.context_length = keys.required("max_position_embeddings", 1, most_context);
  config.norm_eps = static_cast<float>(keys.required_positive("rms_norm_eps"));
  if (config.norm_eps <= 0 || config.norm_eps >= 1) keys.bad("rms_norm_eps", "is not between 0 and 1");
  config.layers.resize(static_cast<std::size_t>(keys.required("num_hidden_layers", 1, most_layers)));
  config.attention.qk_norm = config.family != ModelFamily::llama;
  const bool hybrid = config.family == ModelFamily::qwen3next || config.family == ModelFamily::qwen35;
  config.attention.output_gate = hybrid && keys.boolean("attn_output_gate").value_or(true);
  read_attention(keys, config);
  read_rope(keys, config);
  for (const double frequency : config.rope.frequencies)
    if (!std::isfinite(frequency)) keys.bad("rope_theta", "gives frequencies that are not finite");
  read_mixers(keys, config);
  if (config.delta_layers() > 0) read_delta(keys, config.delta);
  read_moe(keys, config);
  if (std::ranges::count(config.layers, FfnKind::dense, &LayerConfig::ffn) > 0)
    config.dense_hidden = keys.required("intermediate_size", 1, most_hidden);

  // Where the file does not say, the tensors do.
  const auto tied = keys.boolean("tie_word_embeddings");
  const auto tied_above = root.boolean("tie_word_embeddings");
  config.tied_output = tied ? *tied : tied_above ? *tied_above : checkpoint.find_tensor("lm_head.weight") == nullptr;
  config.mtp_layers = checkpoint.find_tensor("mtp.fc.weight") != nullptr ? 1 : 0;
  describe(checkpoint, config);
  return config;
}

}  // namespace lectern::inference

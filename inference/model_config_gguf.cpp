// One reader for all families of GGUF files; `Keys` adds the file's architecture to a key and checks every number
// against a range before anyone multiplies with it, so that products of sizes cannot overflow later. Which layers are
// dense and whether the output is tied is decided by the tensors present, not by a rule.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "inference/model_config.h"
#include "inference/model_limits.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

/// Keys of one architecture: "block_count" is looked up as "llama.block_count".
class Keys {
 public:
  Keys(const GgufFile& file, std::string architecture) : file_(file), prefix_(std::move(architecture) + ".") {}

  [[noreturn]] void bad(const std::string& key, const std::string& what) const {
    throw Error(ErrorKind::bad_file, file_.name() + ": metadata '" + prefix_ + key + "' " + what);
  }
  [[noreturn]] void unsupported(const std::string& what) const {
    throw Error(ErrorKind::unsupported, file_.name() + ": " + what);
  }

  bool has(const std::string& key) const { return file_.has(prefix_ + key); }
  std::int64_t size(const std::string& key, std::int64_t most) const {
    return in_range(key, file_.required_integer(prefix_ + key), most);
  }
  std::int64_t size_or(const std::string& key, std::int64_t otherwise, std::int64_t most) const {
    const auto value = file_.integer(prefix_ + key);
    return value ? in_range(key, *value, most) : otherwise;
  }
  /// A number > 0.
  double positive(const std::string& key) const { return check_positive(key, file_.required_number(prefix_ + key)); }
  double positive_or(const std::string& key, double otherwise) const {
    const auto value = file_.number(prefix_ + key);
    return value ? check_positive(key, *value) : otherwise;
  }
  std::optional<bool> boolean(const std::string& key) const { return file_.boolean(prefix_ + key); }
  std::optional<std::string_view> text(const std::string& key) const { return file_.text(prefix_ + key); }

  /// A size that may be 0.
  std::int64_t count_or(const std::string& key, std::int64_t otherwise, std::int64_t most) const {
    const auto value = file_.integer(prefix_ + key);
    return value && *value == 0 ? 0 : size_or(key, otherwise, most);
  }

  /// A number given once or as an array with one entry for each layer; those of MTP layers at its end are left out.
  std::vector<std::int64_t> per_layer(const std::string& key, const ModelConfig& config, std::int64_t most) const {
    const auto layers = std::ssize(config.layers);
    const GgufValue* const value = file_.find(prefix_ + key);
    if (value == nullptr || value->type != GgufType::array)
      return std::vector<std::int64_t>(static_cast<std::size_t>(layers), size(key, most));
    std::vector<std::int64_t> result = *file_.integers(prefix_ + key);
    if (std::ssize(result) != layers && std::ssize(result) != layers + config.mtp_layers)
      bad(key, "has " + std::to_string(result.size()) + " entries for " + std::to_string(layers) + " layers");
    for (const std::int64_t entry : result)
      if (entry < 0 || entry > most) bad(key, "holds " + std::to_string(entry) + ", which is impossible");
    result.resize(static_cast<std::size_t>(layers));
    return result;
  }

 private:
  std::int64_t in_range(const std::string& key, std::int64_t value, std::int64_t most) const {
    if (value < 1 || value > most)
      bad(key, "is " + std::to_string(value) + "; 1 to " + std::to_string(most) + " is possible");
    return value;
  }
  double check_positive(const std::string& key, double value) const {
    if (!std::isfinite(value) || value <= 0) bad(key, "is " + std::to_string(value) + ", not a number above 0");
    return value;
  }

  const GgufFile& file_;
  std::string prefix_;
};

std::string layer_tensor(std::size_t layer, const char* name) {
  return "blk." + std::to_string(layer) + "." + name;
}

/// The one value that all entries but 0 have; 0 marks layers without attention.
std::int64_t common_heads(const Keys& keys, const std::string& key, const std::vector<std::int64_t>& entries) {
  std::int64_t common = 0;
  for (const std::int64_t entry : entries) {
    if (entry == 0) continue;
    if (common != 0 && entry != common)
      keys.unsupported("'" + key + "' differs between layers, which this build cannot run");
    common = entry;
  }
  if (common == 0) keys.bad(key, "is 0 for every layer");
  return common;
}

void read_attention(const Keys& keys, ModelConfig& config) {
  AttentionConfig& attention = config.attention;
  attention.heads =
      common_heads(keys, "attention.head_count", keys.per_layer("attention.head_count", config, most_heads));
  attention.kv_heads =
      keys.has("attention.head_count_kv")
          ? common_heads(keys, "attention.head_count_kv", keys.per_layer("attention.head_count_kv", config, most_heads))
          : attention.heads;
  if (attention.heads % attention.kv_heads != 0)
    keys.bad("attention.head_count", "is " + std::to_string(attention.heads) + ", not a multiple of the " +
                                         std::to_string(attention.kv_heads) + " key/value heads");
  if (!keys.has("attention.key_length") && config.hidden % attention.heads != 0)
    keys.bad("embedding_length", "is not a multiple of the number of heads, and 'attention.key_length' is missing");
  attention.head_dim =
      keys.size_or("attention.key_length", std::max<std::int64_t>(1, config.hidden / attention.heads), most_head_dim);
  if (keys.size_or("attention.value_length", attention.head_dim, most_head_dim) != attention.head_dim)
    keys.unsupported("values of another length than keys cannot be run by this build");
}

void read_rope(const GgufFile& file, const Keys& keys, ModelConfig& config) {
  RopeConfig& rope = config.rope;
  const std::int64_t head_dim = config.attention.head_dim;
  rope.dimensions = keys.size_or("rope.dimension_count", head_dim, most_head_dim);
  if (rope.dimensions % 2 != 0 || rope.dimensions > head_dim)
    keys.bad("rope.dimension_count", "is " + std::to_string(rope.dimensions) +
                                         ", not an even number up to the head's " + std::to_string(head_dim));
  rope.freq_base = keys.positive_or("rope.freq_base", 10000.0);

  const std::string type(keys.text("rope.scaling.type").value_or("none"));
  const bool linear = type == "linear" || (type == "none" && keys.has("rope.scale_linear"));
  const double factor = linear || type == "yarn"
                            ? keys.positive_or("rope.scaling.factor", keys.positive_or("rope.scale_linear", 1.0))
                            : 1.0;
  rope.frequencies = rope_frequencies(rope.dimensions, rope.freq_base);
  if (linear) {
    for (double& frequency : rope.frequencies) frequency /= factor;
    if (factor != 1.0) rope.scaling = "linear";
  } else if (type == "yarn") {
    if (factor < 1.0) keys.bad("rope.scaling.factor", "is " + std::to_string(factor) + "; YaRN needs 1 or more");
    const Yarn yarn{factor, keys.positive("rope.scaling.original_context_length"),
                    keys.positive_or("rope.scaling.yarn_beta_fast", 32.0),
                    keys.positive_or("rope.scaling.yarn_beta_slow", 1.0), true};
    rope.frequencies = yarn_frequencies(rope.dimensions, rope.freq_base, yarn);
    rope.magnitude = static_cast<float>(yarn_magnitude(factor) * keys.positive_or("rope.scaling.attn_factor", 1.0));
    rope.scaling = "yarn";
    const double reach = std::min(factor * yarn.original_length, static_cast<double>(most_context));
    config.context_length = std::max(config.context_length, static_cast<std::int64_t>(reach));
  } else if (type != "none") {
    keys.unsupported("the rotary scaling '" + printable(type) + "' is not known; none, linear and yarn are");
  }

  // Llama 3 keeps one divisor for each frequency in a tensor.
  if (const GgufTensor* const tensor = file.find_tensor("rope_freqs.weight"); tensor != nullptr) {
    const auto pairs = static_cast<std::int64_t>(rope.frequencies.size());
    if (tensor->type != kernels::DType::f32 || tensor->shape != std::vector<std::int64_t>{pairs})
      throw Error(ErrorKind::bad_file,
                  file.name() + ": tensor 'rope_freqs.weight' is not " + std::to_string(pairs) + " F32 values");
    const std::byte* const data = file.view(*tensor).data;
    for (std::size_t i = 0; i < rope.frequencies.size(); ++i) {
      float divisor = 0;
      std::memcpy(&divisor, data + i * sizeof divisor, sizeof divisor);
      if (!std::isfinite(divisor) || divisor <= 0)
        throw Error(ErrorKind::bad_file,
                    file.name() + ": tensor 'rope_freqs.weight' holds a value that is not above 0");
      rope.frequencies[i] /= static_cast<double>(divisor);
    }
    rope.scaling += rope.scaling.empty() ? "factors" : "+factors";
  }
  for (const double frequency : rope.frequencies)
    if (!std::isfinite(frequency)) keys.bad("rope.freq_base", "gives frequencies that are not finite");
}

/// Mixers by the first of: attention.recurrent_layers, zeros in head_count_kv, full_attention_interval.
void read_mixers(const Keys& keys, ModelConfig& config) {
  const auto set = [&](std::size_t layer, bool attention) {
    config.layers[layer].mixer = attention ? LayerKind::attention : LayerKind::delta;
  };
  if (keys.has("attention.recurrent_layers")) {
    const auto recurrent = keys.per_layer("attention.recurrent_layers", config, 1);
    for (std::size_t i = 0; i < recurrent.size(); ++i) set(i, recurrent[i] == 0);
  } else {
    const auto kv_heads = keys.per_layer("attention.head_count_kv", config, most_heads);
    const bool zeros = std::ranges::count(kv_heads, 0) > 0;
    const auto interval = static_cast<std::size_t>(keys.size_or("full_attention_interval", 4, most_layers));
    for (std::size_t i = 0; i < kv_heads.size(); ++i) set(i, zeros ? kv_heads[i] != 0 : (i + 1) % interval == 0);
  }
}

void read_delta(const Keys& keys, DeltaConfig& delta) {
  delta.conv_kernel = keys.size("ssm.conv_kernel", 64);
  delta.key_dim = keys.size("ssm.state_size", most_head_dim);
  delta.key_heads = keys.size("ssm.group_count", most_heads);
  delta.value_heads = keys.size("ssm.time_step_rank", most_heads);
  const std::int64_t inner = keys.size("ssm.inner_size", std::int64_t{1} << 24);
  if (delta.conv_kernel < 2) keys.bad("ssm.conv_kernel", "is 1; 2 to 64 taps are possible");
  if (delta.value_heads % delta.key_heads != 0)
    keys.bad("ssm.time_step_rank", "is " + std::to_string(delta.value_heads) + ", not a multiple of the " +
                                       std::to_string(delta.key_heads) + " key heads");
  if (inner % delta.value_heads != 0)
    keys.bad("ssm.inner_size", "is " + std::to_string(inner) + ", not a multiple of the " +
                                   std::to_string(delta.value_heads) + " value heads");
  delta.value_dim = inner / delta.value_heads;
}

/// An axis of a layer's tensor, for sizes that older files do not state.
std::int64_t axis_of(const GgufFile& file, std::size_t layer, const char* name, std::size_t axis) {
  const GgufTensor* const tensor = file.find_tensor(layer_tensor(layer, name));
  return tensor != nullptr && axis < tensor->shape.size() ? tensor->shape[axis] : 0;
}

void read_moe(const GgufFile& file, const Keys& keys, ModelConfig& config) {
  for (std::size_t i = 0; i < config.layers.size(); ++i)
    if (file.find_tensor(layer_tensor(i, "ffn_gate_inp.weight")) != nullptr) config.layers[i].ffn = FfnKind::moe;
  const auto first = std::ranges::find(config.layers, FfnKind::moe, &LayerConfig::ffn);
  if (first == config.layers.end()) return;
  const auto layer = static_cast<std::size_t>(first - config.layers.begin());
  MoeConfig& moe = config.moe;
  moe.experts = keys.size("expert_count", most_experts);
  moe.used = keys.size("expert_used_count", moe.experts);
  moe.hidden = keys.size_or("expert_feed_forward_length", axis_of(file, layer, "ffn_down_exps.weight", 2), most_hidden);
  moe.shared_hidden =
      keys.count_or("expert_shared_feed_forward_length", axis_of(file, layer, "ffn_down_shexp.weight", 1), most_hidden);
  moe.normalize = keys.boolean("norm_top_k_prob").value_or(keys.boolean("expert_weights_norm").value_or(true));
  if (keys.has("expert_weights_scale") && keys.positive("expert_weights_scale") != 1.0)
    keys.unsupported("expert weights are scaled ('expert_weights_scale'), which this build cannot run");
}

/// What every family has. Fills everything but the family's own parts.
void read_common(const GgufFile& file, const Keys& keys, ModelConfig& config) {
  const std::int64_t blocks = keys.size("block_count", most_layers);  // MTP layers at the end are counted
  config.mtp_layers = keys.count_or("nextn_predict_layers", 0, most_layers);
  if (config.mtp_layers >= blocks)
    keys.bad("nextn_predict_layers", "is " + std::to_string(config.mtp_layers) + " of " + std::to_string(blocks) +
                                         " blocks, which leaves no layer");
  if (config.mtp_layers > 1)
    keys.unsupported("the file has " + std::to_string(config.mtp_layers) +
                     " layers for multi-token prediction; this build runs models with one");
  config.layers.resize(static_cast<std::size_t>(blocks - config.mtp_layers));
  config.hidden = keys.size("embedding_length", most_hidden);
  config.context_length = keys.size("context_length", most_context);
  config.norm_eps = static_cast<float>(keys.positive("attention.layer_norm_rms_epsilon"));
  if (config.norm_eps <= 0 || config.norm_eps >= 1)
    keys.bad("attention.layer_norm_rms_epsilon", "is not between 0 and 1");

  const GgufTensor* const embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr) throw Error(ErrorKind::bad_file, file.name() + ": tensor 'token_embd.weight' is missing");
  if (embedding->shape.size() != 2 || embedding->shape[0] > most_vocabulary || embedding->shape[1] != config.hidden)
    throw Error(ErrorKind::bad_file, file.name() + ": tensor 'token_embd.weight' is not [vocabulary, " +
                                         std::to_string(config.hidden) + "]");
  config.vocabulary = embedding->shape[0];
  if (keys.size_or("vocab_size", config.vocabulary, most_vocabulary) != config.vocabulary)
    keys.bad("vocab_size",
             "is not the number of rows of 'token_embd.weight' (" + std::to_string(config.vocabulary) + ")");
  if (const GgufValue* const tokens = file.find("tokenizer.ggml.tokens"); tokens != nullptr) {
    config.tokens = tokens->count;
    if (config.tokens > config.vocabulary)
      throw Error(ErrorKind::bad_file, file.name() + ": the tokenizer has " + std::to_string(config.tokens) +
                                           " tokens, the model only " + std::to_string(config.vocabulary));
  }
  config.tied_output = file.find_tensor("output.weight") == nullptr;
  read_attention(keys, config);
  read_rope(file, keys, config);
}

/// Name, size and number format, for people.
void describe(const GgufFile& file, ModelConfig& config) {
  config.name = std::string(file.text("general.name").value_or(""));
  if (config.name.empty()) config.name = std::filesystem::path(file.name()).stem().string();
  std::map<std::string, std::int64_t> elements;  // of the matrices, by type
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name == "rope_freqs.weight") continue;
    config.parameters += tensor.elements();
    if (tensor.shape.size() >= 2) elements[tensor.type_name] += tensor.elements();
  }
  const auto most = std::ranges::max_element(elements, {}, [](const auto& entry) { return entry.second; });
  if (most != elements.end()) config.quantization = most->first;
  for (const auto& [type, count] : elements)
    config.quantized = config.quantized || (type != "F32" && type != "F16" && type != "BF16");
}

}  // namespace

ModelConfig read_model_config(const GgufFile& file) {
  struct Known {
    const char* architecture;
    ModelFamily family;
  };
  static constexpr Known known[] = {{"llama", ModelFamily::llama},    {"qwen3", ModelFamily::qwen3},
                                    {"qwen3moe", ModelFamily::qwen3}, {"qwen3next", ModelFamily::qwen3next},
                                    {"qwen35", ModelFamily::qwen35},  {"qwen35moe", ModelFamily::qwen35}};
  ModelConfig config;
  config.architecture = std::string(file.required_text("general.architecture"));
  const auto* const found = std::ranges::find(known, config.architecture, &Known::architecture);
  if (found == std::end(known))
    throw Error(ErrorKind::unsupported, file.name() + ": the model family '" + printable(config.architecture) +
                                            "' is not known; this build runs llama, qwen3, qwen3moe, qwen3next, "
                                            "qwen35 and qwen35moe");
  config.family = found->family;
  const Keys keys(file, config.architecture);
  const bool llama = config.family == ModelFamily::llama;
  const bool hybrid = config.family == ModelFamily::qwen3next || config.family == ModelFamily::qwen35;
  config.rope.pairs = llama ? kernels::RotaryPairs::adjacent : kernels::RotaryPairs::halves;
  config.attention.qk_norm = !llama;
  config.attention.output_gate = hybrid;
  read_common(file, keys, config);
  if (hybrid) {
    read_mixers(keys, config);
    if (config.delta_layers() > 0) read_delta(keys, config.delta);
    if (config.family == ModelFamily::qwen35) config.delta.sharing = kernels::DeltaHeads::tiled;
  }
  if (llama && file.integer("llama.expert_count").value_or(0) != 0)
    keys.unsupported("llama models with experts (Mixtral) cannot be run by this build");
  read_moe(file, keys, config);
  const bool dense = std::ranges::count(config.layers, FfnKind::dense, &LayerConfig::ffn) > 0;
  if (dense || (config.mtp_layers > 0 && config.moe.experts == 0))
    config.dense_hidden = keys.size("feed_forward_length", most_hidden);
  describe(file, config);
  return config;
}

}  // namespace lectern::inference

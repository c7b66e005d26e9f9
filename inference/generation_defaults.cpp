#include "inference/generation_defaults.h"

#include <cmath>
#include <filesystem>
#include <string>

#include "inference/json_file.h"

namespace lectern::inference {

namespace {

SamplingOptions sampling(float temperature, float top_p, int top_k) {
  SamplingOptions options;
  options.temperature = temperature;
  options.top_p = top_p;
  options.top_k = top_k;
  return options;
}

constexpr std::int64_t longest_generation_config = 1 << 20;

std::optional<double> number_of(const GgufFile& file, const std::string& key) {
  const GgufValue* const value = file.find(key);
  if (value == nullptr || value->type == GgufType::text || value->type == GgufType::array) return std::nullopt;
  return file.number(key);
}

std::optional<double> number_of(const nlohmann::json& config, const char* key) {
  const auto value = config.find(key);
  return value != config.end() && value->is_number() ? std::optional(value->get<double>()) : std::nullopt;
}

/// `value` if it is of [least, most].
template <class Number>
void take(std::optional<double> value, double least, double most, Number& into) {
  if (value && std::isfinite(*value) && *value >= least && *value <= most) into = static_cast<Number>(*value);
}

}  // namespace

SamplingOptions recommended_sampling(std::string_view architecture, const ChatVariant& variant) {
  if (architecture == "qwen3next") {
    if (variant.opens_thinking) return sampling(0.6F, 0.95F, 20);
    return variant.calls_in_xml ? sampling(1.0F, 0.95F, 40) : sampling(0.7F, 0.8F, 20);
  }
  if (architecture == "qwen35" || architecture == "qwen35moe") {
    SamplingOptions options = variant.opens_thinking ? sampling(1.0F, 0.95F, 20) : sampling(0.7F, 0.8F, 20);
    options.presence_penalty = 1.5F;
    return options;
  }
  return {};
}

SamplingOptions recommended_sampling(const ModelSource& source, const ModelConfig& config, const ChatVariant& variant) {
  SamplingOptions options = recommended_sampling(config.architecture, variant);
  const auto take_all = [&](const auto& number, const char* temperature, const char* repetition) {
    take(number(temperature), 0, 10, options.temperature);
    take(number("top_k"), 0, 1e6, options.top_k);
    take(number("top_p"), 0, 1, options.top_p);
    take(number("min_p"), 0, 1, options.min_p);
    take(number(repetition), 0.01, 10, options.repetition_penalty);
  };
  if (const GgufFile* const file = source.gguf()) {
    take_all([&](const char* key) { return number_of(*file, std::string("general.sampling.") + key); }, "temp",
             "penalty_repeat");
  } else if (const Checkpoint* const checkpoint = source.checkpoint()) {
    const std::filesystem::path path = checkpoint->folder() / "generation_config.json";
    if (!std::filesystem::exists(path)) return options;
    const nlohmann::json generation = read_json_object(path, longest_generation_config);
    take_all([&](const char* key) { return number_of(generation, key); }, "temperature", "repetition_penalty");
    if (const auto samples = generation.find("do_sample"); samples != generation.end() && *samples == false)
      options.temperature = 0;
  }
  return options;
}

}  // namespace lectern::inference

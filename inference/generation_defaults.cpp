#include "inference/generation_defaults.h"

#include <cmath>
#include <string>

namespace lectern::inference {

namespace {

SamplingOptions sampling(float temperature, float top_p, int top_k) {
  SamplingOptions options;
  options.temperature = temperature;
  options.top_p = top_p;
  options.top_k = top_k;
  return options;
}

/// A number of [least, most]; nothing for any other.
std::optional<double> number_in(const GgufFile& file, const char* key, double least, double most) {
  const GgufValue* const value = file.find(key);
  if (value == nullptr || value->type == GgufType::text || value->type == GgufType::array) return std::nullopt;
  const auto number = file.number(key);
  return number && std::isfinite(*number) && *number >= least && *number <= most ? number : std::nullopt;
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

SamplingOptions recommended_sampling(const GgufFile& file, const ChatVariant& variant) {
  SamplingOptions options = recommended_sampling(file.text("general.architecture").value_or(""), variant);
  if (const auto value = number_in(file, "general.sampling.temp", 0, 10))
    options.temperature = static_cast<float>(*value);
  if (const auto value = number_in(file, "general.sampling.top_k", 0, 1e6)) options.top_k = static_cast<int>(*value);
  if (const auto value = number_in(file, "general.sampling.top_p", 0, 1)) options.top_p = static_cast<float>(*value);
  if (const auto value = number_in(file, "general.sampling.min_p", 0, 1)) options.min_p = static_cast<float>(*value);
  if (const auto value = number_in(file, "general.sampling.penalty_repeat", 0.01, 10))
    options.repetition_penalty = static_cast<float>(*value);
  return options;
}

}  // namespace lectern::inference

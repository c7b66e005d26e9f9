// Everything is collected as JSON once; the text is that JSON, line by line. Arrays longer than a few elements are cut
// in both, because a vocabulary is longer than all the rest together.

#include "inference/model_inspect.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "inference/memory_plan.h"
#include "inference/model_config.h"
#include "inference/weights.h"
#include "kernels/error.h"

namespace lectern::inference {

using Json = nlohmann::ordered_json;

namespace {

constexpr std::int64_t shown_elements = 6;
constexpr std::size_t shown_text = 200;  // bytes

std::string cut(std::string_view text) {
  if (text.size() <= shown_text) return std::string(text);
  std::size_t end = shown_text;  // not inside a UTF-8 character
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "... (" + std::to_string(text.size()) + " bytes)";
}

Json scalar(const GgufFile& file, const GgufValue& value) {
  switch (value.type) {
    case GgufType::text: return cut(*file.text(value.key));
    case GgufType::boolean: return *file.boolean(value.key);
    case GgufType::f32:
    case GgufType::f64: return *file.number(value.key);
    case GgufType::u64: {
      const double number = *file.number(value.key);
      return number < 9e18 ? Json(*file.integer(value.key)) : Json(number);
    }
    default: return *file.integer(value.key);
  }
}

Json array(const GgufFile& file, const GgufValue& value) {
  Json elements = Json::array();
  if (value.element == GgufType::text) {
    const auto texts = file.texts(value.key, shown_elements);
    for (const std::string_view text : *texts) elements.push_back(cut(text));
  } else if (value.element == GgufType::f32 || value.element == GgufType::f64 || value.element == GgufType::u64) {
    const auto numbers = file.numbers(value.key, shown_elements);
    for (const double number : *numbers) elements.push_back(number);
  } else {
    const auto integers = file.integers(value.key, shown_elements);
    for (const std::int64_t number : *integers) elements.push_back(number);
  }
  if (value.count <= shown_elements) return elements;
  return {{"count", value.count}, {"type", name(value.element)}, {"first", elements}};
}

Json describe(const WeightBytes& weights, const ModelConfig& config) {
  Json json = {{"name", config.name},
               {"architecture", config.architecture},
               {"quantization", config.quantization},
               {"parameters", config.parameters},
               {"layers", config.layers.size()},
               {"attention_layers", config.attention_layers()},
               {"delta_layers", config.delta_layers()},
               {"hidden", config.hidden},
               {"vocabulary", config.vocabulary},
               {"context_length", config.context_length},
               {"mtp_layers", config.mtp_layers},
               {"heads", config.attention.heads},
               {"kv_heads", config.attention.kv_heads},
               {"head_dim", config.attention.head_dim},
               {"rope_scaling", config.rope.scaling.empty() ? "none" : config.rope.scaling}};
  if (config.moe.experts > 0) json.update({{"experts", config.moe.experts}, {"experts_used", config.moe.used}});
  const MemoryPlan plan = plan_memory(weights, config, config.context_length, 512);
  json["memory_bytes"] = plan.total();
  json["memory"] = plan.line();
  return json;
}

/// What this build makes of the files: `config`, or `error`.
template <class Files>
void judge(const Files& files, Json& json) {
  try {
    const ModelConfig config = read_model_config(files);
    json["config"] = describe(check_weights(files, config), config);
  } catch (const Error& error) {
    json["error"] = error.what();
  }
}

Json inspect(const GgufFile& file) {
  Json::object_t metadata;  // keys are known to differ: appended without the look-up of operator[]
  for (const GgufValue& value : file.values())
    metadata.push_back({value.key, value.type == GgufType::array ? array(file, value) : scalar(file, value)});
  Json tensors = Json::array();
  for (const GgufTensor& tensor : file.tensors())
    tensors.push_back({{"name", tensor.name},
                       {"type", tensor.type_name},
                       {"shape", tensor.shape},
                       {"offset", tensor.offset},
                       {"size_bytes", tensor.size_bytes.value_or(0)}});
  Json json = {{"file", file.name()},
               {"format", "GGUF version " + std::to_string(file.version())},
               {"size_bytes", file.size_bytes()},
               {"version", file.version()}};
  json["metadata"] = std::move(metadata);
  json["tensors"] = std::move(tensors);
  judge(file, json);
  return json;
}

Json inspect(const Checkpoint& checkpoint) {
  Json tensors = Json::array();
  for (const StoredTensor& tensor : checkpoint.tensors())
    tensors.push_back({{"name", tensor.name},
                       {"type", tensor.type_name},
                       {"shape", tensor.shape},
                       {"file", std::filesystem::path(tensor.file).filename().string()},
                       {"size_bytes", tensor.size_bytes}});
  Json json = {{"file", checkpoint.name()}, {"format", "Hugging Face folder"}, {"size_bytes", checkpoint.size_bytes()}};
  json["metadata"] = Json(checkpoint.config());
  json["tensors"] = std::move(tensors);
  judge(checkpoint, json);
  return json;
}

Json inspect(const ModelSource& source) {
  return source.gguf() != nullptr ? inspect(*source.gguf()) : inspect(*source.checkpoint());
}

std::string dump(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string as_text(const Json& json) {
  std::string text = json["file"].get<std::string>() + ": " + json["format"].get<std::string>() + ", " +
                     dump(json["size_bytes"]) + " bytes\n\nmetadata\n";
  for (const auto& [key, value] : json["metadata"].items()) text += "  " + printable(key) + " = " + dump(value) + "\n";

  const Json& tensors = json["tensors"];
  text += "\ntensors (" + std::to_string(tensors.size()) + ", shapes slowest axis first)\n";
  std::size_t width = 0;
  for (const Json& tensor : tensors) width = std::max(width, printable(tensor["name"].get<std::string>()).size());
  for (const Json& tensor : tensors) {
    std::string name = printable(tensor["name"].get<std::string>());
    name.resize(width, ' ');
    std::string type = tensor["type"].get<std::string>();
    type.resize(std::max<std::size_t>(type.size(), 5), ' ');
    text += "  " + name + "  " + type + " " + dump(tensor["shape"]) + "\n";
  }
  if (json.contains("error")) return text + "\nthis build cannot run it: " + json["error"].get<std::string>() + "\n";
  text += "\nmodel\n";
  for (const auto& [key, value] : json["config"].items())
    text += "  " + key + " = " + (value.is_string() ? value.get<std::string>() : dump(value)) + "\n";
  return text;
}

}  // namespace

std::string inspect_json(const ModelSource& source) {
  return dump(inspect(source), 1) + "\n";
}
std::string inspect_json(const GgufFile& file) {
  return dump(inspect(file), 1) + "\n";
}

std::string inspect_text(const ModelSource& source) {
  return as_text(inspect(source));
}
std::string inspect_text(const GgufFile& file) {
  return as_text(inspect(file));
}

}  // namespace lectern::inference

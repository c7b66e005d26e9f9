#include "inference/model_source.h"

#include <algorithm>

#include "inference/tokenizer_gguf.h"
#include "inference/tokenizer_json.h"

namespace lectern::inference {

namespace {

using Files = std::variant<GgufFile, Checkpoint>;

Files open(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return Checkpoint(path);
  if (path.extension() == ".safetensors" || path.extension() == ".json")
    return Checkpoint(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
  return GgufFile(path);
}

}  // namespace

ModelSource::ModelSource(const std::filesystem::path& path) : files_(open(path)) {}

const std::string& ModelSource::name() const {
  return gguf() != nullptr ? gguf()->name() : checkpoint()->name();
}

std::int64_t ModelSource::size_bytes() const {
  return gguf() != nullptr ? gguf()->size_bytes() : checkpoint()->size_bytes();
}

std::vector<std::filesystem::path> ModelSource::files() const {
  std::vector<std::filesystem::path> files;
  if (gguf() != nullptr) {
    for (const std::string& part : gguf()->part_names()) files.emplace_back(part);
    return files;
  }
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoint()->folder(), ignored))
    if (entry.is_regular_file(ignored) &&
        (entry.path().extension() == ".json" || entry.path().extension() == ".safetensors"))
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

ModelConfig ModelSource::read_config() const {
  return gguf() != nullptr ? read_model_config(*gguf()) : read_model_config(*checkpoint());
}

Weights ModelSource::load_weights(const ModelConfig& config) const {
  return gguf() != nullptr ? inference::load_weights(*gguf(), config) : inference::load_weights(*checkpoint(), config);
}

WeightBytes ModelSource::check_weights(const ModelConfig& config) const {
  return gguf() != nullptr ? inference::check_weights(*gguf(), config)
                           : inference::check_weights(*checkpoint(), config);
}

std::optional<ModelTokenizer> ModelSource::read_tokenizer() const {
  if (gguf() != nullptr) {
    if (!gguf()->has("tokenizer.ggml.tokens")) return std::nullopt;
    return read_tokenizer_gguf(*gguf());
  }
  std::error_code ignored;
  if (!std::filesystem::exists(checkpoint()->folder() / "tokenizer.json", ignored)) return std::nullopt;
  return read_tokenizer_json(checkpoint()->folder());
}

}  // namespace lectern::inference

// A model's files, whichever way they come: GGUF (one file or several parts) or a Hugging Face folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "inference/checkpoint.h"
#include "inference/gguf_file.h"
#include "inference/model_config.h"
#include "inference/tokenizer.h"
#include "inference/weights.h"

namespace lectern::inference {

/// Immutable once opened; any thread may read.
class ModelSource {
 public:
  /// A GGUF file, a folder with config.json, or a .json or .safetensors file of such a folder. Throws lectern::Error
  /// naming the file.
  explicit ModelSource(const std::filesystem::path& path);

  const std::string& name() const;  // path, for messages
  std::int64_t size_bytes() const;
  /// All files that it was made of: parts of a GGUF model; weights and JSON of a folder.
  std::vector<std::filesystem::path> files() const;
  const GgufFile* gguf() const { return std::get_if<GgufFile>(&files_); }
  const Checkpoint* checkpoint() const { return std::get_if<Checkpoint>(&files_); }

  ModelConfig read_config() const;
  Weights load_weights(const ModelConfig& config) const;
  WeightBytes check_weights(const ModelConfig& config) const;
  /// Empty if the files hold no tokenizer.
  std::optional<ModelTokenizer> read_tokenizer() const;

 private:
  std::variant<GgufFile, Checkpoint> files_;
};

}  // namespace lectern::inference

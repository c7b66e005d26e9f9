// A model as a Hugging Face folder: config.json, model.safetensors or its shards with an index, tokenizer files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "inference/safetensors_file.h"
#include "inference/stored_tensor.h"

namespace lectern::inference {

/// Opening maps every shard and checks it. Immutable afterwards; tensors live as long as this object. Movable.
class Checkpoint {
 public:
  /// Throws Error{io} naming a file that is not there, Error{bad_file} for what is in one.
  explicit Checkpoint(const std::filesystem::path& folder);
  ~Checkpoint();
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;

  const std::filesystem::path& folder() const { return folder_; }
  const std::string& name() const { return name_; }                // path of the folder, for messages
  const std::string& config_file() const { return config_file_; }  // path of config.json
  const nlohmann::json& config() const { return *config_; }        // an object
  /// Of all shards, by name.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  const StoredTensor* find_tensor(const std::string& name) const;
  std::int64_t size_bytes() const;  // of all shards

 private:
  void open_shards();

  std::filesystem::path folder_;
  std::string name_, config_file_;
  std::unique_ptr<const nlohmann::json> config_;
  std::vector<SafetensorsFile> shards_;
  std::vector<StoredTensor> tensors_;  // ascending names
};

}  // namespace lectern::inference

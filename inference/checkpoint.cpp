// The index is asked for the names of the shards and held against what they contain; which tensors there are is told by
// the shards themselves.

#include "inference/checkpoint.h"

#include <algorithm>
#include <set>

#include "inference/gguf_file.h"
#include "inference/json_file.h"
#include "kernels/error.h"

namespace lectern::inference {

using Json = nlohmann::json;

namespace {

constexpr std::int64_t most_config_bytes = 16 << 20;
constexpr std::int64_t most_index_bytes = 256 << 20;
constexpr const char* single_file = "model.safetensors";
constexpr const char* index_file = "model.safetensors.index.json";

/// File names of the shards. A name must be that of a file of the folder, nothing that leads elsewhere.
std::set<std::string> shard_names(const Json& weight_map, const std::string& index) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map.items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos || name.find('\0') != std::string::npos ||
        !name.ends_with(".safetensors"))
      throw Error(ErrorKind::bad_file, index + ": tensor '" + printable(tensor) + "' is said to be in '" +
                                           printable(name) + "', which is not the name of a safetensors file");
    names.insert(name);
  }
  return names;
}

}  // namespace

Checkpoint::Checkpoint(const std::filesystem::path& folder)
    : folder_(folder), name_(folder.string()), config_file_((folder / "config.json").string()) {
  std::error_code ignored;
  if (!std::filesystem::exists(config_file_, ignored))
    throw Error(ErrorKind::io,
                name_ + ": holds no config.json; give a folder with a Hugging Face model, or a .gguf file");
  config_ = std::make_unique<const Json>(read_json_object(config_file_, most_config_bytes));
  open_shards();
}

Checkpoint::~Checkpoint() = default;
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;

void Checkpoint::open_shards() {
  std::error_code ignored;
  const std::filesystem::path index = folder_ / index_file;
  Json map;
  std::set<std::string> names{single_file};
  if (std::filesystem::exists(index, ignored)) {
    const Json json = read_json_object(index, most_index_bytes);
    const auto found = json.find("weight_map");
    if (found == json.end() || !found->is_object() || found->empty())
      throw Error(ErrorKind::bad_file, index.string() + ": has no 'weight_map'; fetch the file again");
    map = *found;
    names = shard_names(map, index.string());
  } else if (!std::filesystem::exists(folder_ / single_file, ignored)) {
    throw Error(ErrorKind::io, name_ + ": holds neither " + single_file + " nor " + index_file +
                                   "; fetch the model's safetensors files");
  }
  for (const std::string& name : names) {
    const std::filesystem::path path = folder_ / name;
    if (!std::filesystem::exists(path, ignored))
      throw Error(ErrorKind::io, path.string() + ": this shard of the model is missing; fetch it again");
    shards_.emplace_back(path);
    std::ranges::copy(shards_.back().tensors(), std::back_inserter(tensors_));
  }
  std::ranges::sort(tensors_, {}, &StoredTensor::name);
  for (std::size_t i = 1; i < tensors_.size(); ++i)
    if (tensors_[i].name == tensors_[i - 1].name)
      throw Error(ErrorKind::bad_file, tensors_[i].file + ": tensor '" + printable(tensors_[i].name) + "' is in '" +
                                           tensors_[i - 1].file + "' too");
  for (const auto& [tensor, file] : map.items()) {
    const StoredTensor* const found = find_tensor(tensor);
    if (found == nullptr || found->file != (folder_ / file.get<std::string>()).string())
      throw Error(ErrorKind::bad_file, (folder_ / file.get<std::string>()).string() + ": tensor '" + printable(tensor) +
                                           "' is missing, though " + index_file + " says it is here");
  }
}

const StoredTensor* Checkpoint::find_tensor(const std::string& name) const {
  const auto found = std::ranges::lower_bound(tensors_, name, {}, &StoredTensor::name);
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

std::int64_t Checkpoint::size_bytes() const {
  std::int64_t total = 0;
  for (const SafetensorsFile& shard : shards_) total += shard.size_bytes();
  return total;
}

}  // namespace lectern::inference

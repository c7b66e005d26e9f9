// Large models come as NAME-00001-of-0000N.gguf: the first file has the metadata, each file its own tensors. The parts
// are found by name and held against the keys split.no and split.count, so that a part of another model is noticed.

#include <algorithm>
#include <cstdio>
#include <utility>

#include "inference/gguf_file.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

constexpr std::int64_t most_shards = 99999;  // five digits
constexpr std::size_t suffix_length = 20;    // "-00001-of-00003.gguf"

std::string suffix(std::int64_t number, std::int64_t count) {
  char text[64];
  std::snprintf(text, sizeof text, "-%05lld-of-%05lld.gguf", static_cast<long long>(number),
                static_cast<long long>(count));
  return text;
}

std::int64_t split_number(const GgufFile& file, const char* key, std::int64_t least, std::int64_t most) {
  const std::int64_t value = file.required_integer(key);
  if (value < least || value > most)
    throw Error(ErrorKind::bad_file, file.name() + ": metadata '" + key + "' is " + std::to_string(value) + "; " +
                                         std::to_string(least) + " to " + std::to_string(most) + " is possible");
  return value;
}

}  // namespace

bool is_later_gguf_shard(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  if (name.size() < suffix_length) return false;
  const std::string end = name.substr(name.size() - suffix_length);
  long long number = 0, count = 0;
  int used = 0;
  return std::sscanf(end.c_str(), "-%5lld-of-%5lld.gguf%n", &number, &count, &used) == 2 &&
         used == static_cast<int>(suffix_length) && number > 1;
}

void GgufFile::join_shards(const std::filesystem::path& path) {
  if (integer("split.count").value_or(1) <= 1) return;
  const std::int64_t count = split_number(*this, "split.count", 1, most_shards);
  const std::int64_t number = split_number(*this, "split.no", 0, count - 1);
  const std::string name = path.filename().string(), own = suffix(number + 1, count);
  if (!name.ends_with(own))
    throw Error(ErrorKind::bad_file, name_ + ": is part " + std::to_string(number + 1) + " of " +
                                         std::to_string(count) + ", so its name must end in '" + own +
                                         "'; give the parts their names back");
  const std::string stem = name.substr(0, name.size() - own.size());
  const auto path_of = [&](std::int64_t part) { return path.parent_path() / (stem + suffix(part + 1, count)); };
  std::error_code ignored;
  for (std::int64_t part = 0; part < count; ++part)
    if (!std::filesystem::exists(path_of(part), ignored))
      throw Error(ErrorKind::io, path_of(part).string() + ": part " + std::to_string(part + 1) + " of " +
                                     std::to_string(count) + " of the model is missing; put it beside " + name);
  if (number != 0) {
    *this = GgufFile(path_of(0));
    return;
  }

  std::int64_t total = size_;
  for (std::int64_t part = 1; part < count; ++part) {
    GgufFile shard;
    shard.open(path_of(part));
    if (split_number(shard, "split.count", 1, most_shards) != count ||
        split_number(shard, "split.no", 0, count - 1) != part)
      throw Error(ErrorKind::bad_file, shard.name_ +
                                           ": its metadata names another part than its file name; it may "
                                           "belong to another model");
    for (GgufTensor& tensor : shard.tensors_) {
      if (find_tensor(tensor.name) != nullptr)
        throw Error(ErrorKind::bad_file,
                    shard.name_ + ": tensor '" + printable(tensor.name) + "' is in another part of the model too");
      tensor.shard = static_cast<std::size_t>(part);
    }
    total += shard.size_;
    // Names stay where they are when a vector is moved as a whole, not when its elements are: the index is made anew.
    tensor_index_.clear();
    std::ranges::move(shard.tensors_, std::back_inserter(tensors_));
    for (std::size_t i = 0; i < tensors_.size(); ++i) tensor_index_.emplace(tensors_[i].name, i);
    shard.tensors_.clear();
    shard.tensor_index_.clear();
    shards_.push_back(std::move(shard));
  }
  total_size_ = total;
  const auto stated = integer("split.tensors.count");
  if (stated && *stated != std::ssize(tensors_))
    throw Error(ErrorKind::bad_file, name_ + ": metadata 'split.tensors.count' is " + std::to_string(*stated) +
                                         ", but the parts hold " + std::to_string(tensors_.size()) +
                                         " tensors; fetch the parts again");
}

}  // namespace lectern::inference

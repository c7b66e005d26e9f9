// Small safetensors files for tests: written byte by byte, so that a test may lie in the header.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "inference/stored_tensor.h"
#include "tests/inference/gguf_samples.h"

namespace lectern::inference::samples {

inline std::vector<std::byte> bytes_of_text(const std::string& text) {
  std::vector<std::byte> bytes(text.size());
  std::transform(text.begin(), text.end(), bytes.begin(), [](char c) { return static_cast<std::byte>(c); });
  return bytes;
}

/// A whole file: the length of the header, the header, the data.
inline std::string safetensors(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  return file + header + data;
}

/// A tensor with bytes of its own, to be changed and written again.
struct OwnTensor {
  std::string name, type;
  std::vector<std::int64_t> shape;
  std::string bytes;

  std::int64_t row_bytes() const { return static_cast<std::int64_t>(bytes.size()) / shape.front(); }
  /// Rows of the slowest axis.
  std::string rows(std::int64_t first, std::int64_t count) const {
    return bytes.substr(static_cast<std::size_t>(first * row_bytes()), static_cast<std::size_t>(count * row_bytes()));
  }
};

inline std::vector<OwnTensor> own(const std::vector<StoredTensor>& tensors) {
  std::vector<OwnTensor> result;
  for (const StoredTensor& tensor : tensors)
    result.push_back({tensor.name,
                      tensor.type_name,
                      tensor.shape,
                      {reinterpret_cast<const char*>(tensor.data), static_cast<std::size_t>(tensor.size_bytes)}});
  return result;
}

inline std::string safetensors(const std::vector<OwnTensor>& tensors) {
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const OwnTensor& tensor : tensors) {
    const std::size_t begin = data.size();
    data += tensor.bytes;
    header[tensor.name] = {{"dtype", tensor.type}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // as writers do, so that the data is aligned
  return safetensors(text, data);
}

inline void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace lectern::inference::samples

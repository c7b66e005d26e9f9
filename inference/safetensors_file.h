// A .safetensors file, mapped read-only into memory: 8 bytes length of a JSON header, the header, the tensors' bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "inference/mapped_file.h"
#include "inference/stored_tensor.h"

namespace lectern::inference {

/// Opening checks the length of the header, its JSON, and every type, shape and offset before it is used: each tensor
/// has exactly the bytes of its shape, and the tensors fill the file without gap or overlap. A file that lies gets one
/// Error{bad_file} that names the file and the tensor. Immutable afterwards; tensors point into the mapping.
class SafetensorsFile {
 public:
  /// Throws Error{io} if it cannot be opened.
  explicit SafetensorsFile(const std::filesystem::path& path);
  /// The same checks on bytes in memory; `name` stands for the file in messages.
  SafetensorsFile(std::vector<std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }
  std::int64_t size_bytes() const { return mapping_.size_bytes(); }
  /// By offset. A type that this build does not compute with has only its name.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }

 private:
  void parse();

  std::string name_;
  MappedFile mapping_;
  std::vector<StoredTensor> tensors_;
};

}  // namespace lectern::inference

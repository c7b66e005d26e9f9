// The bytes of a file, mapped read-only, or of a buffer that stands for one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <vector>

namespace lectern::inference {

/// Movable; the bytes stay where they are. Immutable: any number of threads may read.
class MappedFile {
 public:
  MappedFile() = default;
  /// Throws Error{io} if it cannot be opened or mapped, Error{bad_file} if it is no regular file.
  explicit MappedFile(const std::filesystem::path& path);
  explicit MappedFile(std::vector<std::byte> bytes);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::byte* data() const { return data_; }  // null if empty
  std::int64_t size_bytes() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  std::int64_t size_ = 0;
  std::vector<std::byte> bytes_;  // of a buffer
  bool is_mapped_ = false;
};

}  // namespace lectern::inference

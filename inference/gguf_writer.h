// Writes GGUF files (version 3, little endian): metadata, then tensors streamed one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/tensor.h"

namespace lectern::inference {

/// Use: the add_* calls, then begin_data(), then the bytes of each tensor in the order they were added, then close().
/// One thread. Throws Error{io} when the disk does not take it, Error{bad_request} when used out of order.
class GgufWriter {
 public:
  explicit GgufWriter(std::filesystem::path path);

  void add_u32(std::string_view key, std::uint32_t value);
  void add_u64(std::string_view key, std::uint64_t value);
  void add_i32(std::string_view key, std::int32_t value);
  void add_f32(std::string_view key, float value);
  void add_bool(std::string_view key, bool value);
  void add_text(std::string_view key, std::string_view value);
  void add_texts(std::string_view key, std::span<const std::string> values);
  void add_i32s(std::string_view key, std::span<const std::int32_t> values);
  void add_f32s(std::string_view key, std::span<const float> values);
  void add_bools(std::string_view key, const std::vector<bool>& values);

  /// Shape slowest axis first, as everywhere here; the file gets it the other way round.
  void add_tensor(std::string_view name, kernels::DType type, std::span<const std::int64_t> shape);
  void add_tensor(std::string_view name, kernels::DType type, std::initializer_list<std::int64_t> shape);

  void begin_data();
  /// The next bytes of the current tensor; crossing into the next tensor is not allowed in one call.
  void write(std::span<const std::byte> bytes);
  void write(std::span<const float> values);
  void close();

 private:
  struct Pending {
    std::string name;
    std::int64_t size_bytes = 0;
  };
  void key(std::string_view name, std::uint32_t type);
  void pad();

  std::filesystem::path path_;
  std::ofstream stream_;
  std::string metadata_, directory_;
  std::int64_t values_ = 0;
  std::vector<Pending> tensors_;
  std::int64_t next_offset_ = 0;  // of the data section
  std::size_t current_ = 0;       // tensor being written
  std::int64_t written_ = 0;      // bytes of it
  bool in_data_ = false;
};

}  // namespace lectern::inference

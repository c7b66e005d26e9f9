// A GGUF model file (versions 2 and 3, little endian), mapped read-only into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "inference/mapped_file.h"
#include "kernels/tensor.h"

namespace lectern::inference {

/// Type numbers of metadata values, as in the file.
enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };
const char* name(GgufType type);

/// One metadata value: where it lies in the file. Read it through GgufFile's getters.
struct GgufValue {
  std::string key;
  GgufType type = GgufType::u8;
  GgufType element = GgufType::u8;  // of an array, else equal to `type`
  std::int64_t count = 1;           // elements of an array
  std::int64_t offset = 0;          // of the first element, from the start of the file
};

/// One entry of the tensor directory. Its bytes are known to lie inside the file if `size_bytes` is set.
struct GgufTensor {
  std::string name;
  std::vector<std::int64_t> shape;         // slowest axis first, last axis contiguous, 1 to 4 axes, each >= 1
  std::uint32_t type_number = 0;           // of the file
  std::string type_name;                   // "Q4_K"; "type 123" where the number is not known
  std::optional<kernels::DType> type;      // set if this build can compute with it
  std::int64_t offset = 0;                 // from the start of the file it is in
  std::optional<std::int64_t> size_bytes;  // empty where the type's block size is not known
  std::size_t shard = 0;                   // of the files of the model
  std::int64_t elements() const;
};

/// Opening checks every count, length, offset, size, alignment and name before it is used; a file that lies gets one
/// Error{bad_file} that names the file and the key or tensor. Immutable afterwards: any number of threads may read.
/// Views and tensors point into the mapping and live as long as this object.
class GgufFile {
 public:
  /// Any part of a model of several files (NAME-00001-of-0000N.gguf) opens all: metadata is that of the first, tensors
  /// are those of all. Throws Error{io} if a file cannot be opened or a part is missing, Error{bad_file} or
  /// Error{unsupported} for what is in it.
  explicit GgufFile(const std::filesystem::path& path);
  /// The same checks on bytes in memory; `name` stands for the file in messages.
  GgufFile(std::vector<std::byte> bytes, std::string name);

  const std::string& name() const { return name_; }  // path as given, of the first part
  std::int64_t size_bytes() const { return total_size_; }
  std::uint32_t version() const { return version_; }

  /// Metadata in the order of the file.
  const std::vector<GgufValue>& values() const { return values_; }
  const GgufValue* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  /// Empty if the key is absent; Error{bad_file} naming key and types if it holds something else. integer() takes every
  /// integer type and booleans that fit, number() integers and floats.
  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string_view> text(std::string_view key) const;
  /// The same for arrays; at most the first `most` elements.
  std::optional<std::vector<std::int64_t>> integers(std::string_view key, std::int64_t most = all) const;
  std::optional<std::vector<double>> numbers(std::string_view key, std::int64_t most = all) const;
  std::optional<std::vector<std::string_view>> texts(std::string_view key, std::int64_t most = all) const;

  /// The same for keys that must be there: Error{bad_file} naming the missing key.
  std::int64_t required_integer(std::string_view key) const;
  double required_number(std::string_view key) const;
  std::string_view required_text(std::string_view key) const;
  std::vector<std::int64_t> required_integers(std::string_view key) const;
  std::vector<std::string_view> required_texts(std::string_view key) const;

  /// Tensors in the order of the file.
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find_tensor(std::string_view name) const;
  /// The paths of all parts, in order.
  std::vector<std::string> part_names() const;
  /// The path of the file that a tensor is in.
  const std::string& file_of(const GgufTensor& tensor) const;
  /// A tensor's data, axes slowest first. Error{unsupported} naming tensor and type if this build cannot compute with
  /// it.
  kernels::ConstTensor view(const GgufTensor& tensor) const;
  /// find_tensor + view; Error{bad_file} if there is none of that name.
  kernels::ConstTensor required_tensor(std::string_view name) const;

 private:
  static constexpr std::int64_t all = std::numeric_limits<std::int64_t>::max();
  class Parser;

  GgufFile() = default;
  void open(const std::filesystem::path& path);
  void parse();
  void join_shards(const std::filesystem::path& path);
  const std::byte* at(std::int64_t offset) const { return mapping_.data() + offset; }
  const GgufValue& required(std::string_view key) const;
  std::int64_t integer_at(const GgufValue& value, std::int64_t index) const;
  double number_at(const GgufValue& value, std::int64_t index) const;

  std::string name_;
  MappedFile mapping_;
  std::int64_t size_ = 0;        // of this file
  std::int64_t total_size_ = 0;  // with the other parts
  std::uint32_t version_ = 0;
  std::vector<GgufValue> values_;
  std::vector<GgufTensor> tensors_;
  std::vector<GgufFile> shards_;                                    // from the second on, without their tensors' names
  std::unordered_map<std::string_view, std::size_t> value_index_;   // keys point into values_
  std::unordered_map<std::string_view, std::size_t> tensor_index_;  // names point into tensors_
};

/// Whether a file's name is that of the second or a later part of a model.
bool is_later_gguf_shard(const std::filesystem::path& path);

/// Text from a file made fit for a message: control characters and invalid bytes escaped, cut to 80 characters.
std::string printable(std::string_view text);

}  // namespace lectern::inference

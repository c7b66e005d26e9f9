// Metadata and the tensor directory are collected as text and written at once when the data begins: only then are all
// offsets known. Data is streamed, so a model larger than memory can be written.

#include "inference/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <type_traits>
#include <utility>

#include "inference/gguf_file.h"
#include "kernels/error.h"

namespace lectern::inference {

using kernels::DType;

static_assert(std::endian::native == std::endian::little, "values are written in place");

namespace {

constexpr std::int64_t alignment = 32;

template <class T>
void append(std::string& out, T value) {
  static_assert(std::is_arithmetic_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string& out, std::string_view text) {
  append(out, static_cast<std::uint64_t>(text.size()));
  out += text;
}

std::uint32_t number_of(DType type) {
  switch (type) {
    case DType::f32: return 0;
    case DType::f16: return 1;
    case DType::q4_0: return 2;
    case DType::q4_1: return 3;
    case DType::q8_0: return 8;
    case DType::q4_k: return 12;
    case DType::q5_k: return 13;
    case DType::q6_k: return 14;
    case DType::i32: return 26;
    case DType::bf16: return 30;
  }
  return 0;
}

std::int64_t padded(std::int64_t offset) {
  return (offset + alignment - 1) / alignment * alignment;
}

std::uint32_t number_of(GgufType type) {
  return static_cast<std::uint32_t>(type);
}

}  // namespace

GgufWriter::GgufWriter(std::filesystem::path path)
    : path_(std::move(path)), stream_(path_, std::ios::binary | std::ios::trunc) {
  if (!stream_) throw Error(ErrorKind::io, path_.string() + ": cannot be written: " + std::strerror(errno));
}

void GgufWriter::key(std::string_view name, std::uint32_t type) {
  append_text(metadata_, name);
  append(metadata_, type);
  ++values_;
}

void GgufWriter::add_u32(std::string_view name, std::uint32_t value) {
  key(name, number_of(GgufType::u32));
  append(metadata_, value);
}
void GgufWriter::add_u64(std::string_view name, std::uint64_t value) {
  key(name, number_of(GgufType::u64));
  append(metadata_, value);
}
void GgufWriter::add_i32(std::string_view name, std::int32_t value) {
  key(name, number_of(GgufType::i32));
  append(metadata_, value);
}
void GgufWriter::add_f32(std::string_view name, float value) {
  key(name, number_of(GgufType::f32));
  append(metadata_, value);
}
void GgufWriter::add_bool(std::string_view name, bool value) {
  key(name, number_of(GgufType::boolean));
  append(metadata_, static_cast<std::uint8_t>(value ? 1 : 0));
}
void GgufWriter::add_text(std::string_view name, std::string_view value) {
  key(name, number_of(GgufType::text));
  append_text(metadata_, value);
}

void GgufWriter::add_texts(std::string_view name, std::span<const std::string> values) {
  key(name, number_of(GgufType::array));
  append(metadata_, number_of(GgufType::text));
  append(metadata_, static_cast<std::uint64_t>(values.size()));
  for (const std::string& value : values) append_text(metadata_, value);
}
void GgufWriter::add_i32s(std::string_view name, std::span<const std::int32_t> values) {
  key(name, number_of(GgufType::array));
  append(metadata_, number_of(GgufType::i32));
  append(metadata_, static_cast<std::uint64_t>(values.size()));
  for (const std::int32_t value : values) append(metadata_, value);
}
void GgufWriter::add_f32s(std::string_view name, std::span<const float> values) {
  key(name, number_of(GgufType::array));
  append(metadata_, number_of(GgufType::f32));
  append(metadata_, static_cast<std::uint64_t>(values.size()));
  for (const float value : values) append(metadata_, value);
}
void GgufWriter::add_bools(std::string_view name, const std::vector<bool>& values) {
  key(name, number_of(GgufType::array));
  append(metadata_, number_of(GgufType::boolean));
  append(metadata_, static_cast<std::uint64_t>(values.size()));
  for (const bool value : values) append(metadata_, static_cast<std::uint8_t>(value ? 1 : 0));
}

void GgufWriter::add_tensor(std::string_view name, DType type, std::span<const std::int64_t> shape) {
  if (in_data_) throw Error(ErrorKind::bad_request, path_.string() + ": a tensor was added after the data began");
  append_text(directory_, name);
  append(directory_, static_cast<std::uint32_t>(shape.size()));
  std::int64_t rows = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    append(directory_, static_cast<std::uint64_t>(shape[axis]));
    if (axis + 1 < shape.size()) rows *= shape[axis];
  }
  append(directory_, number_of(type));
  append(directory_, static_cast<std::uint64_t>(next_offset_));
  tensors_.push_back({std::string(name), rows * kernels::row_bytes(type, shape.back())});
  next_offset_ = padded(next_offset_ + tensors_.back().size_bytes);
}

void GgufWriter::add_tensor(std::string_view name, DType type, std::initializer_list<std::int64_t> shape) {
  add_tensor(name, type, std::span<const std::int64_t>(shape.begin(), shape.size()));
}

void GgufWriter::pad() {
  while (stream_.tellp() % alignment != 0) stream_.put('\0');
}

void GgufWriter::begin_data() {
  std::string start = "GGUF";
  append(start, std::uint32_t{3});
  append(start, static_cast<std::uint64_t>(tensors_.size()));
  append(start, static_cast<std::uint64_t>(values_));
  for (const std::string* part : {&start, &metadata_, &directory_}) stream_.write(part->data(), std::ssize(*part));
  pad();
  in_data_ = true;
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  if (!in_data_ || current_ == tensors_.size() || std::ssize(bytes) > tensors_[current_].size_bytes - written_)
    throw Error(ErrorKind::bad_request, path_.string() + ": gets more tensor data than announced");
  stream_.write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
  if (!stream_) throw Error(ErrorKind::io, path_.string() + ": cannot be written; is the disk full?");
  written_ += std::ssize(bytes);
  if (written_ == tensors_[current_].size_bytes) {
    pad();
    ++current_;
    written_ = 0;
  }
}

void GgufWriter::write(std::span<const float> values) {
  write(std::as_bytes(values));
}

void GgufWriter::close() {
  if (!in_data_) begin_data();
  if (current_ != tensors_.size())
    throw Error(ErrorKind::bad_request,
                path_.string() + ": tensor '" + tensors_[current_].name + "' was not written whole");
  stream_.close();
  if (!stream_) throw Error(ErrorKind::io, path_.string() + ": cannot be written; is the disk full?");
}

}  // namespace lectern::inference

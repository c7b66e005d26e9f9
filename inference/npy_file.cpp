// The header of an .npy file is a Python dictionary as text. Files of NumPy always hold the same three keys, so they
// are looked up by name instead of parsing Python.

#include "inference/npy_file.h"

#include <bit>
#include <cctype>
#include <cstring>
#include <string>

#include "kernels/error.h"

namespace lectern::inference {

static_assert(std::endian::native == std::endian::little, "values are written in place");

namespace {

constexpr char magic[] = "\x93NUMPY";
constexpr std::int64_t magic_bytes = 6;

[[noreturn]] void bad(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorKind::bad_file, path.string() + ": " + what);
}

std::string header(std::span<const std::int64_t> shape) {
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (const std::int64_t extent : shape) text += std::to_string(extent) + (shape.size() == 1 ? "," : ", ");
  text += "), }";
  const std::size_t fixed = magic_bytes + 4;  // magic, version, length
  while ((fixed + text.size() + 1) % 64 != 0) text += ' ';
  text += '\n';
  std::string out(magic, magic_bytes);
  out += {'\x01', '\x00', static_cast<char>(text.size() & 255), static_cast<char>(text.size() >> 8)};
  return out + text;
}

/// What follows "'key':" in the dictionary.
std::string_view value_of(const std::filesystem::path& path, std::string_view dictionary, std::string_view key) {
  std::size_t at = dictionary.find("'" + std::string(key) + "'");
  if (at == std::string_view::npos) bad(path, "has no '" + std::string(key) + "' in its header");
  at = dictionary.find(':', at);
  if (at == std::string_view::npos) bad(path, "has a damaged header");
  ++at;
  while (at < dictionary.size() && dictionary[at] == ' ') ++at;
  return dictionary.substr(at);
}

}  // namespace

NpyArray read_npy(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  if (!stream) throw Error(ErrorKind::io, path.string() + ": cannot be opened");
  const auto size = static_cast<std::int64_t>(stream.tellg());
  stream.seekg(0);
  unsigned char start[12] = {};
  stream.read(reinterpret_cast<char*>(start), 10);
  if (!stream || std::memcmp(start, magic, magic_bytes) != 0) bad(path, "is not a NumPy file");
  std::int64_t length = start[8] + 256 * start[9];
  if (start[6] == 2 || start[6] == 3) {
    stream.read(reinterpret_cast<char*>(start) + 10, 2);
    length += 65536 * (start[10] + 256 * static_cast<std::int64_t>(start[11]));
  } else if (start[6] != 1) {
    bad(path, "is of NumPy format version " + std::to_string(start[6]) + "; 1 to 3 can be read");
  }
  if (!stream || length > size) bad(path, "is damaged or incomplete");
  std::string dictionary(static_cast<std::size_t>(length), ' ');
  stream.read(dictionary.data(), length);
  if (!stream) bad(path, "is damaged or incomplete");
  if (!value_of(path, dictionary, "descr").starts_with("'<f4'")) bad(path, "does not hold little-endian float32");
  if (!value_of(path, dictionary, "fortran_order").starts_with("False")) bad(path, "is not in C order");

  NpyArray array;
  std::int64_t count = 1;
  std::string_view shape = value_of(path, dictionary, "shape");
  shape = shape.substr(0, shape.find(')'));
  for (std::size_t i = 0; i < shape.size();) {
    if (std::isdigit(static_cast<unsigned char>(shape[i])) == 0) {
      ++i;
      continue;
    }
    std::int64_t extent = 0;
    for (; i < shape.size() && std::isdigit(static_cast<unsigned char>(shape[i])) != 0; ++i) {
      extent = extent * 10 + (shape[i] - '0');
      if (extent > size) bad(path, "has a shape larger than the file");
    }
    array.shape.push_back(extent);
    if (__builtin_mul_overflow(count, extent, &count) || count > size) bad(path, "has a shape larger than the file");
  }
  if (count * 4 > size - static_cast<std::int64_t>(stream.tellg())) bad(path, "is damaged or incomplete");
  array.values.resize(static_cast<std::size_t>(count));
  stream.read(reinterpret_cast<char*>(array.values.data()), count * 4);
  if (!stream) bad(path, "is damaged or incomplete");
  return array;
}

void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape, std::span<const float> values) {
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  const std::string start = header(shape);
  stream.write(start.data(), std::ssize(start));
  stream.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  stream.close();
  if (!stream) throw Error(ErrorKind::io, path.string() + ": cannot be written");
}

NpyWriter::NpyWriter(const std::filesystem::path& path, std::int64_t rows, std::int64_t columns)
    : path_(path), stream_(path, std::ios::binary | std::ios::trunc), left_(rows * columns) {
  const std::int64_t shape[] = {rows, columns};
  const std::string start = header(shape);
  stream_.write(start.data(), std::ssize(start));
  if (!stream_) throw Error(ErrorKind::io, path_.string() + ": cannot be written");
}

void NpyWriter::write(std::span<const float> values) {
  left_ -= std::ssize(values);
  if (left_ < 0) throw Error(ErrorKind::bad_request, path_.string() + ": gets more rows than announced");
  stream_.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
}

void NpyWriter::close() {
  if (left_ != 0) throw Error(ErrorKind::bad_request, path_.string() + ": got fewer rows than announced");
  stream_.close();
  if (!stream_) throw Error(ErrorKind::io, path_.string() + ": cannot be written; is the disk full?");
}

}  // namespace lectern::inference

// The file is mapped and walked once with a cursor that knows how many bytes are left: nothing is read, reserved or
// added before it is known to fit, so a lying count costs an error message and no memory. Metadata stays in the
// mapping; only keys, names and shapes are copied. GGUF lists the fastest axis first; shapes are turned round here and
// nowhere else.

#include "inference/gguf_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "kernels/error.h"

namespace lectern::inference {

using kernels::DType;

static_assert(std::endian::native == std::endian::little, "GGUF files are read in place");

namespace {

struct TypeInfo {
  std::uint32_t number;
  const char* name;
  std::int64_t values;  // per block
  std::int64_t bytes;   // per block
  std::optional<DType> type;
};

// Numbers and block sizes of the tensor types of the GGUF format (ggml's list).
const TypeInfo tensor_types[] = {
    {0, "F32", 1, 4, DType::f32},
    {1, "F16", 1, 2, DType::f16},
    {2, "Q4_0", 32, 18, DType::q4_0},
    {3, "Q4_1", 32, 20, DType::q4_1},
    {6, "Q5_0", 32, 22, {}},
    {7, "Q5_1", 32, 24, {}},
    {8, "Q8_0", 32, 34, DType::q8_0},
    {10, "Q2_K", 256, 84, {}},
    {11, "Q3_K", 256, 110, {}},
    {12, "Q4_K", 256, 144, DType::q4_k},
    {13, "Q5_K", 256, 176, DType::q5_k},
    {14, "Q6_K", 256, 210, DType::q6_k},
    {15, "Q8_K", 256, 292, {}},
    {16, "IQ2_XXS", 256, 66, {}},
    {17, "IQ2_XS", 256, 74, {}},
    {18, "IQ3_XXS", 256, 98, {}},
    {19, "IQ1_S", 256, 50, {}},
    {20, "IQ4_NL", 32, 18, {}},
    {21, "IQ3_S", 256, 110, {}},
    {22, "IQ2_S", 256, 82, {}},
    {23, "IQ4_XS", 256, 136, {}},
    {24, "I8", 1, 1, {}},
    {25, "I16", 1, 2, {}},
    {26, "I32", 1, 4, DType::i32},
    {27, "I64", 1, 8, {}},
    {28, "F64", 1, 8, {}},
    {29, "IQ1_M", 256, 56, {}},
    {30, "BF16", 1, 2, DType::bf16},
    {34, "TQ1_0", 256, 54, {}},
    {35, "TQ2_0", 256, 66, {}},
    {39, "MXFP4", 32, 17, {}},
    {40, "NVFP4", 64, 36, {}},
};

const TypeInfo* find_type(std::uint32_t number) {
  const auto* found = std::ranges::find(tensor_types, number, &TypeInfo::number);
  return found == std::end(tensor_types) ? nullptr : found;
}

/// Bytes of one element; 0 for text and arrays, whose length varies.
std::int64_t scalar_bytes(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean: return 1;
    case GgufType::u16:
    case GgufType::i16: return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32: return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64: return 8;
    case GgufType::text:
    case GgufType::array: return 0;
  }
  return 0;
}

template <class T>
T read_as(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

constexpr std::int64_t longest_key = 65535;         // of the format's description
constexpr std::int64_t longest_tensor_name = 1024;  // the format says 64; other writers exceed it a little
constexpr std::int64_t default_alignment = 32;

}  // namespace

const char* name(GgufType type) {
  static constexpr const char* names[] = {"u8",   "i8",   "u16",   "i16", "u32", "i32", "f32",
                                          "bool", "text", "array", "u64", "i64", "f64"};
  const auto index = static_cast<std::size_t>(type);
  return index < std::size(names) ? names[index] : "unknown";
}

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (out.size() >= 80) return out + "...";
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x20 && byte < 0x7f) {
      out += text[i];
    } else {
      static constexpr char digits[] = "0123456789abcdef";
      out += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

std::int64_t GgufTensor::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

/// Reads forward through the file; every step is checked against what is left.
class GgufFile::Parser {
 public:
  explicit Parser(const GgufFile& file) : file_(file) {}

  std::int64_t offset() const { return offset_; }
  std::int64_t left() const { return file_.size_ - offset_; }

  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::bad_file, file_.name_ + ": " + what); }

  template <class T>
  T read(const std::string& what) {
    need(static_cast<std::int64_t>(sizeof(T)), what);
    const T value = read_as<T>(file_.at(offset_));
    offset_ += static_cast<std::int64_t>(sizeof(T));
    return value;
  }

  /// A count of things of at least `least_bytes` each that must still fit into the file.
  std::int64_t count(std::int64_t least_bytes, const std::string& what) {
    const auto value = read<std::uint64_t>(what);
    if (value > static_cast<std::uint64_t>(left() / least_bytes))
      fail(what + " is " + std::to_string(value) + ", more than the rest of the file (" + std::to_string(left()) +
           " bytes) can hold; the file is damaged or incomplete");
    return static_cast<std::int64_t>(value);
  }

  std::string_view text(std::int64_t longest, const std::string& what) {
    const std::int64_t length = count(1, "the length of " + what);
    if (length > longest)
      fail(what + " is " + std::to_string(length) + " bytes long, more than " + std::to_string(longest));
    const std::string_view result(reinterpret_cast<const char*>(file_.at(offset_)), static_cast<std::size_t>(length));
    offset_ += length;
    return result;
  }

  void skip(std::int64_t bytes, const std::string& what) {
    need(bytes, what);
    offset_ += bytes;
  }

 private:
  void need(std::int64_t bytes, const std::string& what) const {
    if (bytes > left()) fail("the file ends inside " + what + "; it is damaged or incomplete");
  }

  const GgufFile& file_;
  std::int64_t offset_ = 0;
};

GgufFile::GgufFile(const std::filesystem::path& path) {
  open(path);
  join_shards(path);
}

GgufFile::GgufFile(std::vector<std::byte> bytes, std::string name)
    : name_(std::move(name)), mapping_(std::move(bytes)) {
  parse();
}

void GgufFile::open(const std::filesystem::path& path) {
  name_ = path.string();
  mapping_ = MappedFile(path);
  parse();
}

void GgufFile::parse() {
  size_ = total_size_ = mapping_.size_bytes();
  Parser parser(*this);
  if (size_ == 0) parser.fail("is empty");
  if (size_ < 24 || std::memcmp(at(0), "GGUF", 4) != 0) parser.fail("is not a GGUF model file");
  parser.skip(4, "the header");
  version_ = parser.read<std::uint32_t>("the header");
  if (version_ != 2 && version_ != 3) {
    if ((version_ & 0xffffU) == 0)
      throw Error(ErrorKind::unsupported, name_ + ": is a big-endian GGUF file; convert it to little endian");
    throw Error(ErrorKind::unsupported, name_ + ": is GGUF version " + std::to_string(version_) +
                                            "; versions 2 and 3 can be read, convert the file again");
  }
  // The smallest tensor entry: an empty name, no axes, type, offset. The smallest value: an empty key, type, one byte.
  const std::int64_t tensor_count = parser.count(8 + 4 + 4 + 8, "the number of tensors");
  const std::int64_t value_count = parser.count(8 + 4 + 1, "the number of metadata values");

  for (std::int64_t i = 0; i < value_count; ++i) {
    const std::string place = "metadata value " + std::to_string(i + 1) + " of " + std::to_string(value_count);
    GgufValue value;
    value.key = parser.text(longest_key, "the key of " + place);
    const std::string what = "metadata '" + printable(value.key) + "'";
    const auto type_number = parser.read<std::uint32_t>("the type of " + what);
    if (type_number > static_cast<std::uint32_t>(GgufType::f64))
      parser.fail(what + " has the unknown type " + std::to_string(type_number));
    value.type = value.element = static_cast<GgufType>(type_number);
    if (value.type == GgufType::array) {
      const auto element_number = parser.read<std::uint32_t>("the element type of " + what);
      if (element_number > static_cast<std::uint32_t>(GgufType::f64))
        parser.fail(what + " has elements of the unknown type " + std::to_string(element_number));
      value.element = static_cast<GgufType>(element_number);
      if (value.element == GgufType::array)
        throw Error(ErrorKind::unsupported, name_ + ": " + what + " is an array of arrays, which no model needs");
      const std::int64_t least = value.element == GgufType::text ? 8 : scalar_bytes(value.element);
      value.count = parser.count(least, "the length of " + what);
    }
    value.offset = parser.offset();
    if (value.element == GgufType::text) {
      for (std::int64_t k = 0; k < value.count; ++k)
        parser.text(parser.left(), "text " + std::to_string(k) + " of " + what);
    } else {
      parser.skip(value.count * scalar_bytes(value.element), what);
    }
    values_.push_back(std::move(value));
  }
  for (std::size_t i = 0; i < values_.size(); ++i)
    if (!value_index_.emplace(values_[i].key, i).second)
      parser.fail("metadata '" + printable(values_[i].key) + "' is given twice");

  const std::int64_t alignment = integer("general.alignment").value_or(default_alignment);
  if (alignment < 8 || alignment > (1 << 24) || !std::has_single_bit(static_cast<std::uint64_t>(alignment)))
    parser.fail("metadata 'general.alignment' is " + std::to_string(alignment) + ", not a power of two from 8 on");

  for (std::int64_t i = 0; i < tensor_count; ++i) {
    const std::string place = "entry " + std::to_string(i + 1) + " of " + std::to_string(tensor_count) + " tensors";
    GgufTensor tensor;
    tensor.name = parser.text(longest_tensor_name, "the name of " + place);
    const std::string what = "tensor '" + printable(tensor.name) + "'";
    const auto axes = parser.read<std::uint32_t>("the axes of " + what);
    if (axes < 1 || axes > 4) parser.fail(what + " has " + std::to_string(axes) + " axes; 1 to 4 are possible");
    std::int64_t elements = 1;
    for (std::uint32_t axis = 0; axis < axes; ++axis) {
      const auto extent = parser.read<std::uint64_t>("the shape of " + what);
      if (extent == 0 || extent > (std::uint64_t{1} << 48) ||
          __builtin_mul_overflow(elements, static_cast<std::int64_t>(extent), &elements) ||
          elements > (std::int64_t{1} << 56))
        parser.fail(what + " has an axis of " + std::to_string(extent) + " values, which is impossible");
      tensor.shape.push_back(static_cast<std::int64_t>(extent));
    }
    std::ranges::reverse(tensor.shape);
    tensor.type_number = parser.read<std::uint32_t>("the type of " + what);
    const auto relative = parser.read<std::uint64_t>("the offset of " + what);
    if (relative > static_cast<std::uint64_t>(size_) || relative % static_cast<std::uint64_t>(alignment) != 0)
      parser.fail(what + " starts at " + std::to_string(relative) + ", outside the file or not on a multiple of " +
                  std::to_string(alignment));
    tensor.offset = static_cast<std::int64_t>(relative);  // the start of the data section is added below
    const TypeInfo* const info = find_type(tensor.type_number);
    tensor.type_name = info == nullptr ? "type " + std::to_string(tensor.type_number) : info->name;
    if (info != nullptr) {
      if (tensor.shape.back() % info->values != 0)
        parser.fail(what + " has rows of " + std::to_string(tensor.shape.back()) + " values, not a whole number of " +
                    info->name + " blocks of " + std::to_string(info->values));
      tensor.type = info->type;
      tensor.size_bytes = elements / info->values * info->bytes;
    }
    tensors_.push_back(std::move(tensor));
  }

  const std::int64_t data_start = (parser.offset() + alignment - 1) / alignment * alignment;
  std::vector<const GgufTensor*> by_offset;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    GgufTensor& tensor = tensors_[i];
    const std::string what = "tensor '" + printable(tensor.name) + "'";
    if (!tensor_index_.emplace(tensor.name, i).second) parser.fail(what + " is given twice");
    const std::int64_t room = size_ - data_start - tensor.offset;
    if (room < 0 || tensor.size_bytes.value_or(0) > room)
      parser.fail(what + " ends beyond the end of the file; it is damaged or incomplete");
    tensor.offset += data_start;
    by_offset.push_back(&tensor);
  }
  std::ranges::sort(by_offset, {}, &GgufTensor::offset);
  for (std::size_t i = 1; i < by_offset.size(); ++i)
    if (by_offset[i - 1]->offset + by_offset[i - 1]->size_bytes.value_or(1) > by_offset[i]->offset)
      parser.fail("tensors '" + printable(by_offset[i - 1]->name) + "' and '" + printable(by_offset[i]->name) +
                  "' overlap");
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = value_index_.find(key);
  return found == value_index_.end() ? nullptr : &values_[found->second];
}

const GgufValue& GgufFile::required(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) throw Error(ErrorKind::bad_file, name_ + ": metadata '" + std::string(key) + "' is missing");
  return *value;
}

namespace {

[[noreturn]] void wrong_type(const std::string& file, const GgufValue& value, const char* wanted) {
  const std::string has =
      value.type == GgufType::array ? std::string("array of ") + name(value.element) : name(value.type);
  throw Error(ErrorKind::bad_file, file + ": metadata '" + printable(value.key) + "' is " + has + ", not " + wanted);
}

bool is_integer(GgufType type) {
  return type != GgufType::f32 && type != GgufType::f64 && type != GgufType::text && type != GgufType::array;
}

}  // namespace

std::int64_t GgufFile::integer_at(const GgufValue& value, std::int64_t index) const {
  const std::byte* const from = at(value.offset + index * scalar_bytes(value.element));
  switch (value.element) {
    case GgufType::u8: return read_as<std::uint8_t>(from);
    case GgufType::i8: return read_as<std::int8_t>(from);
    case GgufType::u16: return read_as<std::uint16_t>(from);
    case GgufType::i16: return read_as<std::int16_t>(from);
    case GgufType::u32: return read_as<std::uint32_t>(from);
    case GgufType::i32: return read_as<std::int32_t>(from);
    case GgufType::i64: return read_as<std::int64_t>(from);
    case GgufType::boolean: return read_as<std::uint8_t>(from) != 0 ? 1 : 0;
    case GgufType::u64: {
      const auto wide = read_as<std::uint64_t>(from);
      if (wide > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        throw Error(ErrorKind::bad_file, name_ + ": metadata '" + printable(value.key) + "' is " +
                                             std::to_string(wide) + ", which is impossible");
      return static_cast<std::int64_t>(wide);
    }
    default: wrong_type(name_, value, "an integer");
  }
}

double GgufFile::number_at(const GgufValue& value, std::int64_t index) const {
  const std::byte* const from = at(value.offset + index * scalar_bytes(value.element));
  if (value.element == GgufType::f32) return static_cast<double>(read_as<float>(from));
  if (value.element == GgufType::f64) return read_as<double>(from);
  if (value.element == GgufType::u64) return static_cast<double>(read_as<std::uint64_t>(from));
  return static_cast<double>(integer_at(value, index));
}

std::optional<std::int64_t> GgufFile::integer(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) return {};
  if (!is_integer(value->type)) wrong_type(name_, *value, "an integer");
  return integer_at(*value, 0);
}

std::optional<double> GgufFile::number(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) return {};
  if (value->type == GgufType::text || value->type == GgufType::array) wrong_type(name_, *value, "a number");
  return number_at(*value, 0);
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) return {};
  if (!is_integer(value->type)) wrong_type(name_, *value, "true or false");
  return integer_at(*value, 0) != 0;
}

std::optional<std::string_view> GgufFile::text(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) return {};
  if (value->type != GgufType::text) wrong_type(name_, *value, "a text");
  const auto length = static_cast<std::size_t>(read_as<std::uint64_t>(at(value->offset)));
  return std::string_view(reinterpret_cast<const char*>(at(value->offset + 8)), length);
}

std::optional<std::vector<std::int64_t>> GgufFile::integers(std::string_view key, std::int64_t most) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) return {};
  if (value->type != GgufType::array || !is_integer(value->element)) wrong_type(name_, *value, "an array of integers");
  const std::int64_t count = std::min(most, value->count);
  std::vector<std::int64_t> result(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) result[static_cast<std::size_t>(i)] = integer_at(*value, i);
  return result;
}

std::optional<std::vector<double>> GgufFile::numbers(std::string_view key, std::int64_t most) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) return {};
  if (value->type != GgufType::array || value->element == GgufType::text)
    wrong_type(name_, *value, "an array of numbers");
  const std::int64_t count = std::min(most, value->count);
  std::vector<double> result(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) result[static_cast<std::size_t>(i)] = number_at(*value, i);
  return result;
}

std::optional<std::vector<std::string_view>> GgufFile::texts(std::string_view key, std::int64_t most) const {
  const GgufValue* const value = find(key);
  if (value == nullptr) return {};
  if (value->type != GgufType::array || value->element != GgufType::text)
    wrong_type(name_, *value, "an array of texts");
  const std::int64_t count = std::min(most, value->count);
  std::vector<std::string_view> result;
  result.reserve(static_cast<std::size_t>(count));  // each element took 8 bytes of the file at least
  std::int64_t offset = value->offset;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto length = static_cast<std::size_t>(read_as<std::uint64_t>(at(offset)));
    result.emplace_back(reinterpret_cast<const char*>(at(offset + 8)), length);
    offset += 8 + static_cast<std::int64_t>(length);
  }
  return result;
}

std::int64_t GgufFile::required_integer(std::string_view key) const {
  return required(key), *integer(key);
}
double GgufFile::required_number(std::string_view key) const {
  return required(key), *number(key);
}
std::string_view GgufFile::required_text(std::string_view key) const {
  return required(key), *text(key);
}
std::vector<std::int64_t> GgufFile::required_integers(std::string_view key) const {
  return required(key), *integers(key);
}
std::vector<std::string_view> GgufFile::required_texts(std::string_view key) const {
  return required(key), *texts(key);
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

std::vector<std::string> GgufFile::part_names() const {
  std::vector<std::string> names{name_};
  for (const GgufFile& shard : shards_) names.push_back(shard.name_);
  return names;
}

const std::string& GgufFile::file_of(const GgufTensor& tensor) const {
  return tensor.shard == 0 ? name_ : shards_[tensor.shard - 1].name_;
}

kernels::ConstTensor GgufFile::view(const GgufTensor& tensor) const {
  if (!tensor.type)
    throw Error(ErrorKind::unsupported,
                file_of(tensor) + ": tensor '" + printable(tensor.name) + "' is " + tensor.type_name +
                    ", a format this build cannot compute with; get the model in Q4_0, Q4_1, Q8_0, "
                    "Q4_K, Q5_K, Q6_K, F16, BF16 or F32");
  kernels::ConstTensor result;
  result.data = (tensor.shard == 0 ? *this : shards_[tensor.shard - 1]).at(tensor.offset);
  result.type = *tensor.type;
  result.rank = static_cast<int>(tensor.shape.size());
  std::ranges::copy(tensor.shape, result.shape.begin());
  return result;
}

kernels::ConstTensor GgufFile::required_tensor(std::string_view name) const {
  const GgufTensor* const tensor = find_tensor(name);
  if (tensor == nullptr) throw Error(ErrorKind::bad_file, name_ + ": tensor '" + std::string(name) + "' is missing");
  return view(*tensor);
}

}  // namespace lectern::inference

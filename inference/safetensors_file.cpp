#include "inference/safetensors_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "inference/gguf_file.h"
#include "inference/json_file.h"
#include "kernels/error.h"

namespace lectern::inference {

using Json = nlohmann::json;
using kernels::DType;

static_assert(std::endian::native == std::endian::little, "safetensors files are read in place");

namespace {

struct TypeInfo {
  const char* name;
  std::int64_t bytes;
  std::optional<DType> type;
};

// Types of the format's description. Integers have no place among weights.
const TypeInfo types[] = {{"F64", 8, {}},     {"F32", 4, DType::f32}, {"F16", 2, DType::f16}, {"BF16", 2, DType::bf16},
                          {"F8_E4M3", 1, {}}, {"F8_E5M2", 1, {}},     {"I64", 8, {}},         {"I32", 4, {}},
                          {"I16", 2, {}},     {"I8", 1, {}},          {"U64", 8, {}},         {"U32", 4, {}},
                          {"U16", 2, {}},     {"U8", 1, {}},          {"BOOL", 1, {}}};

constexpr std::int64_t most_header_bytes = 100'000'000;  // of the format's reference implementation
constexpr std::size_t most_axes = 8;
constexpr std::int64_t most_elements = std::int64_t{1} << 56;

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : name_(path.string()), mapping_(path) {
  parse();
}

SafetensorsFile::SafetensorsFile(std::vector<std::byte> bytes, std::string name)
    : name_(std::move(name)), mapping_(std::move(bytes)) {
  parse();
}

void SafetensorsFile::parse() {
  const auto fail = [&](const std::string& what) { throw Error(ErrorKind::bad_file, name_ + ": " + what); };
  const std::int64_t size = mapping_.size_bytes();
  if (size < 10) fail("is too short for a safetensors file; it is damaged or incomplete");
  std::uint64_t stated = 0;
  std::memcpy(&stated, mapping_.data(), sizeof stated);
  if (stated > static_cast<std::uint64_t>(std::min(most_header_bytes, size - 8)))
    fail("its header is " + std::to_string(stated) +
         " bytes long by its first 8 bytes, which is impossible in a file of " + std::to_string(size) +
         "; it is no safetensors file, or incomplete");
  const auto header_bytes = static_cast<std::int64_t>(stated);
  const Json header =
      parse_json_object({reinterpret_cast<const char*>(mapping_.data()) + 8, static_cast<std::size_t>(stated)}, name_);
  const std::byte* const data = mapping_.data() + 8 + header_bytes;
  const std::int64_t data_bytes = size - 8 - header_bytes;

  std::vector<std::pair<std::int64_t, std::int64_t>> ranges;  // begin and end of each tensor, as in tensors_
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::string what = "tensor '" + printable(name) + "' ";
    if (!entry.is_object()) fail(what + "is not described by an object");
    const JsonKeys keys(entry, name_, printable(name) + ".");
    StoredTensor tensor;
    tensor.name = name;
    tensor.file = name_;
    tensor.type_name = keys.text("dtype").value_or("");
    const auto* const info =
        std::ranges::find_if(types, [&](const TypeInfo& known) { return tensor.type_name == known.name; });
    if (info == std::end(types)) fail(what + "has the unknown type '" + printable(tensor.type_name) + "'");
    tensor.type = info->type;

    const Json* const shape = keys.find("shape");
    if (shape == nullptr || !shape->is_array() || shape->size() > most_axes)
      fail(what + "has no shape of up to 8 axes");
    std::int64_t elements = 1;
    for (const Json& extent : *shape) {
      if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > static_cast<std::uint64_t>(most_elements) ||
          __builtin_mul_overflow(elements, extent.get<std::int64_t>(), &elements) || elements > most_elements)
        fail(what + "has an axis of " + extent.dump().substr(0, 40) + " values, which is impossible");
      tensor.shape.push_back(extent.get<std::int64_t>());
    }

    const Json* const offsets = keys.find("data_offsets");
    if (offsets == nullptr || !offsets->is_array() || offsets->size() != 2 || !(*offsets)[0].is_number_unsigned() ||
        !(*offsets)[1].is_number_unsigned())
      fail(what + "has no pair of data_offsets");
    const auto begin = (*offsets)[0].get<std::uint64_t>(), end = (*offsets)[1].get<std::uint64_t>();
    if (begin > end || end > static_cast<std::uint64_t>(data_bytes))
      fail(what + "ends beyond the end of the file; it is damaged or incomplete");
    tensor.size_bytes = static_cast<std::int64_t>(end - begin);
    if (tensor.size_bytes != elements * info->bytes)
      fail(what + "has " + std::to_string(tensor.size_bytes) + " bytes, but its shape and type need " +
           std::to_string(elements * info->bytes));
    tensor.data = data + begin;
    ranges.emplace_back(static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end));
    tensors_.push_back(std::move(tensor));
  }
  std::ranges::sort(ranges);
  std::int64_t filled = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != filled) fail("its tensors overlap or leave a gap at byte " + std::to_string(begin) + " of the data");
    filled = end;
  }
  if (filled != data_bytes)
    fail("holds " + std::to_string(data_bytes) + " bytes of data, but its tensors fill " + std::to_string(filled));
  std::ranges::stable_sort(tensors_, {}, &StoredTensor::data);
}

}  // namespace lectern::inference

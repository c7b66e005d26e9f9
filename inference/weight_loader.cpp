// What is left at the end is an error, because a tensor that nobody uses (a bias, a norm of another family) means a
// model that would be computed wrongly. Rows are whole runs of blocks in every format, so putting rows in order is a
// copy of bytes, quantized or not; only block-FP8, which no kernel reads, is widened on the way.

#include "inference/weight_loader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "inference/gguf_file.h"
#include "kernels/error.h"

namespace lectern::inference {

using kernels::ConstTensor;
using kernels::DType;

namespace {

std::string text_of(const WeightLoader::Shape& shape) {
  std::string out = "[";
  for (const std::int64_t extent : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(extent);
  return out + "]";
}

float from_f16(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  float magnitude = 0;
  if (exponent == 31)
    magnitude = fraction == 0 ? INFINITY : NAN;
  else if (exponent == 0)
    magnitude = std::ldexp(static_cast<float>(fraction), -24);
  else
    magnitude = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

/// FP8 E4M3 without infinities (OCP 8-bit floating point, "E4M3FN"): 1 sign, 4 exponent (bias 7), 3 fraction bits.
std::array<float, 256> make_e4m3() {
  std::array<float, 256> values{};
  for (int bits = 0; bits < 256; ++bits) {
    const int exponent = (bits >> 3) & 15, fraction = bits & 7;
    float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -9)
                                    : std::ldexp(static_cast<float>(fraction + 8), exponent - 10);
    if ((bits & 127) == 127) magnitude = NAN;
    values[static_cast<std::size_t>(bits)] = (bits & 128) != 0 ? -magnitude : magnitude;
  }
  return values;
}

/// To the nearest bf16, ties to even; NaN stays NaN.
std::uint16_t to_bf16(float value) {
  auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  bits += 0x7FFFU + ((bits >> 16) & 1U);
  return static_cast<std::uint16_t>(bits >> 16);
}

/// Value `index` of a plain tensor, at any address.
float plain_value(const std::byte* data, DType type, std::int64_t index) {
  if (type == DType::f32) {
    float value = 0;
    std::memcpy(&value, data + 4 * index, sizeof value);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, data + 2 * index, sizeof bits);
  return type == DType::f16 ? from_f16(bits) : std::bit_cast<float>(std::uint32_t{bits} << 16);
}

bool is_plain_float(const std::optional<DType>& type) {
  return type == DType::f32 || type == DType::f16 || type == DType::bf16;
}

bool is_aligned(ConstTensor tensor) {
  const auto step =
      static_cast<std::uintptr_t>(kernels::is_quantized(tensor.type) ? 2 : kernels::block_bytes(tensor.type));
  return reinterpret_cast<std::uintptr_t>(tensor.data) % step == 0;
}

std::int64_t blocks_of(std::int64_t count, std::int64_t block) {
  return (count + block - 1) / block;
}

WeightLoader::Shape without_ones(WeightLoader::Shape axes) {
  std::erase(axes, 1);
  return axes;
}

}  // namespace

WeightLoader::WeightLoader(std::string_view model, std::span<const StoredTensor> tensors, Weights& weights, Mode mode)
    : model_(model), tensors_(tensors), weights_(weights), mode_(mode) {
  index_.reserve(tensors.size());
  for (const StoredTensor& tensor : tensors) index_.emplace(tensor.name, &tensor);
}

void WeightLoader::set_scale_block(std::int64_t rows, std::int64_t columns) {
  scale_rows_ = rows;
  scale_columns_ = columns;
}

void WeightLoader::fail(const std::string& name, const std::string& what) const {
  const auto found = index_.find(name);
  throw Error(ErrorKind::bad_file,
              (found == index_.end() ? model_ : found->second->file) + ": tensor '" + printable(name) + "' " + what);
}

WeightLoader::Taken WeightLoader::take(const std::string& name, const Shape& shape) {
  const auto found = index_.find(name);
  if (found == index_.end()) fail(name, "is missing (expected " + text_of(shape) + ")");
  Taken taken;
  taken.tensor = found->second;
  const StoredTensor& tensor = *taken.tensor;
  if (tensor.shape != shape && without_ones(tensor.shape) != without_ones(shape))
    fail(name, "is " + text_of(tensor.shape) + ", expected " + text_of(shape));
  taken.view.data = tensor.data;
  if (tensor.type) {
    taken.view.type = *tensor.type;
  } else if (tensor.type_name == "F8_E4M3") {
    taken.scales = take_scales(tensor, shape);
    taken.view.type = DType::bf16;
  } else {
    throw Error(ErrorKind::unsupported, tensor.file + ": tensor '" + printable(name) + "' is " + tensor.type_name +
                                            ", a format this build cannot compute with; get the model in F32, F16, "
                                            "BF16, FP8 with block scales, Q4_0, Q4_1, Q8_0, Q4_K, Q5_K or Q6_K");
  }
  if (taken.view.type == DType::i32) fail(name, "holds integers, expected weights");
  if (kernels::block_values(taken.view.type) > 1 && tensor.shape.back() != shape.back())
    fail(name, "is " + text_of(tensor.shape) + ", expected " + text_of(shape));
  taken.view.rank = static_cast<int>(shape.size());
  std::ranges::copy(shape, taken.view.shape.begin());
  taken_.insert(name);
  return taken;
}

const StoredTensor* WeightLoader::take_scales(const StoredTensor& tensor, const Shape& shape) {
  const std::string name = tensor.name + "_scale_inv";
  const auto found = index_.find(name);
  if (found == index_.end()) fail(tensor.name, "is FP8, but its scales '" + printable(name) + "' are missing");
  const StoredTensor& scales = *found->second;
  if (shape.size() < 2) fail(tensor.name, "is FP8 with " + std::to_string(shape.size()) + " axis; 2 or 3 are possible");
  Shape expected = shape;
  expected[expected.size() - 2] = blocks_of(shape[shape.size() - 2], scale_rows_);
  expected.back() = blocks_of(shape.back(), scale_columns_);
  if (scales.shape != expected) fail(name, "is " + text_of(scales.shape) + ", expected " + text_of(expected));
  if (!is_plain_float(scales.type)) fail(name, "is " + scales.type_name + "; scales must be F32, F16 or BF16");
  for (std::int64_t i = 0; i < scales.elements(); ++i)
    if (!std::isfinite(plain_value(scales.data, *scales.type, i)))
      fail(name, "holds a value that is not a finite number; the file is damaged");
  taken_.insert(name);
  return &scales;
}

void WeightLoader::widen_row(const Taken& taken, std::int64_t row, std::byte* to) const {
  static const std::array<float, 256> e4m3 = make_e4m3();
  const std::int64_t columns = taken.view.columns(), rows = taken.view.dim(taken.view.rank - 2);
  const std::int64_t across = blocks_of(columns, scale_columns_), down = blocks_of(rows, scale_rows_);
  const std::int64_t scale_row = (row / rows * down + row % rows / scale_rows_) * across;
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(taken.tensor->data) + row * columns;
  for (std::int64_t block = 0; block < across; ++block) {
    const float scale = plain_value(taken.scales->data, *taken.scales->type, scale_row + block);
    const std::int64_t last = std::min(columns, (block + 1) * scale_columns_);
    for (std::int64_t i = block * scale_columns_; i < last; ++i) {
      const std::uint16_t bits = to_bf16(e4m3[bytes[i]] * scale);
      std::memcpy(to + 2 * i, &bits, sizeof bits);
    }
  }
}

void WeightLoader::copy_rows(const Taken& taken, std::int64_t first, std::int64_t count, std::byte* to) const {
  const std::int64_t bytes = kernels::row_bytes(taken.view.type, taken.view.columns());
  if (taken.scales == nullptr)
    std::memcpy(to, taken.view.data + first * bytes, static_cast<std::size_t>(count * bytes));
  else
    for (std::int64_t i = 0; i < count; ++i) widen_row(taken, first + i, to + i * bytes);
}

ConstTensor WeightLoader::matrix(const std::string& name, const Shape& shape) {
  const Taken taken = take(name, shape);
  ConstTensor result = taken.view;
  if (taken.scales == nullptr && is_aligned(result)) {
    weights_.mapped_bytes += result.size_bytes();
    return result;
  }
  std::byte* const copy = own(result.size_bytes());
  if (copy != nullptr) copy_rows(taken, 0, result.rows(), copy);
  result.data = copy;
  return result;
}

ConstTensor WeightLoader::small(const std::string& name, const Shape& shape, Change change) {
  const Taken taken = take(name, shape);
  if (!is_plain_float(taken.tensor->type))
    throw Error(ErrorKind::unsupported, taken.tensor->file + ": tensor '" + printable(name) + "' is " +
                                            taken.tensor->type_name + "; it must be F32, F16 or BF16");
  ConstTensor result = taken.view;
  const std::int64_t count = result.elements();
  std::byte* wide = nullptr;
  const bool in_place = result.type == DType::f32 && change == Change::none && is_aligned(result);
  if (in_place) {
    weights_.mapped_bytes += result.size_bytes();
  } else {
    wide = own(count * 4);
    result.data = wide;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    float value = plain_value(taken.view.data, taken.view.type, i);
    if (change == Change::add_one) value += 1.0F;
    if (change == Change::negative_exponential) value = static_cast<float>(-std::exp(static_cast<double>(value)));
    if (!std::isfinite(value)) fail(name, "holds a value that is not a finite number; the file is damaged");
    if (wide != nullptr) std::memcpy(wide + 4 * i, &value, sizeof value);
  }
  result.type = DType::f32;
  return result;
}

ConstTensor WeightLoader::reordered(const std::string& name, const Shape& shape, std::int64_t rows,
                                    const std::function<std::int64_t(std::int64_t)>& source_row) {
  const Taken taken = take(name, shape);
  const std::int64_t columns = taken.view.columns(), bytes = kernels::row_bytes(taken.view.type, columns);
  std::byte* const copy = own(rows * bytes);
  if (copy != nullptr)
    for (std::int64_t i = 0; i < rows; ++i) copy_rows(taken, source_row(i), 1, copy + i * bytes);
  return ConstTensor(copy, taken.view.type, {rows, columns});
}

ConstTensor WeightLoader::stacked(std::span<const std::string> names, const Shape& shape) {
  std::vector<Taken> parts;
  parts.reserve(names.size());
  for (const std::string& name : names) {
    parts.push_back(take(name, shape));
    if (parts.back().view.type != parts.front().view.type)
      fail(name, "is " + parts.back().tensor->type_name + ", but '" + printable(names.front()) + "' is " +
                     parts.front().tensor->type_name + "; the experts of a layer must be of one type");
  }
  const ConstTensor one = parts.front().view;
  const auto count = static_cast<std::int64_t>(parts.size());
  std::byte* const copy = own(count * one.size_bytes());
  if (copy != nullptr)
    for (std::int64_t i = 0; i < count; ++i)
      copy_rows(parts[static_cast<std::size_t>(i)], 0, one.rows(), copy + i * one.size_bytes());
  return ConstTensor(copy, one.type, {count, one.rows(), one.columns()});
}

void WeightLoader::require_finite(const std::string& name) const {
  const StoredTensor& tensor = *index_.at(name);
  if (!is_plain_float(tensor.type)) return;
  for (std::int64_t i = 0; i < tensor.elements(); ++i)
    if (!std::isfinite(plain_value(tensor.data, *tensor.type, i)))
      fail(name, "holds a value that is not a finite number; the file is damaged");
}

void WeightLoader::require_all_taken() const {
  for (const StoredTensor& tensor : tensors_)
    if (!taken_.contains(tensor.name))
      throw Error(ErrorKind::unsupported, tensor.file + ": tensor '" + printable(tensor.name) + "' " +
                                              text_of(tensor.shape) +
                                              " has no place in this model family; this build cannot run the model");
}

std::byte* WeightLoader::own(std::int64_t bytes) {
  weights_.owned_bytes += bytes;
  if (mode_ == Mode::check) return nullptr;
  weights_.owned.emplace_back(bytes);
  return weights_.owned.back().data();
}

}  // namespace lectern::inference

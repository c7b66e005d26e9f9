// A typed, shaped, non-owning view of memory. Slowest axis first, last axis contiguous, no padding.
// The letters used for shapes are defined in kernels/README.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace lectern::kernels {

/// Element types. The block types quantize runs of 32 or 256 values of the last axis (quant_blocks.h).
enum class DType : std::uint8_t { f32, f16, bf16, i32, q4_0, q4_1, q8_0, q4_k, q5_k, q6_k };

/// Values per block: 1 for plain types, 32 or 256 for quantized ones.
std::int64_t block_values(DType type);
/// Bytes of one block (of one value for plain types).
std::int64_t block_bytes(DType type);
/// Bytes of one row of `columns` values. Throws Error{unsupported} if `columns` is not a whole number of blocks.
std::int64_t row_bytes(DType type, std::int64_t columns);
const char* name(DType type);
inline bool is_quantized(DType type) {
  return type >= DType::q4_0;
}

namespace detail {
template <class Byte>
struct BasicTensor {
  Byte* data = nullptr;
  DType type = DType::f32;
  int rank = 0;
  std::array<std::int64_t, 4> shape{};  // shape[0..rank)
  bool packed = false;                  // quantized weights whose rows are packed (cpu/packed_rows.h)

  BasicTensor() = default;
  template <class T>
  BasicTensor(T* pointer, DType dtype, std::initializer_list<std::int64_t> dims)
      : data(reinterpret_cast<Byte*>(pointer)), type(dtype), rank(static_cast<int>(dims.size())) {
    int axis = 0;
    for (std::int64_t extent : dims) shape[static_cast<std::size_t>(axis++)] = extent;
  }
  template <class Other>
  BasicTensor(const BasicTensor<Other>& other)  // Tensor -> ConstTensor
      : data(other.data), type(other.type), rank(other.rank), shape(other.shape), packed(other.packed) {}

  std::int64_t dim(int axis) const { return shape[static_cast<std::size_t>(axis)]; }
  /// The last axis.
  std::int64_t columns() const { return rank == 0 ? 0 : dim(rank - 1); }
  /// Product of all axes but the last.
  std::int64_t rows() const {
    std::int64_t product = rank == 0 ? 0 : 1;
    for (int axis = 0; axis + 1 < rank; ++axis) product *= dim(axis);
    return product;
  }
  std::int64_t elements() const { return rows() * columns(); }
  std::int64_t size_bytes() const { return rows() * row_bytes(type, columns()); }
  explicit operator bool() const { return data != nullptr; }
};
}  // namespace detail

using Tensor = detail::BasicTensor<std::byte>;
using ConstTensor = detail::BasicTensor<const std::byte>;

/// f32 view of a pointer: the common case.
inline Tensor f32_view(float* data, std::initializer_list<std::int64_t> dims) {
  return {data, DType::f32, dims};
}
inline ConstTensor f32_view(const float* data, std::initializer_list<std::int64_t> dims) {
  return {data, DType::f32, dims};
}

}  // namespace lectern::kernels

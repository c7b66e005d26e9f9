#include "kernel_test.h"

namespace lectern::kernels::test {

namespace {

void put_half(std::vector<std::byte>& bytes, std::size_t at, float value) {
  const std::uint16_t half = to_half(value);
  std::memcpy(bytes.data() + at, &half, 2);
}

}  // namespace

Weights random_weights(DType type, std::int64_t rows, std::int64_t columns, unsigned seed) {
  Random random(seed);
  Weights w;
  w.type = type;
  w.rows = rows;
  w.columns = columns;
  const std::int64_t row = row_bytes(type, columns);
  w.bytes.resize(static_cast<std::size_t>(rows * row));
  const std::int64_t elements = rows * columns;
  if (!is_quantized(type)) {
    for (std::int64_t i = 0; i < elements; ++i) {
      const float value = 0.05f * random.normal();
      const std::uint16_t half = type == DType::f16 ? to_half(value) : to_bf16(value);
      const auto at = static_cast<std::size_t>(i);
      if (type == DType::f32)
        std::memcpy(w.bytes.data() + 4 * at, &value, 4);
      else
        std::memcpy(w.bytes.data() + 2 * at, &half, 2);
    }
  } else {
    // Any bytes are valid quants; only the half-precision scales must be sane numbers.
    for (std::byte& byte : w.bytes) byte = static_cast<std::byte>(random.bits() & 255u);
    const auto block = static_cast<std::size_t>(block_bytes(type));
    for (std::size_t at = 0; at < w.bytes.size(); at += block) {
      const float d = 0.01f * (1.0f + 0.3f * random.normal());
      if (type == DType::q6_k)
        put_half(w.bytes, at + 208, 0.01f * d);
      else
        put_half(w.bytes, at, type >= DType::q4_k ? 0.02f * d : d);
      if (type == DType::q4_1) put_half(w.bytes, at + 2, -8 * d);
      if (type == DType::q4_k || type == DType::q5_k) put_half(w.bytes, at + 2, 0.1f * d);
    }
  }
  w.values.resize(static_cast<std::size_t>(elements));
  for (std::int64_t r = 0; r < rows; ++r)
    cpu::dequantize_row(type, w.bytes.data() + r * row, columns, w.values.data() + r * columns);
  return w;
}

}  // namespace lectern::kernels::test

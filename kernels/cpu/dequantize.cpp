// Block by block as the formulas of quant_blocks.h say, independent of paths/unpack.h: each checks the other in the
// tests.
#include "kernels/cpu/dequantize.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/quant_blocks.h"

namespace lectern::kernels::cpu {

float half_to_float(std::uint16_t half) {
  const int exponent = (half >> 10) & 31, mantissa = half & 1023;
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | static_cast<std::uint32_t>(mantissa) << 13);
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                        : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
}

float bf16_to_float(std::uint16_t value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

namespace {

void dequantize(const BlockQ4_0& b, float* out) {
  const float d = half_to_float(b.d);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((b.q[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((b.q[i] >> 4) - 8);
  }
}

void dequantize(const BlockQ4_1& b, float* out) {
  const float d = half_to_float(b.d), m = half_to_float(b.m);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(b.q[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(b.q[i] >> 4) + m;
  }
}

void dequantize(const BlockQ8_0& b, float* out) {
  const float d = half_to_float(b.d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(b.q[i]);
}

struct ScaleMin {
  int scale, minimum;
};

ScaleMin scale_min(const std::uint8_t* packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  const int low = packed[group + 4];
  return {(low & 15) | (packed[group - 4] >> 6 << 4), (low >> 4) | (packed[group] >> 6 << 4)};
}

/// Value i of a K block of 4 or 5 bits.
template <class Block, class Quant>
void dequantize_groups(const Block& b, Quant quant, float* out) {
  const float d = half_to_float(b.d), dmin = half_to_float(b.dmin);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin factors = scale_min(b.scales, group);
    const float scale = d * static_cast<float>(factors.scale), minimum = dmin * static_cast<float>(factors.minimum);
    for (int i = 0; i < 32; ++i) out[group * 32 + i] = scale * static_cast<float>(quant(group, i)) - minimum;
  }
}

void dequantize(const BlockQ4_K& b, float* out) {
  dequantize_groups(
      b, [&](int group, int i) { return b.q[group / 2 * 32 + i] >> (group % 2 * 4) & 15; }, out);
}

void dequantize(const BlockQ5_K& b, float* out) {
  dequantize_groups(
      b,
      [&](int group, int i) {
        return (b.q[group / 2 * 32 + i] >> (group % 2 * 4) & 15) | (b.high[i] >> group & 1) << 4;
      },
      out);
}

void dequantize(const BlockQ6_K& b, float* out) {
  const float d = half_to_float(b.d);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, at = i % 32;
    const int low = b.low[half * 64 + quarter % 2 * 32 + at] >> (quarter / 2 * 4) & 15;
    const int high = b.high[half * 32 + at] >> (quarter * 2) & 3;
    out[i] = d * static_cast<float>(b.scales[i / 16]) * static_cast<float>((low | high << 4) - 32);
  }
}

template <class Block>
void dequantize_blocks(const std::byte* row, std::int64_t columns, float* out) {
  for (std::int64_t b = 0; b < columns / Block::values; ++b) {
    Block block;
    std::memcpy(&block, row + b * static_cast<std::int64_t>(sizeof block), sizeof block);
    dequantize(block, out + b * Block::values);
  }
}

template <class Stored, class Convert>
void convert(const std::byte* row, std::int64_t columns, float* out, Convert to_float) {
  for (std::int64_t i = 0; i < columns; ++i) {
    Stored value;
    std::memcpy(&value, row + i * static_cast<std::int64_t>(sizeof value), sizeof value);
    out[i] = to_float(value);
  }
}

}  // namespace

void dequantize_row(DType type, const std::byte* row, std::int64_t columns, float* out) {
  switch (type) {
    case DType::f32: std::memcpy(out, row, static_cast<std::size_t>(columns) * 4); break;
    case DType::f16: convert<std::uint16_t>(row, columns, out, half_to_float); break;
    case DType::bf16: convert<std::uint16_t>(row, columns, out, bf16_to_float); break;
    case DType::i32:
      convert<std::int32_t>(row, columns, out, [](std::int32_t x) { return static_cast<float>(x); });
      break;
    case DType::q4_0: dequantize_blocks<BlockQ4_0>(row, columns, out); break;
    case DType::q4_1: dequantize_blocks<BlockQ4_1>(row, columns, out); break;
    case DType::q8_0: dequantize_blocks<BlockQ8_0>(row, columns, out); break;
    case DType::q4_k: dequantize_blocks<BlockQ4_K>(row, columns, out); break;
    case DType::q5_k: dequantize_blocks<BlockQ5_K>(row, columns, out); break;
    case DType::q6_k: dequantize_blocks<BlockQ6_K>(row, columns, out); break;
  }
}

}  // namespace lectern::kernels::cpu

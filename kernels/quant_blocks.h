// The block layouts of quantized GGUF tensors, byte for byte (little endian, no padding).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lectern::kernels {

/// IEEE half precision, as stored.
using Half = std::uint16_t;

/// x_i = d * (q_i - 8). Values 0..15 in the low nibbles of q[0..16), values 16..31 in the high ones.
struct BlockQ4_0 {
  static constexpr std::int64_t values = 32;
  Half d;
  std::uint8_t q[16];
};
/// x_i = d * q_i + m; nibbles as in Q4_0.
struct BlockQ4_1 {
  static constexpr std::int64_t values = 32;
  Half d;
  Half m;
  std::uint8_t q[16];
};
/// x_i = d * q_i.
struct BlockQ8_0 {
  static constexpr std::int64_t values = 32;
  Half d;
  std::int8_t q[32];
};
/// Eight groups of 32: x_i = d * scale_g * q_i - dmin * min_g. scales: eight 6-bit scales and eight 6-bit minima
/// (see k_scale_min). Group 2p has the low nibbles of q[32p..32p+32), group 2p+1 the high ones.
struct BlockQ4_K {
  static constexpr std::int64_t values = 256;
  Half d;
  Half dmin;
  std::uint8_t scales[12];
  std::uint8_t q[128];
};
/// As Q4_K with a fifth bit: bit g of high[i] belongs to value i of group g.
struct BlockQ5_K {
  static constexpr std::int64_t values = 256;
  Half d;
  Half dmin;
  std::uint8_t scales[12];
  std::uint8_t high[32];
  std::uint8_t q[128];
};
/// Sixteen groups of 16: x_i = d * scale_g * (q_i - 32). In each half of 128 values: value i of quarter c (32 values)
/// has its low four bits in nibble c/2 of low[64 * half + 32 * (c % 2) + i], its high two in bits 2c of high[32 * half
/// + i].
struct BlockQ6_K {
  static constexpr std::int64_t values = 256;
  std::uint8_t low[128];
  std::uint8_t high[64];
  std::int8_t scales[16];
  Half d;
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

}  // namespace lectern::kernels

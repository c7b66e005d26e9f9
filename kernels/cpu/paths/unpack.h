// From the blocks of a weight row to one form for all quantized types: w = scale * (byte - zero_point) + offset per
// group of 32 values (Q6_K: 16), bytes unsigned and in order. Types without a minimum have a zero point and no offset;
// types with one have an offset and zero point 0.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_eight.h"
#include "kernels/quant_blocks.h"

namespace lectern::kernels::cpu {
namespace {

// Each unpack writes Block::values bytes and, for each group, {scale, offset}.

inline void unpack(const BlockQ4_0& block, uint8_t* out, float* scales) {
  store_bytes(out, nibbles_of_16(block.q));
  store_halves(scales, block.d);
}

inline void unpack(const BlockQ4_1& block, uint8_t* out, float* scales) {
  store_bytes(out, nibbles_of_16(block.q));
  uint32_t both_scales;
  __builtin_memcpy(&both_scales, &block, 4);
  store_halves(scales, both_scales);
}

inline void unpack(const BlockQ8_0& block, uint8_t* out, float* scales) {
  store_bytes(out, flipped(load_bytes(block.q), bytes(0x80)));
  store_halves(scales, block.d);
}

/// The scales and minima of the eight groups of a Q4_K or Q5_K block, a byte each: 16 six-bit numbers in 12 bytes. The
/// first four of each kind stand in the low six bits of bytes 0..3 and 4..7; of the others, bytes 8..11 hold the low
/// four bits (scales low, minima high) and the top two bits of bytes 0..3 and 4..7 the rest.
inline void unpack_k_bytes(const uint8_t* packed, uint64_t& scales, uint64_t& minima) {
  uint32_t word[3];
  __builtin_memcpy(word, packed, 12);
  const uint32_t high_scales = (word[2] & 0x0f0f0f0fu) | ((word[0] >> 2) & 0x30303030u);
  const uint32_t high_minima = ((word[2] >> 4) & 0x0f0f0f0fu) | ((word[1] >> 2) & 0x30303030u);
  scales = (word[0] & 0x3f3f3f3fu) | static_cast<uint64_t>(high_scales) << 32;
  minima = (word[1] & 0x3f3f3f3fu) | static_cast<uint64_t>(high_minima) << 32;
}

/// {d * scale_g, -dmin * min_g} of groups 0..3, then of 4..7.
inline void unpack_k_pairs(const uint8_t* packed, float d, float dmin, F32x8 (&out)[2]) {
  uint64_t scales, minima;
  unpack_k_bytes(packed, scales, minima);
  bytes_in_turn(scales, minima, out);
  const F32x8 factors = {d, -dmin, d, -dmin, d, -dmin, d, -dmin};
  for (F32x8& part : out) part = part * factors;
}

inline void unpack_k_scales(const uint8_t* packed, float d, float dmin, float* scales) {
  F32x8 pairs[2];
  unpack_k_pairs(packed, d, dmin, pairs);
  __builtin_memcpy(scales, pairs, 64);
}

inline void unpack(const BlockQ4_K& block, uint8_t* out, float* scales) {
  for (int pair = 0; pair < 4; ++pair) {
    const U8x32 q = load_bytes(block.q + 32 * pair);
    store_bytes(out + 64 * pair, both(q, bytes(15)));
    store_bytes(out + 64 * pair + 32, both(shift_right<4>(q), bytes(15)));
  }
  unpack_k_scales(block.scales, half_to_f32(block.d), half_to_f32(block.dmin), scales);
}

inline void unpack(const BlockQ5_K& block, uint8_t* out, float* scales) {
  U8x32 high = load_bytes(block.high);  // bit 0 belongs to the group at hand
  for (int pair = 0; pair < 4; ++pair) {
    const U8x32 q = load_bytes(block.q + 32 * pair);
    store_bytes(out + 64 * pair, either(both(q, bytes(15)), both(shift_left<4>(high), bytes(16))));
    store_bytes(out + 64 * pair + 32, either(both(shift_right<4>(q), bytes(15)), both(shift_left<3>(high), bytes(16))));
    high = shift_right<2>(high);  // what comes over from the next byte is never looked at
  }
  unpack_k_scales(block.scales, half_to_f32(block.d), half_to_f32(block.dmin), scales);
}

inline void unpack(const BlockQ6_K& block, uint8_t* out, float* scales) {
  for (int half = 0; half < 2; ++half) {
    const U8x32 low0 = load_bytes(block.low + 64 * half), low1 = load_bytes(block.low + 64 * half + 32);
    const U8x32 high = load_bytes(block.high + 32 * half);
    uint8_t* to = out + 128 * half;
    store_bytes(to, either(both(low0, bytes(15)), both(shift_left<4>(high), bytes(0x30))));
    store_bytes(to + 32, either(both(low1, bytes(15)), both(shift_left<2>(high), bytes(0x30))));
    store_bytes(to + 64, either(both(shift_right<4>(low0), bytes(15)), both(high, bytes(0x30))));
    store_bytes(to + 96, either(both(shift_right<4>(low1), bytes(15)), both(shift_right<2>(high), bytes(0x30))));
  }
  const F32x8 d = set8(half_to_f32(block.d)), none = set8(0.0f);
  for (int half = 0; half < 2; ++half) {
    F32x8 pairs[2];
    lanes_in_turn(d * to_f32x8(load8_i8(block.scales + 8 * half)), none, pairs);
    __builtin_memcpy(scales + 16 * half, pairs, 64);
  }
}

// The same in registers: 32 bytes, and scales as lanes.

inline U8x32 unpacked_bytes(const BlockQ4_0& block) {
  return nibbles_of_16(block.q);
}
inline U8x32 unpacked_bytes(const BlockQ4_1& block) {
  return nibbles_of_16(block.q);
}
inline U8x32 unpacked_bytes(const BlockQ8_0& block) {
  return flipped(load_bytes(block.q), bytes(0x80));
}

/// Lanes 0 and 1: scale and offset.
inline F32x8 scale_pair(const BlockQ4_0& block) {
  return halves_pair(block.d);
}
inline F32x8 scale_pair(const BlockQ4_1& block) {
  uint32_t two;
  __builtin_memcpy(&two, &block, 4);
  return halves_pair(two);
}
inline F32x8 scale_pair(const BlockQ8_0& block) {
  return halves_pair(block.d);
}

template <int g>
inline U8x32 group_bytes(const BlockQ4_K& block) {
  const U8x32 q = load_bytes(block.q + g / 2 * 32);
  return both(g % 2 == 0 ? q : shift_right<4>(q), bytes(15));
}
template <int g>
inline U8x32 group_bytes(const BlockQ5_K& block) {
  const U8x32 q = load_bytes(block.q + g / 2 * 32), high = load_bytes(block.high);
  // Bit g of each byte to place 4.
  const U8x32 fifth =
      both(g <= 4 ? shift_left<(g <= 4 ? 4 - g : 0)>(high) : shift_right<(g > 4 ? g - 4 : 0)>(high), bytes(16));
  return either(both(g % 2 == 0 ? q : shift_right<4>(q), bytes(15)), fifth);
}
template <int g>
inline U8x32 group_bytes(const BlockQ6_K& block) {
  constexpr int half = g / 4, quarter = g % 4;
  const U8x32 low = load_bytes(block.low + 64 * half + 32 * (quarter % 2));
  const U8x32 high = load_bytes(block.high + 32 * half);
  constexpr int left = quarter < 2 ? 4 - 2 * quarter : 0, right = quarter == 3 ? 2 : 0;  // bits 2q, 2q + 1 to 4, 5
  const U8x32 top = both(quarter < 2 ? shift_left<left>(high) : shift_right<right>(high), bytes(0x30));
  return either(both(quarter < 2 ? low : shift_right<4>(low), bytes(15)), top);
}

/// Calls body<0>(), body<1>() ... body<count - 1>().
template <int count, class Body>
inline void for_groups(Body body) {
  if constexpr (count > 0) {
    for_groups<count - 1>(body);
    body.template operator()<count - 1>();
  }
}

/// Values [column, column + n) of a row of 16 or 32 bits as f32. Reads whole rows only; writes n values.
inline void copy_floats(const WeightRows& w, int64_t row, int64_t column, int64_t n, float* out) {
  const std::byte* data = w.data + row * w.row_bytes;
  if (w.type == DType::f32) {
    __builtin_memcpy(out, reinterpret_cast<const float*>(data) + column, static_cast<size_t>(n) * 4);
    return;
  }
  const uint16_t* from = reinterpret_cast<const uint16_t*>(data) + column;
  int64_t i = 0;
  if (w.type == DType::bf16) {
    for (; i + lanes <= n; i += lanes) store(out + i, load_bf16(from + i));
    for (; i < n; ++i) out[i] = bf16_to_f32(from[i]);
  } else {
    for (; i + lanes <= n; i += lanes) store(out + i, load_half(from + i));
    for (; i < n; ++i) out[i] = half_to_f32(from[i]);
  }
}

/// The row itself if it is f32, else a converted copy in `copy`.
inline const float* float_values(const WeightRows& w, int64_t row, int64_t column, int64_t n, float* copy) {
  if (w.type == DType::f32) return reinterpret_cast<const float*>(w.data + row * w.row_bytes) + column;
  copy_floats(w, row, column, n, copy);
  return copy;
}

}  // namespace
}  // namespace lectern::kernels::cpu

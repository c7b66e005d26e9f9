// From the blocks of a weight row to one form for all quantized types: w = scale * (byte - zero_point) + offset per
// group of 32 values (Q6_K: 16), bytes unsigned (Q8_0 as words: signed) and in order. Types without a minimum have a zero point and no offset;
// types with one have an offset and zero point 0.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_eight.h"
#include "kernels/quant_blocks.h"

namespace lectern::kernels::cpu {
namespace {

// unpack_scales: {scale, offset} of each group of a block.

inline void unpack_scales(const BlockQ4_0& block, float* scales) {
  store_halves(scales, block.d);
}

inline void unpack_scales(const BlockQ4_1& block, float* scales) {
  uint32_t both_scales;
  __builtin_memcpy(&both_scales, &block, 4);
  store_halves(scales, both_scales);
}

inline void unpack_scales(const BlockQ8_0& block, float* scales) {
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

template <class Block>
inline void unpack_k_scales(const Block& block, float* scales) {
  F32x8 pairs[2];
  unpack_k_pairs(block.scales, half_to_f32(block.d), half_to_f32(block.dmin), pairs);
  __builtin_memcpy(scales, pairs, 64);
}
inline void unpack_scales(const BlockQ4_K& block, float* scales) {
  unpack_k_scales(block, scales);
}
inline void unpack_scales(const BlockQ5_K& block, float* scales) {
  unpack_k_scales(block, scales);
}

inline void unpack_scales(const BlockQ6_K& block, float* scales) {
  const F32x8 d = set8(half_to_f32(block.d)), none = set8(0.0f);
  for (int half = 0; half < 2; ++half) {
    F32x8 pairs[2];
    lanes_in_turn(d * to_f32x8(load8_i8(block.scales + 8 * half)), none, pairs);
    __builtin_memcpy(scales + 16 * half, pairs, 64);
  }
}

// interleave_256: 256 values of `lanes` rows, a vector holding the same four of each row: put(i, v) for values 4i to 4i
// + 3. The packed bytes are transposed first and taken apart afterwards, which moves half the data that unpacked ones
// would. Blocks of a row follow each other; `pieces` (at most 8) are the 32 values of each that there are.

template <class Block>
using BlockRows = const Block* const (&)[lanes];

/// 32 bytes of each row, from `member` of its block on.
template <class Block, class Member>
inline void transpose_bytes(BlockRows<Block> rows, Member member, I32 (&out)[8]) {
  U8x32 bytes_of_rows[lanes];
  for (int i = 0; i < lanes; ++i) bytes_of_rows[i] = load_bytes(member(*rows[i]));
  transpose_eight(bytes_of_rows, out);
}

/// Q4_0 and Q4_1: two blocks at a time; values 0..15 are the low nibbles of a block's 16 bytes.
template <class Block, class Put>
inline void interleave_nibbles(BlockRows<Block> rows, int64_t pieces, Put put) {
  const I32 low = iset1(0x0f0f0f0f);
  for (int64_t piece = 0; piece < pieces; piece += 2) {
    const int64_t second = piece + 1 < pieces ? piece + 1 : piece;  // past the end: this one again, which nobody reads
    U8x32 two[lanes];
    for (int i = 0; i < lanes; ++i) two[i] = join_16(rows[i][piece].q, rows[i][second].q);
    I32 words[8];
    transpose_eight(two, words);
    for (int w = 0; w < 8; ++w) {
      const int64_t at = (piece + w / 4) * 8 + w % 4;
      put(at, bits_of(words[w], low));
      put(at + 4, bits_of(shift_bytes_right<4>(words[w]), low));
    }
  }
}
template <class Put>
inline void interleave_256(BlockRows<BlockQ4_0> rows, int64_t pieces, Put put) {
  interleave_nibbles<BlockQ4_0>(rows, pieces, put);
}
template <class Put>
inline void interleave_256(BlockRows<BlockQ4_1> rows, int64_t pieces, Put put) {
  interleave_nibbles<BlockQ4_1>(rows, pieces, put);
}

/// Signed, as they are.
template <class Put>
inline void interleave_256(BlockRows<BlockQ8_0> rows, int64_t pieces, Put put) {
  for (int64_t piece = 0; piece < pieces; ++piece) {
    I32 words[8];
    transpose_bytes<BlockQ8_0>(rows, [&](const BlockQ8_0& block) { return (&block)[piece].q; }, words);
    for (int w = 0; w < 8; ++w) put(piece * 8 + w, words[w]);
  }
}

template <class Put>
inline void interleave_256(BlockRows<BlockQ4_K> rows, int64_t, Put put) {
  const I32 low = iset1(0x0f0f0f0f);
  for (int64_t pair = 0; pair < 4; ++pair) {
    I32 words[8];
    transpose_bytes<BlockQ4_K>(rows, [&](const BlockQ4_K& block) { return block.q + 32 * pair; }, words);
    for (int w = 0; w < 8; ++w) {
      put(pair * 16 + w, bits_of(words[w], low));
      put(pair * 16 + 8 + w, bits_of(shift_bytes_right<4>(words[w]), low));
    }
  }
}

template <class Put>
inline void interleave_256(BlockRows<BlockQ5_K> rows, int64_t, Put put) {
  const I32 low = iset1(0x0f0f0f0f), fifth = iset1(0x10101010);
  I32 high[8];  // bit 0 belongs to the group at hand
  transpose_bytes<BlockQ5_K>(rows, [](const BlockQ5_K& block) { return block.high; }, high);
  for (int64_t pair = 0; pair < 4; ++pair) {
    I32 words[8];
    transpose_bytes<BlockQ5_K>(rows, [&](const BlockQ5_K& block) { return block.q + 32 * pair; }, words);
    for (int w = 0; w < 8; ++w) {
      put(pair * 16 + w, bits_of_either(bits_of(words[w], low), bits_of(shift_bytes_left<4>(high[w]), fifth)));
      put(pair * 16 + 8 + w, bits_of_either(bits_of(shift_bytes_right<4>(words[w]), low),
                                            bits_of(shift_bytes_left<3>(high[w]), fifth)));
      high[w] = shift_bytes_right<2>(high[w]);  // what comes over from the next byte is never looked at
    }
  }
}

template <class Put>
inline void interleave_256(BlockRows<BlockQ6_K> rows, int64_t, Put put) {
  const I32 low = iset1(0x0f0f0f0f), top = iset1(0x30303030);
  for (int64_t half = 0; half < 2; ++half) {
    I32 high[8];
    transpose_bytes<BlockQ6_K>(rows, [&](const BlockQ6_K& block) { return block.high + 32 * half; }, high);
    for (int64_t part = 0; part < 2; ++part) {  // quarters `part` and `part` + 2
      I32 words[8];
      transpose_bytes<BlockQ6_K>(rows, [&](const BlockQ6_K& block) { return block.low + 64 * half + 32 * part; }, words);
      for (int w = 0; w < 8; ++w) {
        const I32 lower = part == 0 ? shift_bytes_left<4>(high[w]) : shift_bytes_left<2>(high[w]);
        const I32 upper = part == 0 ? high[w] : shift_bytes_right<2>(high[w]);
        const int64_t at = half * 32 + part * 8 + w;
        put(at, bits_of_either(bits_of(words[w], low), bits_of(lower, top)));
        put(at + 16, bits_of_either(bits_of(shift_bytes_right<4>(words[w]), low), bits_of(upper, top)));
      }
    }
  }
}

// One row in registers: 32 bytes, and scales as lanes.

inline U8x32 unpacked_bytes(const BlockQ4_0& block) {
  return nibbles_of_16(block.q);
}
inline U8x32 unpacked_bytes(const BlockQ4_1& block) {
  return nibbles_of_16(block.q);
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

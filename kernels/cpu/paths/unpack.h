// From the blocks of a weight row to one form for all quantized types: w = scale * (byte - zero_point) + offset per
// group of 32 values (Q6_K: 16), bytes unsigned and in order. Types without a minimum have a zero point and no offset;
// types with one have an offset and zero point 0.
#pragma once

#include "kernels/cpu/simd.h"
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

/// {d * scale_g, -dmin * min_g} of the eight groups of a Q4_K or Q5_K block: 16 six-bit numbers in 12 bytes. The first
/// four of each kind stand in the low six bits of bytes 0..3 and 4..7; of the others, bytes 8..11 hold the low four
/// bits (scales low, minima high) and the top two bits of bytes 0..3 and 4..7 the rest. Four bytes are handled as one
/// word.
inline void unpack_k_scales(const uint8_t* packed, float d, float dmin, float* scales) {
  uint32_t word[3];
  __builtin_memcpy(word, packed, 12);
  const uint32_t scale_words[2] = {word[0] & 0x3f3f3f3fu, (word[2] & 0x0f0f0f0fu) | ((word[0] >> 2) & 0x30303030u)};
  const uint32_t minimum_words[2] = {word[1] & 0x3f3f3f3fu,
                                     ((word[2] >> 4) & 0x0f0f0f0fu) | ((word[1] >> 2) & 0x30303030u)};
  int8_t pairs[16];
  float factors[lanes];
  for (int g = 0; g < 8; ++g) {
    pairs[2 * g] = static_cast<int8_t>((scale_words[g / 4] >> (g % 4 * 8)) & 255u);
    pairs[2 * g + 1] = static_cast<int8_t>((minimum_words[g / 4] >> (g % 4 * 8)) & 255u);
  }
  for (int i = 0; i < lanes; i += 2) {
    factors[i] = d;
    factors[i + 1] = -dmin;
  }
  for (int i = 0; i < 16; i += lanes) store(scales + i, to_f32(load_i8(pairs + i)) * load(factors));
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
  int8_t pairs[32];
  for (int g = 0; g < 16; ++g) {
    pairs[2 * g] = block.scales[g];
    pairs[2 * g + 1] = 0;
  }
  const F32 d = set1(half_to_f32(block.d));
  for (int i = 0; i < 32; i += lanes) store(scales + i, to_f32(load_i8(pairs + i)) * d);
}

}  // namespace
}  // namespace lectern::kernels::cpu

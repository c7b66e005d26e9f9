// From the blocks of a weight row to one form for all quantized types: w = scale * (byte - zero_point) + offset per
// group of 32 values (Q6_K: 16), bytes unsigned and in order. Types without a minimum have a zero point and no offset;
// types with one have an offset and zero point 0. Plain loops: the compiler turns each into a few vector instructions.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/quant_blocks.h"

namespace lectern::kernels::cpu {
namespace {

/// Six-bit scale and minimum of group g of a K block of type 4 or 5 (GGUF's packing of 16 six-bit numbers in 12 bytes).
inline void k_scale_min(const uint8_t* packed, int g, float* scale, float* minimum) {
  int s, m;
  if (g < 4) {
    s = packed[g] & 63;
    m = packed[g + 4] & 63;
  } else {
    s = (packed[g + 4] & 15) | ((packed[g - 4] >> 6) << 4);
    m = (packed[g + 4] >> 4) | ((packed[g] >> 6) << 4);
  }
  *scale = static_cast<float>(s);
  *minimum = static_cast<float>(m);
}

inline void split_nibbles(const uint8_t* q, int count, uint8_t* low, uint8_t* high) {
  for (int i = 0; i < count; ++i) low[i] = q[i] & 15;
  for (int i = 0; i < count; ++i) high[i] = q[i] >> 4;
}

// Each unpack writes Block::values bytes and, for each group, {scale, offset}.

inline void unpack(const BlockQ4_0& block, uint8_t* bytes, float* scales) {
  split_nibbles(block.q, 16, bytes, bytes + 16);
  scales[0] = half_to_f32(block.d);
  scales[1] = 0.0f;
}

inline void unpack(const BlockQ4_1& block, uint8_t* bytes, float* scales) {
  split_nibbles(block.q, 16, bytes, bytes + 16);
  scales[0] = half_to_f32(block.d);
  scales[1] = half_to_f32(block.m);
}

inline void unpack(const BlockQ8_0& block, uint8_t* bytes, float* scales) {
  for (int i = 0; i < 32; ++i) bytes[i] = static_cast<uint8_t>(static_cast<uint8_t>(block.q[i]) ^ 0x80u);
  scales[0] = half_to_f32(block.d);
  scales[1] = 0.0f;
}

inline void unpack(const BlockQ4_K& block, uint8_t* bytes, float* scales) {
  const float d = half_to_f32(block.d), dmin = half_to_f32(block.dmin);
  for (int pair = 0; pair < 4; ++pair)
    split_nibbles(block.q + 32 * pair, 32, bytes + 64 * pair, bytes + 64 * pair + 32);
  for (int g = 0; g < 8; ++g) {
    float scale, minimum;
    k_scale_min(block.scales, g, &scale, &minimum);
    scales[2 * g] = d * scale;
    scales[2 * g + 1] = -dmin * minimum;
  }
}

inline void unpack(const BlockQ5_K& block, uint8_t* bytes, float* scales) {
  const float d = half_to_f32(block.d), dmin = half_to_f32(block.dmin);
  for (int pair = 0; pair < 4; ++pair) {
    uint8_t* low = bytes + 64 * pair;
    split_nibbles(block.q + 32 * pair, 32, low, low + 32);
    for (int i = 0; i < 32; ++i) low[i] = static_cast<uint8_t>(low[i] | (((block.high[i] >> (2 * pair)) & 1) << 4));
    for (int i = 0; i < 32; ++i)
      low[32 + i] = static_cast<uint8_t>(low[32 + i] | (((block.high[i] >> (2 * pair + 1)) & 1) << 4));
  }
  for (int g = 0; g < 8; ++g) {
    float scale, minimum;
    k_scale_min(block.scales, g, &scale, &minimum);
    scales[2 * g] = d * scale;
    scales[2 * g + 1] = -dmin * minimum;
  }
}

inline void unpack(const BlockQ6_K& block, uint8_t* bytes, float* scales) {
  const float d = half_to_f32(block.d);
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = block.low + 64 * half;
    const uint8_t* high = block.high + 32 * half;
    uint8_t* out = bytes + 128 * half;
    for (int i = 0; i < 32; ++i) out[i] = static_cast<uint8_t>((low[i] & 15) | ((high[i] & 3) << 4));
    for (int i = 0; i < 32; ++i) out[32 + i] = static_cast<uint8_t>((low[32 + i] & 15) | (((high[i] >> 2) & 3) << 4));
    for (int i = 0; i < 32; ++i) out[64 + i] = static_cast<uint8_t>((low[i] >> 4) | (((high[i] >> 4) & 3) << 4));
    for (int i = 0; i < 32; ++i) out[96 + i] = static_cast<uint8_t>((low[32 + i] >> 4) | ((high[i] >> 6) << 4));
  }
  for (int g = 0; g < 16; ++g) {
    scales[2 * g] = d * static_cast<float>(block.scales[g]);
    scales[2 * g + 1] = 0.0f;
  }
}

}  // namespace
}  // namespace lectern::kernels::cpu

// The vectors of simd.h from the compiler: 4 f32 lanes.
#pragma once

#include <stdint.h>

namespace lectern::kernels::cpu {
namespace {

// Vectors of the compiler: whatever 128-bit unit there is (SSE2, NEON), or plain code.
constexpr int lanes = 4;
typedef float F32 __attribute__((vector_size(16)));
typedef int32_t I32 __attribute__((vector_size(16)));

inline F32 load(const float* p) {
  F32 x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
inline void store(float* p, F32 x) {
  __builtin_memcpy(p, &x, sizeof x);
}
inline F32 load_first(const float* p, int64_t n) {
  F32 x = {0, 0, 0, 0};
  for (int64_t i = 0; i < n; ++i) x[i] = p[i];
  return x;
}
inline void store_first(float* p, F32 x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = x[i];
}
inline F32 set1(float x) {
  return F32{x, x, x, x};
}
inline F32 fma(F32 a, F32 b, F32 c) {
  return a * b + c;
}
inline F32 select(I32 mask, F32 x, F32 y) {
  return reinterpret_cast<F32>((mask & reinterpret_cast<I32>(x)) | (~mask & reinterpret_cast<I32>(y)));
}
inline F32 max(F32 a, F32 b) {
  return select(a > b, a, b);
}
inline F32 min(F32 a, F32 b) {
  return select(a < b, a, b);
}
inline F32 absolute(F32 x) {
  return reinterpret_cast<F32>(reinterpret_cast<I32>(x) & 0x7fffffff);
}
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) {
  return select(a < b, x, y);
}
/// To nearest, ties to even, as cvtps2dq: adding 1.5 * 2^23 rounds in the float unit. |x| < 2^22; anything else gives
/// some number.
inline I32 round_to_i32(F32 x) {
  return reinterpret_cast<I32>(x + set1(12582912.0f)) - 0x4b400000;
}
inline F32 to_f32(I32 x) {
  return __builtin_convertvector(x, F32);
}
inline F32 bits_to_f32(I32 x) {
  return reinterpret_cast<F32>(x);
}
inline I32 shift_left_23(I32 x) {
  return x << 23;
}
inline I32 iload(const void* p) {
  I32 x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
inline void istore(void* p, I32 x) {
  __builtin_memcpy(p, &x, sizeof x);
}
inline I32 iset1(int32_t x) {
  return I32{x, x, x, x};
}
inline void store_as_i8(int8_t* p, const I32 (&x)[8]) {
  for (int i = 0; i < 32; ++i) p[i] = static_cast<int8_t>(x[i / 4][i % 4]);
}
inline I32 iadd(I32 a, I32 b) {
  return a + b;
}
inline F32 load_bf16(const uint16_t* p) {
  typedef uint32_t U32 __attribute__((vector_size(16)));
  const U32 x = {p[0], p[1], p[2], p[3]};
  return reinterpret_cast<F32>(x << 16);
}
inline float half_to_f32(uint16_t h) {
  // Exponent and mantissa move to their places; the multiplication mends the exponent's bias and subnormals at once.
  const uint32_t magnitude = (h & 0x7fffu) << 13;
  float x;
  __builtin_memcpy(&x, &magnitude, 4);
  x *= 0x1p112f;
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  if ((h & 0x7c00u) == 0x7c00u) bits = magnitude | 0x7f800000u;  // infinity, NaN
  bits |= (h & 0x8000u) << 16;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}
inline F32 load_half(const uint16_t* p) {
  return F32{half_to_f32(p[0]), half_to_f32(p[1]), half_to_f32(p[2]), half_to_f32(p[3])};
}
inline F32 sums_of(const F32 (&x)[4]) {
  F32 sums;
  for (int i = 0; i < 4; ++i) sums[i] = (x[i][0] + x[i][2]) + (x[i][1] + x[i][3]);
  return sums;
}
/// 4 rows of 4 words, `stride` bytes apart, become their columns, `out_stride` bytes apart.
inline void transpose_words(const uint8_t* from, int64_t stride, uint8_t* to, int64_t out_stride) {
  for (int row = 0; row < 4; ++row)
    for (int column = 0; column < 4; ++column)
      __builtin_memcpy(to + column * out_stride + row * 4, from + row * stride + column * 4, 4);
}
inline I32 shift_left_7(I32 x) {
  return x << 7;
}
inline float sum(F32 x) {
  return (x[0] + x[2]) + (x[1] + x[3]);
}
inline float maximum(F32 x) {
  const float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
  return a > b ? a : b;
}

inline I32 dot4(I32 acc, I32 u, I32 s) {
  typedef uint8_t U8 __attribute__((vector_size(16)));
  typedef int8_t S8 __attribute__((vector_size(16)));
  const U8 a = reinterpret_cast<U8>(u);
  const S8 b = reinterpret_cast<S8>(s);
  const auto four = [&](int i) {
    return a[i] * b[i] + a[i + 1] * b[i + 1] + a[i + 2] * b[i + 2] + a[i + 3] * b[i + 3];
  };
  return acc + I32{four(0), four(4), four(8), four(12)};
}

// Bytes by the 32: two vectors of 16.

struct U8x32 {
  typedef uint8_t Half __attribute__((vector_size(16)));
  Half a, b;
};
inline U8x32 load_bytes(const void* p) {
  U8x32 x;
  __builtin_memcpy(&x, p, 32);
  return x;
}
inline void store_bytes(void* p, U8x32 x) {
  __builtin_memcpy(p, &x, 32);
}
/// 32 bytes of each of 4 rows: out[w] holds their words w.
inline void transpose_eight(const U8x32 (&rows)[4], I32 (&out)[8]) {
  int32_t words[4][8];
  for (int row = 0; row < 4; ++row) store_bytes(words[row], rows[row]);
  for (int w = 0; w < 8; ++w) out[w] = I32{words[0][w], words[1][w], words[2][w], words[3][w]};
}
/// 16 bytes of each of 4 rows: out[w] holds their words w.
inline void transpose_four(const uint8_t* const (&rows)[4], I32 (&out)[4]) {
  int32_t words[4][4];
  for (int row = 0; row < 4; ++row) __builtin_memcpy(words[row], rows[row], 16);
  for (int w = 0; w < 4; ++w) out[w] = I32{words[0][w], words[1][w], words[2][w], words[3][w]};
}
/// A word of each row.
inline I32 gather_words(const uint8_t* const (&rows)[4]) {
  return I32{read<int32_t>(rows[0]), read<int32_t>(rows[1]), read<int32_t>(rows[2]), read<int32_t>(rows[3])};
}
/// The low 16 bits of each lane, a half, as f32.
inline F32 low_halves(I32 x) {
  F32 out;
  for (int i = 0; i < 4; ++i) out[i] = half_to_f32(static_cast<uint16_t>(x[i]));
  return out;
}
/// 16 bits of each row, as f32.
inline F32 gather_halves(const uint8_t* const (&rows)[4]) {
  F32 out;
  for (int i = 0; i < 4; ++i) out[i] = half_to_f32(read<uint16_t>(rows[i]));
  return out;
}
template <int bits>
inline I32 shift_i32_left(I32 x) {
  return x << bits;
}
template <int bits>
inline I32 shift_i32_right(I32 x) {
  typedef uint32_t U32 __attribute__((vector_size(16)));
  return reinterpret_cast<I32>(reinterpret_cast<U32>(x) >> bits);
}
/// Byte `byte` of each lane, with its sign.
template <int byte>
inline I32 signed_byte(I32 x) {
  return (x << (24 - 8 * byte)) >> 24;
}
inline I32 bits_of(I32 x, I32 mask) {
  return x & mask;
}
inline I32 bits_flipped(I32 x, I32 mask) {
  return x ^ mask;
}
inline I32 bits_of_either(I32 x, I32 y) {
  return x | y;
}
/// What crosses into a neighbouring byte is for the caller to mask.
template <int bits>
inline I32 shift_bytes_right(I32 x) {
  return x >> bits;
}
template <int bits>
inline I32 shift_bytes_left(I32 x) {
  return x << bits;
}

// As in simd_avx2.h.
constexpr bool sums_pairs = true;
inline I32 multiply_i8(I32 u, I32 s) {
  uint8_t a[16];
  int8_t b[16];
  int16_t sums[8];
  istore(a, u);
  istore(b, s);
  for (int i = 0; i < 8; ++i) sums[i] = static_cast<int16_t>(a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1]);
  return iload(sums);
}
inline I32 multiply_i16(I32 x, I32 y) {
  int16_t a[8], b[8];
  int32_t sums[4];
  istore(a, x);
  istore(b, y);
  for (int i = 0; i < 4; ++i) sums[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
  return iload(sums);
}
inline I32 kept_apart(I32 x) {
  return x;
}
/// x, loaded once.
inline F32 in_register(F32 x) {
  return x;
}
inline I32 add_i16(I32 x, I32 y) {
  typedef int16_t Words __attribute__((vector_size(16)));
  return reinterpret_cast<I32>(reinterpret_cast<Words>(x) + reinterpret_cast<Words>(y));
}
inline I32 iadd_in_order(I32 a, I32 b) {
  return a + b;
}
inline void widen_i8(I32 x, I32 (&out)[2]) {
  int8_t bytes_of_x[16];
  int16_t wide[2][8];
  istore(bytes_of_x, x);
  for (int i = 0; i < 16; ++i) wide[i / 2 % 2][i / 4 * 2 + i % 2] = bytes_of_x[i];
  for (int half = 0; half < 2; ++half) out[half] = iload(wide[half]);
}
inline void store_as_i16(int16_t* p, const I32 (&x)[8]) {
  for (int i = 0; i < 32; ++i) p[i] = static_cast<int16_t>(x[i / 4][i % 4]);
}

inline U8x32 join_16(const uint8_t* a, const uint8_t* b) {
  U8x32 x;
  __builtin_memcpy(&x.a, a, 16);
  __builtin_memcpy(&x.b, b, 16);
  return x;
}

}  // namespace
}  // namespace lectern::kernels::cpu

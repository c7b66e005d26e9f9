// Eight lanes whatever the path, for rows of 8-bit weights as they stand in a file: lanes run along 32 values.
#pragma once

#include "kernels/cpu/simd.h"

namespace lectern::kernels::cpu {
namespace {

typedef float F32x8 __attribute__((vector_size(32)));
typedef int32_t I32x8 __attribute__((vector_size(32)));

inline F32x8 set8(float x) {
  return F32x8{x, x, x, x, x, x, x, x};
}
#if defined(__AVX2__)

/// ((x0 + x4) + (x2 + x6)) + ((x1 + x5) + (x3 + x7)), on every path.
inline float sum8(F32x8 x) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
inline F32x8 fma8(F32x8 a, F32x8 b, F32x8 c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline F32x8 to_f32x8(I32x8 x) {
  return _mm256_cvtepi32_ps(reinterpret_cast<__m256i>(x));
}
/// 32 signed bytes times 32 numbers of 16 bits, four products to a lane.
inline I32x8 dot_i16_of_8(const int8_t* signed_bytes, const int16_t* x) {
  const auto half = [&](int i) {
    return _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(signed_bytes + i))),
                             _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)));
  };
  return reinterpret_cast<I32x8>(_mm256_add_epi32(half(0), half(16)));
}

#else

inline float sum8(F32x8 x) {
  return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}
inline F32x8 fma8(F32x8 a, F32x8 b, F32x8 c) {
  F32x8 x;
  for (int i = 0; i < 8; ++i) x[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return x;
}
inline F32x8 to_f32x8(I32x8 x) {
  return __builtin_convertvector(x, F32x8);
}
inline I32x8 dot_i16_of_8(const int8_t* signed_bytes, const int16_t* x) {
  I32x8 sums = {};
  for (int i = 0; i < 32; ++i) sums[i / 2 % 8] += signed_bytes[i] * x[i];
  return sums;
}

#endif

}  // namespace
}  // namespace lectern::kernels::cpu

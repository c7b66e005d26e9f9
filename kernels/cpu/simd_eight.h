// Eight lanes whatever the path: products of few rows work on blocks of 32 bytes, four to a lane.
#pragma once

#include "kernels/cpu/simd.h"

namespace lectern::kernels::cpu {
namespace {

typedef float F32x8 __attribute__((vector_size(32)));
typedef int32_t I32x8 __attribute__((vector_size(32)));

inline F32x8 set8(float x) {
  return F32x8{x, x, x, x, x, x, x, x};
}
inline I32x8 iset8(int32_t x) {
  return I32x8{x, x, x, x, x, x, x, x};
}
inline I32x8 izero8() {
  return I32x8{};
}
inline F32x8 load8(const float* p) {
  F32x8 x;
  __builtin_memcpy(&x, p, 32);
  return x;
}
inline I32x8 iload8(const int32_t* p) {
  I32x8 x;
  __builtin_memcpy(&x, p, 32);
  return x;
}
/// Lanes 0 and 1; the others are zero.
inline F32x8 load_pair(const float* p) {
  return F32x8{p[0], p[1], 0, 0, 0, 0, 0, 0};
}
inline I32x8 iadd8(I32x8 a, I32x8 b) {
  return a + b;
}
inline I32x8 imultiply8(I32x8 a, I32x8 b) {
  return a * b;
}
template <int bits>
inline I32x8 shift_left8(I32x8 x) {
  return x << bits;
}
/// The others are zero.
inline F32x8 odd_lanes8(F32x8 x) {
  const I32x8 odd = {0, -1, 0, -1, 0, -1, 0, -1};
  return reinterpret_cast<F32x8>(reinterpret_cast<I32x8>(x) & odd);
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
inline I32x8 load8_i8(const int8_t* p) {
  return reinterpret_cast<I32x8>(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline F32x8 broadcast_first(F32x8 x) {
  return _mm256_broadcastss_ps(_mm256_castps256_ps128(x));
}
template <int lane>
inline F32x8 broadcast_lane(F32x8 x) {
  return _mm256_permutevar8x32_ps(x, _mm256_set1_epi32(lane));
}
/// Four times lane `lane`, then four times the next one.
template <int lane>
inline F32x8 broadcast_two(F32x8 x) {
  return _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(lane, lane, lane, lane, lane + 1, lane + 1, lane + 1, lane + 1));
}
/// x0 x0 x2 x2 ...
inline F32x8 even_lanes_twice(F32x8 x) {
  return _mm256_moveldup_ps(x);
}
/// {d, m} as f32 in lanes 0 and 1 of two halves that follow each other.
inline F32x8 halves_pair(uint32_t two) {
  return _mm256_zextps128_ps256(_mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(two))));
}
/// acc + (the four products of unsigned bytes u, at most 127, and signed bytes s in each lane).
inline I32x8 dot4_of_8(I32x8 acc, U8x32 u, U8x32 s) {
#if defined(__AVX512VNNI__)
  return reinterpret_cast<I32x8>(_mm256_dpbusd_epi32(reinterpret_cast<__m256i>(acc), u, s));
#else
  return acc + reinterpret_cast<I32x8>(_mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)));
#endif
}
/// 32 signed bytes times 32 words, four products to a lane.
inline I32x8 dot_words_of_8(const int8_t* signed_bytes, const int16_t* words) {
  const auto half = [&](int i) {
    return _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(signed_bytes + i))),
                             _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + i)));
  };
  return reinterpret_cast<I32x8>(_mm256_add_epi32(half(0), half(16)));
}
/// a0 b0 a1 b1 ...
inline void lanes_in_turn(F32x8 a, F32x8 b, F32x8 (&out)[2]) {
  const __m256 low = _mm256_unpacklo_ps(a, b), high = _mm256_unpackhi_ps(a, b);
  out[0] = _mm256_permute2f128_ps(low, high, 0x20);
  out[1] = _mm256_permute2f128_ps(low, high, 0x31);
}
/// Bytes of a and b in turn, as f32: a0 b0 a1 b1 ... of eight each.
inline void bytes_in_turn(uint64_t a, uint64_t b, F32x8 (&out)[2]) {
  const __m128i turn =
      _mm_unpacklo_epi8(_mm_cvtsi64_si128(static_cast<int64_t>(a)), _mm_cvtsi64_si128(static_cast<int64_t>(b)));
  out[0] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(turn));
  out[1] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(turn, 8)));
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
inline I32x8 load8_i8(const int8_t* p) {
  return I32x8{p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]};
}
inline F32x8 broadcast_first(F32x8 x) {
  return set8(x[0]);
}
template <int lane>
inline F32x8 broadcast_lane(F32x8 x) {
  return set8(x[lane]);
}
template <int lane>
inline F32x8 broadcast_two(F32x8 x) {
  const float a = x[lane], b = x[lane + 1];
  return F32x8{a, a, a, a, b, b, b, b};
}
inline F32x8 even_lanes_twice(F32x8 x) {
  return F32x8{x[0], x[0], x[2], x[2], x[4], x[4], x[6], x[6]};
}
inline F32x8 halves_pair(uint32_t two) {
  return F32x8{half_to_f32(static_cast<uint16_t>(two)), half_to_f32(static_cast<uint16_t>(two >> 16))};
}
inline I32x8 dot_words_of_8(const int8_t* signed_bytes, const int16_t* words) {
  I32x8 sums = {};
  for (int i = 0; i < 32; ++i) sums[i / 2 % 8] += signed_bytes[i] * words[i];
  return sums;
}
inline I32x8 dot4_of_8(I32x8 acc, U8x32 u, U8x32 s) {
  uint8_t a[32];
  int8_t b[32];
  store_bytes(a, u);
  store_bytes(b, s);
  for (int i = 0; i < 8; ++i)
    acc[i] +=
        a[4 * i] * b[4 * i] + a[4 * i + 1] * b[4 * i + 1] + a[4 * i + 2] * b[4 * i + 2] + a[4 * i + 3] * b[4 * i + 3];
  return acc;
}
inline void lanes_in_turn(F32x8 a, F32x8 b, F32x8 (&out)[2]) {
  for (int i = 0; i < 8; ++i) {
    out[i / 4][2 * (i % 4)] = a[i];
    out[i / 4][2 * (i % 4) + 1] = b[i];
  }
}
inline void bytes_in_turn(uint64_t a, uint64_t b, F32x8 (&out)[2]) {
  for (int i = 0; i < 8; ++i) {
    out[i / 4][2 * (i % 4)] = static_cast<float>(a >> (8 * i) & 255u);
    out[i / 4][2 * (i % 4) + 1] = static_cast<float>(b >> (8 * i) & 255u);
  }
}

#endif

}  // namespace
}  // namespace lectern::kernels::cpu

// Vectors of the instruction path that a file is compiled for: 16 f32 lanes with AVX-512, 8 with AVX2, else 4.
// Only the files in kernels/cpu/paths include this. Everything has internal linkage and nothing of the standard library
// is used: a function emitted out of line with AVX-512 instructions must never be merged with one for older machines.
// a * b + c is fused only where fma() says so (the library is built with -ffp-contract=off).
#pragma once

#include <stdint.h>

#include "kernels/quant_blocks.h"

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace lectern::kernels::cpu {
namespace {

#if defined(__AVX512F__)

constexpr int lanes = 16;
using F32 = __m512;
using I32 = __m512i;

inline F32 load(const float* p) {
  return _mm512_loadu_ps(p);
}
inline void store(float* p, F32 x) {
  _mm512_storeu_ps(p, x);
}
inline __mmask16 first_lanes(int64_t n) {
  return static_cast<__mmask16>((1u << n) - 1u);
}
inline F32 load_first(const float* p, int64_t n) {
  return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
inline void store_first(float* p, F32 x, int64_t n) {
  _mm512_mask_storeu_ps(p, first_lanes(n), x);
}
inline F32 set1(float x) {
  return _mm512_set1_ps(x);
}
inline F32 fma(F32 a, F32 b, F32 c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline F32 max(F32 a, F32 b) {
  return _mm512_max_ps(a, b);
}
inline F32 min(F32 a, F32 b) {
  return _mm512_min_ps(a, b);
}
inline F32 absolute(F32 x) {
  return _mm512_abs_ps(x);
}
/// x where a < b, else y.
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
inline I32 round_to_i32(F32 x) {
  return _mm512_cvtps_epi32(x);
}
inline F32 to_f32(I32 x) {
  return _mm512_cvtepi32_ps(x);
}
inline F32 bits_to_f32(I32 x) {
  return _mm512_castsi512_ps(x);
}
inline I32 shift_left_23(I32 x) {
  return _mm512_slli_epi32(x, 23);
}
inline I32 iload(const void* p) {
  return _mm512_loadu_si512(p);
}
inline void istore(void* p, I32 x) {
  _mm512_storeu_si512(p, x);
}
inline I32 iset1(int32_t x) {
  return _mm512_set1_epi32(x);
}
inline I32 load_i8(const int8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline I32 imultiply(I32 a, I32 b) {
  return _mm512_mullo_epi32(a, b);
}
/// The low bytes of 32 numbers from -128 to 127.
inline void store_as_i8(int8_t* p, const I32 (&x)[2]) {
  for (int i = 0; i < 2; ++i) _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 16 * i), _mm512_cvtepi32_epi8(x[i]));
}
inline I32 iadd(I32 a, I32 b) {
  return _mm512_add_epi32(a, b);
}
inline F32 load_bf16(const uint16_t* p) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}
inline F32 load_half(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
/// Two halves, the first in the low 16 bits.
inline void store_halves(float* out, uint32_t two) {
  _mm_storel_pi(reinterpret_cast<__m64*>(out), _mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(two))));
}
inline float half_to_f32(uint16_t h) {
  return _cvtsh_ss(h);
}
/// Lane i is the sum of the lanes of x[i].
inline F32 sums_of(const F32 (&x)[16]) {
  F32 four[4];  // four[i], in each quarter: parts of the sums of x[4i..4i+3]
  for (int i = 0; i < 4; ++i) {
    const F32* v = x + 4 * i;
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(v[0], v[1]) + _mm512_unpackhi_ps(v[0], v[1]));
    const __m512d b = _mm512_castps_pd(_mm512_unpacklo_ps(v[2], v[3]) + _mm512_unpackhi_ps(v[2], v[3]));
    four[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b)) + _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
  }
  const F32 c = _mm512_shuffle_f32x4(four[0], four[1], 0x88) + _mm512_shuffle_f32x4(four[0], four[1], 0xdd);
  const F32 d = _mm512_shuffle_f32x4(four[2], four[3], 0x88) + _mm512_shuffle_f32x4(four[2], four[3], 0xdd);
  return _mm512_shuffle_f32x4(c, d, 0x88) + _mm512_shuffle_f32x4(c, d, 0xdd);
}
inline F32 odd_lanes(F32 x) {
  return _mm512_maskz_mov_ps(0xaaaa, x);
}  // the others zero
inline float sum(F32 x) {
  return _mm512_reduce_add_ps(x);
}
inline float maximum(F32 x) {
  return _mm512_reduce_max_ps(x);
}

/// acc + (the four products of unsigned bytes u and signed bytes s in each lane). `wide`: u may exceed 127.
template <bool wide>
inline I32 dot4(I32 acc, I32 u, I32 s) {
#if defined(__AVX512VNNI__)
  return _mm512_dpbusd_epi32(acc, u, s);
#else
  if constexpr (wide) {
    const I32 low_bytes = _mm512_set1_epi16(0xff);
    const I32 even = _mm512_madd_epi16(_mm512_and_si512(u, low_bytes), _mm512_srai_epi16(_mm512_slli_epi16(s, 8), 8));
    const I32 odd = _mm512_madd_epi16(_mm512_srli_epi16(u, 8), _mm512_srai_epi16(s, 8));
    return _mm512_add_epi32(acc, _mm512_add_epi32(even, odd));
  } else {
    return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(u, s), _mm512_set1_epi16(1)));
  }
#endif
}

#elif defined(__AVX2__)

constexpr int lanes = 8;
using F32 = __m256;
using I32 = __m256i;

inline F32 load(const float* p) {
  return _mm256_loadu_ps(p);
}
inline void store(float* p, F32 x) {
  _mm256_storeu_ps(p, x);
}
inline I32 first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline F32 load_first(const float* p, int64_t n) {
  return _mm256_maskload_ps(p, first_lanes(n));
}
inline void store_first(float* p, F32 x, int64_t n) {
  _mm256_maskstore_ps(p, first_lanes(n), x);
}
inline F32 set1(float x) {
  return _mm256_set1_ps(x);
}
inline F32 fma(F32 a, F32 b, F32 c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline F32 max(F32 a, F32 b) {
  return _mm256_max_ps(a, b);
}
inline F32 min(F32 a, F32 b) {
  return _mm256_min_ps(a, b);
}
inline F32 absolute(F32 x) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) {
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
inline I32 round_to_i32(F32 x) {
  return _mm256_cvtps_epi32(x);
}
inline F32 to_f32(I32 x) {
  return _mm256_cvtepi32_ps(x);
}
inline F32 bits_to_f32(I32 x) {
  return _mm256_castsi256_ps(x);
}
inline I32 shift_left_23(I32 x) {
  return _mm256_slli_epi32(x, 23);
}
inline I32 iload(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
inline void istore(void* p, I32 x) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), x);
}
inline I32 iset1(int32_t x) {
  return _mm256_set1_epi32(x);
}
inline I32 load_i8(const int8_t* p) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
inline I32 imultiply(I32 a, I32 b) {
  return _mm256_mullo_epi32(a, b);
}
inline void store_as_i8(int8_t* p, const I32 (&x)[4]) {
  // Packing works on each half by itself: the permutation puts the fours back in order.
  const I32 packed = _mm256_packs_epi16(_mm256_packs_epi32(x[0], x[1]), _mm256_packs_epi32(x[2], x[3]));
  const I32 order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permutevar8x32_epi32(packed, order));
}
inline I32 iadd(I32 a, I32 b) {
  return _mm256_add_epi32(a, b);
}
inline F32 load_bf16(const uint16_t* p) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
}
inline F32 load_half(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
/// Two halves, the first in the low 16 bits.
inline void store_halves(float* out, uint32_t two) {
  _mm_storel_pi(reinterpret_cast<__m64*>(out), _mm_cvtph_ps(_mm_cvtsi32_si128(static_cast<int>(two))));
}
inline float half_to_f32(uint16_t h) {
  return _cvtsh_ss(h);
}
inline F32 sums_of(const F32 (&x)[8]) {
  F32 four[2];
  for (int i = 0; i < 2; ++i) {
    const F32* v = x + 4 * i;
    const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(v[0], v[1]) + _mm256_unpackhi_ps(v[0], v[1]));
    const __m256d b = _mm256_castps_pd(_mm256_unpacklo_ps(v[2], v[3]) + _mm256_unpackhi_ps(v[2], v[3]));
    four[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b)) + _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
  }
  return _mm256_permute2f128_ps(four[0], four[1], 0x20) + _mm256_permute2f128_ps(four[0], four[1], 0x31);
}
inline F32 odd_lanes(F32 x) {
  return _mm256_blend_ps(_mm256_setzero_ps(), x, 0xaa);
}  // the others zero
inline float sum(F32 x) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
inline float maximum(F32 x) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

template <bool wide>
inline I32 dot4(I32 acc, I32 u, I32 s) {
  if constexpr (wide) {
    const I32 low_bytes = _mm256_set1_epi16(0xff);
    const I32 even = _mm256_madd_epi16(_mm256_and_si256(u, low_bytes), _mm256_srai_epi16(_mm256_slli_epi16(s, 8), 8));
    const I32 odd = _mm256_madd_epi16(_mm256_srli_epi16(u, 8), _mm256_srai_epi16(s, 8));
    return _mm256_add_epi32(acc, _mm256_add_epi32(even, odd));
  } else {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)));
  }
}

#else

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
inline I32 load_i8(const int8_t* p) {
  return I32{p[0], p[1], p[2], p[3]};
}
inline I32 imultiply(I32 a, I32 b) {
  return a * b;
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
inline void store_halves(float* out, uint32_t two) {
  out[0] = half_to_f32(static_cast<uint16_t>(two));
  out[1] = half_to_f32(static_cast<uint16_t>(two >> 16));
}
inline F32 load_half(const uint16_t* p) {
  return F32{half_to_f32(p[0]), half_to_f32(p[1]), half_to_f32(p[2]), half_to_f32(p[3])};
}
inline F32 sums_of(const F32 (&x)[4]) {
  F32 sums;
  for (int i = 0; i < 4; ++i) sums[i] = (x[i][0] + x[i][2]) + (x[i][1] + x[i][3]);
  return sums;
}
inline F32 odd_lanes(F32 x) {
  return F32{0, x[1], 0, x[3]};
}  // the others zero
inline float sum(F32 x) {
  return (x[0] + x[2]) + (x[1] + x[3]);
}
inline float maximum(F32 x) {
  const float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
  return a > b ? a : b;
}

template <bool wide>
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

#endif

// Bytes by the 32: one register with AVX2 and AVX-512, two of 16 otherwise.
#if defined(__AVX2__)

using U8x32 = __m256i;
inline U8x32 load_bytes(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
inline void store_bytes(void* p, U8x32 x) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), x);
}
inline U8x32 bytes(int x) {
  return _mm256_set1_epi8(static_cast<char>(x));
}
inline U8x32 both(U8x32 a, U8x32 b) {
  return _mm256_and_si256(a, b);
}
inline U8x32 either(U8x32 a, U8x32 b) {
  return _mm256_or_si256(a, b);
}
inline U8x32 flipped(U8x32 a, U8x32 b) {
  return _mm256_xor_si256(a, b);
}
/// Bits that cross into a neighbouring byte are for the caller to mask.
template <int bits>
inline U8x32 shift_right(U8x32 x) {
  return _mm256_srli_epi16(x, bits);
}
template <int bits>
inline U8x32 shift_left(U8x32 x) {
  return _mm256_slli_epi16(x, bits);
}
/// 16 bytes: their low nibbles, then their high ones.
inline U8x32 nibbles_of_16(const uint8_t* p) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(x, 4), x), _mm256_set1_epi8(15));
}

#else

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
inline U8x32 bytes(int x) {
  const U8x32::Half half = U8x32::Half{} + static_cast<uint8_t>(x);
  return {half, half};
}
inline U8x32 both(U8x32 x, U8x32 y) {
  return {x.a & y.a, x.b & y.b};
}
inline U8x32 either(U8x32 x, U8x32 y) {
  return {x.a | y.a, x.b | y.b};
}
inline U8x32 flipped(U8x32 x, U8x32 y) {
  return {x.a ^ y.a, x.b ^ y.b};
}
template <int bits>
inline U8x32 shift_right(U8x32 x) {
  return {x.a >> bits, x.b >> bits};
}
template <int bits>
inline U8x32 shift_left(U8x32 x) {
  return {x.a << bits, x.b << bits};
}
inline U8x32 nibbles_of_16(const uint8_t* p) {
  U8x32::Half x;
  __builtin_memcpy(&x, p, 16);
  return {x & 15, x >> 4};
}

#endif

inline F32 zero() {
  return set1(0.0f);
}
inline I32 izero() {
  return iset1(0);
}
inline float bf16_to_f32(uint16_t b) {
  const uint32_t bits = static_cast<uint32_t>(b) << 16;
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}
inline uint16_t f32_to_bf16(float x) {  // to nearest, ties to even; NaN stays NaN
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
inline int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/// exp(x), relative error below 2e-7; 0 below -87.3, exp(88.37) above 88.37, NaN for NaN. Reduction to |r| <= ln2 / 2
/// with ln2 in two parts and the polynomial of Cephes' expf (S. Moshier, netlib.org/cephes).
inline F32 exp(F32 x) {
  const F32 clamped = min(set1(88.37626f), max(set1(-87.33654f), x));  // this order of operands lets NaN through
  const I32 n = round_to_i32(clamped * set1(1.44269504088896341f));
  const F32 nf = to_f32(n);
  F32 r = fma(nf, set1(-0.693359375f), clamped);
  r = fma(nf, set1(2.12194440e-4f), r);
  F32 p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = fma(p, r * r, r + set1(1.0f));
  p = p * bits_to_f32(shift_left_23(iadd(n, iset1(127))));
  return select_less(x, set1(-87.33654f), zero(), p);
}
inline F32 sigmoid(F32 x) {
  return set1(1.0f) / (set1(1.0f) + exp(zero() - x));
}
inline F32 silu(F32 x) {
  return x / (set1(1.0f) + exp(zero() - x));
}

/// Calls body(i, n) for each run of n <= lanes values of [0, count): every lane is computed the same way wherever it
/// stands, so results do not depend on how a range was cut.
template <class Body>
inline void for_each_vector(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i, int64_t{lanes});
  if (i < count) body(i, count - i);
}
inline F32 load_upto(const float* p, int64_t n) {
  return n == lanes ? load(p) : load_first(p, n);
}
inline void store_upto(float* p, F32 x, int64_t n) {
  if (n == lanes)
    store(p, x);
  else
    store_first(p, x, n);
}

}  // namespace
}  // namespace lectern::kernels::cpu

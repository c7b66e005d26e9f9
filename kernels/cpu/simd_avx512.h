// The vectors of simd.h with AVX-512: 16 f32 lanes.
#pragma once

#include <stdint.h>

#include <immintrin.h>

namespace lectern::kernels::cpu {
namespace {

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
/// 16 rows of 16 words, `stride` bytes apart, become their columns, `out_stride` bytes apart.
inline void transpose_words(const uint8_t* from, int64_t stride, uint8_t* to, int64_t out_stride) {
  __m512i rows[16], pairs[16];
  for (int i = 0; i < 16; ++i) rows[i] = _mm512_loadu_si512(from + i * stride);
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {  // rows[i + c]: column c of each quarter, of rows i..i+3
    rows[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  for (int c = 0; c < 4; ++c) {
    const __m512i even_low = _mm512_shuffle_i32x4(rows[c], rows[4 + c], 0x88);
    const __m512i odd_low = _mm512_shuffle_i32x4(rows[c], rows[4 + c], 0xdd);
    const __m512i even_high = _mm512_shuffle_i32x4(rows[8 + c], rows[12 + c], 0x88);
    const __m512i odd_high = _mm512_shuffle_i32x4(rows[8 + c], rows[12 + c], 0xdd);
    _mm512_storeu_si512(to + c * out_stride, _mm512_shuffle_i32x4(even_low, even_high, 0x88));
    _mm512_storeu_si512(to + (4 + c) * out_stride, _mm512_shuffle_i32x4(odd_low, odd_high, 0x88));
    _mm512_storeu_si512(to + (8 + c) * out_stride, _mm512_shuffle_i32x4(even_low, even_high, 0xdd));
    _mm512_storeu_si512(to + (12 + c) * out_stride, _mm512_shuffle_i32x4(odd_low, odd_high, 0xdd));
  }
}
inline I32 shift_left_7(I32 x) {
  return _mm512_slli_epi32(x, 7);
}
inline float sum(F32 x) {
  return _mm512_reduce_add_ps(x);
}
inline float maximum(F32 x) {
  return _mm512_reduce_max_ps(x);
}

/// 32 bytes of each of 16 rows: out[w] holds their words w.
inline void transpose_eight(const __m256i (&rows)[16], I32 (&out)[8]) {
  __m512i both_halves[8], pairs[8], fours[8];  // rows i and i + 8 side by side
  for (int i = 0; i < 8; ++i) both_halves[i] = _mm512_inserti64x4(_mm512_castsi256_si512(rows[i]), rows[i + 8], 1);
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(both_halves[i], both_halves[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(both_halves[i], both_halves[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {  // fours[i + c]: words c and c + 4 of rows i..i+3, then of rows i+8..i+11
    fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13),
                second = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
  for (int c = 0; c < 4; ++c) {
    out[c] = _mm512_permutex2var_epi64(fours[c], first, fours[4 + c]);
    out[4 + c] = _mm512_permutex2var_epi64(fours[c], second, fours[4 + c]);
  }
}
inline I32 bits_of(I32 x, I32 mask) {
  return _mm512_and_si512(x, mask);
}
/// 16 bytes of each of 16 rows: out[w] holds their words w.
inline void transpose_four(const uint8_t* const (&rows)[16], I32 (&out)[4]) {
  __m512i four[4], pairs[4];  // rows i, i + 4, i + 8 and i + 12
  for (int i = 0; i < 4; ++i) {
    const auto row = [&](int j) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[i + j])); };
    four[i] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(row(4), row(0))),
                                 _mm256_set_m128i(row(12), row(8)), 1);
  }
  for (int i = 0; i < 4; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(four[i], four[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(four[i], four[i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    out[2 * i] = _mm512_unpacklo_epi64(pairs[i], pairs[2 + i]);
    out[2 * i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[2 + i]);
  }
}
/// 16 bits of each row, as f32.
inline F32 gather_halves(const uint8_t* const (&rows)[16]) {
  const auto half = [&](int i) { return read<int16_t>(rows[i]); };
  const auto eight = [&](int i) {
    return _mm_setr_epi16(half(i), half(i + 1), half(i + 2), half(i + 3), half(i + 4), half(i + 5), half(i + 6),
                          half(i + 7));
  };
  return _mm512_cvtph_ps(_mm256_set_m128i(eight(8), eight(0)));
}
/// A word of each row.
inline I32 gather_words(const uint8_t* const (&rows)[16]) {
  const auto word = [&](int i) { return read<int32_t>(rows[i]); };
  const auto eight = [&](int i) {
    return _mm256_setr_epi32(word(i), word(i + 1), word(i + 2), word(i + 3), word(i + 4), word(i + 5), word(i + 6),
                             word(i + 7));
  };
  return _mm512_inserti64x4(_mm512_castsi256_si512(eight(0)), eight(8), 1);
}
/// The low 16 bits of each lane, a half, as f32.
inline F32 low_halves(I32 x) {
  return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x));
}
template <int bits>
inline I32 shift_i32_left(I32 x) {
  return _mm512_slli_epi32(x, bits);
}
template <int bits>
inline I32 shift_i32_right(I32 x) {
  return _mm512_srli_epi32(x, bits);
}
/// Byte `byte` of each lane, with its sign.
template <int byte>
inline I32 signed_byte(I32 x) {
  return _mm512_srai_epi32(_mm512_slli_epi32(x, 24 - 8 * byte), 24);
}
inline I32 bits_flipped(I32 x, I32 mask) {
  return _mm512_xor_si512(x, mask);
}
inline I32 bits_of_either(I32 x, I32 y) {
  return _mm512_or_si512(x, y);
}
/// Within 16 bits; what crosses into a neighbouring byte is for the caller to mask.
template <int bits>
inline I32 shift_bytes_right(I32 x) {
  return _mm512_srli_epi16(x, bits);
}
template <int bits>
inline I32 shift_bytes_left(I32 x) {
  return _mm512_slli_epi16(x, bits);
}

// As in simd_avx2.h.
#if defined(__AVX512VNNI__)
constexpr bool sums_pairs = false;
#else
constexpr bool sums_pairs = true;
#endif
inline I32 multiply_i8(I32 u, I32 s) {
  return _mm512_maddubs_epi16(u, s);
}
inline I32 multiply_i16(I32 a, I32 b) {
  return _mm512_madd_epi16(a, b);
}
inline I32 kept_apart(I32 x) {
  asm("" : "+v"(x));
  return x;
}
/// x, loaded once.
inline F32 in_register(F32 x) {
  asm("" : "+v"(x));
  return x;
}
inline I32 add_i16(I32 a, I32 b) {
  return kept_apart(_mm512_add_epi16(a, b));
}
inline I32 iadd_in_order(I32 a, I32 b) {
  return kept_apart(_mm512_add_epi32(a, b));
}
inline void widen_i8(I32 x, I32 (&out)[2]) {
  const __m512i low = _mm512_broadcast_i32x4(_mm_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13));
  const __m512i high = _mm512_add_epi8(low, _mm512_set1_epi16(0x0200));
  out[0] = _mm512_srai_epi16(_mm512_shuffle_epi8(x, low), 8);
  out[1] = _mm512_srai_epi16(_mm512_shuffle_epi8(x, high), 8);
}
inline void store_as_i16(int16_t* p, const I32 (&x)[2]) {
  for (int i = 0; i < 2; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 16 * i), _mm512_cvtepi32_epi16(x[i]));
}

/// acc + (the four products of unsigned bytes u, at most 127, and signed bytes s in each lane). With VNNI u may be any.
inline I32 dot4(I32 acc, I32 u, I32 s) {
#if defined(__AVX512VNNI__)
  return _mm512_dpbusd_epi32(acc, u, s);
#else
  return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(u, s), _mm512_set1_epi16(1)));
#endif
}

}  // namespace
}  // namespace lectern::kernels::cpu

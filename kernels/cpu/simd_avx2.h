// The vectors of simd.h with AVX2: 8 f32 lanes.
#pragma once

#include <stdint.h>

#include <immintrin.h>

namespace lectern::kernels::cpu {
namespace {

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
/// 32 bytes of each of 8 rows: out[w] holds their words w.
inline void transpose_eight(const __m256i (&rows)[8], I32 (&out)[8]) {
  __m256i pairs[8], fours[8];
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {  // fours[i + c]: column c of each half, of rows i..i+3
    fours[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
    fours[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
    fours[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    fours[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  for (int c = 0; c < 4; ++c) {
    out[c] = _mm256_permute2x128_si256(fours[c], fours[4 + c], 0x20);
    out[4 + c] = _mm256_permute2x128_si256(fours[c], fours[4 + c], 0x31);
  }
}
/// 8 rows of 8 words, `stride` bytes apart, become their columns, `out_stride` bytes apart.
inline void transpose_words(const uint8_t* from, int64_t stride, uint8_t* to, int64_t out_stride) {
  __m256i rows[8], columns[8];
  for (int i = 0; i < 8; ++i) rows[i] = iload(from + i * stride);
  transpose_eight(rows, columns);
  for (int i = 0; i < 8; ++i) istore(to + i * out_stride, columns[i]);
}
inline I32 shift_left_7(I32 x) {
  return _mm256_slli_epi32(x, 7);
}
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

inline I32 bits_of(I32 x, I32 mask) {
  return _mm256_and_si256(x, mask);
}
/// 16 bytes of each of 8 rows: out[w] holds their words w.
inline void transpose_four(const uint8_t* const (&rows)[8], I32 (&out)[4]) {
  __m256i two[4], pairs[4];  // rows i and i + 4
  for (int i = 0; i < 4; ++i)
    two[i] = _mm256_set_m128i(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[i + 4])),
                              _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[i])));
  for (int i = 0; i < 4; i += 2) {
    pairs[i] = _mm256_unpacklo_epi32(two[i], two[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_epi32(two[i], two[i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    out[2 * i] = _mm256_unpacklo_epi64(pairs[i], pairs[2 + i]);
    out[2 * i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[2 + i]);
  }
}
/// 16 bits of each row, as f32.
inline F32 gather_halves(const uint8_t* const (&rows)[8]) {
  const auto half = [&](int i) { return read<int16_t>(rows[i]); };
  return _mm256_cvtph_ps(_mm_setr_epi16(half(0), half(1), half(2), half(3), half(4), half(5), half(6), half(7)));
}
/// A word of each row.
inline I32 gather_words(const uint8_t* const (&rows)[8]) {
  const auto word = [&](int i) { return read<int32_t>(rows[i]); };
  return _mm256_setr_epi32(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7));
}
/// The low 16 bits of each lane, a half, as f32.
inline F32 low_halves(I32 x) {
  const __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
  return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0xd8)));
}
template <int bits>
inline I32 shift_i32_left(I32 x) {
  return _mm256_slli_epi32(x, bits);
}
template <int bits>
inline I32 shift_i32_right(I32 x) {
  return _mm256_srli_epi32(x, bits);
}
/// Byte `byte` of each lane, with its sign.
template <int byte>
inline I32 signed_byte(I32 x) {
  return _mm256_srai_epi32(_mm256_slli_epi32(x, 24 - 8 * byte), 24);
}
inline I32 bits_flipped(I32 x, I32 mask) {
  return _mm256_xor_si256(x, mask);
}
inline I32 bits_of_either(I32 x, I32 y) {
  return _mm256_or_si256(x, y);
}
/// Within 16 bits; what crosses into a neighbouring byte is for the caller to mask.
template <int bits>
inline I32 shift_bytes_right(I32 x) {
  return _mm256_srli_epi16(x, bits);
}
template <int bits>
inline I32 shift_bytes_left(I32 x) {
  return _mm256_slli_epi16(x, bits);
}

/// x, loaded once: g++ 12 reads it again for each multiplication, and the units that load cannot keep up: scores of
/// attention at 73 instead of 45 GFLOP/s.
inline F32 in_register(F32 x) {
  asm("" : "+x"(x));
  return x;
}

/// There is no instruction that sums four products of bytes in 32 bits: byte_sums.h sums pairs in 16 bits, as many as
/// fit, and takes weights of 8 bits as 16-bit numbers.
constexpr bool sums_pairs = true;
/// Products of unsigned bytes u and signed bytes s, summed by pairs in 16 bits.
inline I32 multiply_i8(I32 u, I32 s) {
  return _mm256_maddubs_epi16(u, s);
}
/// Products of signed 16-bit numbers, summed by pairs.
inline I32 multiply_i16(I32 a, I32 b) {
  return _mm256_madd_epi16(a, b);
}
/// x, of which the compiler knows nothing. Left to itself g++ 12 puts off all additions of a sum to its end and writes
/// every product to memory; kept apart, they stay in order: 1.5 times the speed of a panel.
inline I32 kept_apart(I32 x) {
  asm("" : "+x"(x));
  return x;
}
inline I32 add_i16(I32 a, I32 b) {
  return kept_apart(_mm256_add_epi16(a, b));
}
inline I32 iadd_in_order(I32 a, I32 b) {
  return kept_apart(_mm256_add_epi32(a, b));
}
/// The signed bytes 0, 1 of each four, then 2, 3, as 16-bit numbers.
inline void widen_i8(I32 x, I32 (&out)[2]) {
  const __m256i low = _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1, 4,
                                       -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
  const __m256i high = _mm256_add_epi8(low, _mm256_set1_epi16(0x0200));
  out[0] = _mm256_srai_epi16(_mm256_shuffle_epi8(x, low), 8);
  out[1] = _mm256_srai_epi16(_mm256_shuffle_epi8(x, high), 8);
}
inline void store_as_i16(int16_t* p, const I32 (&x)[4]) {
  for (int i = 0; i < 2; ++i)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 16 * i),
                        _mm256_permute4x64_epi64(_mm256_packs_epi32(x[2 * i], x[2 * i + 1]), 0xd8));
}

inline I32 dot4(I32 acc, I32 u, I32 s) {
  return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)));
}

}  // namespace
}  // namespace lectern::kernels::cpu

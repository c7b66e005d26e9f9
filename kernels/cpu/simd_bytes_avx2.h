// Bytes by the 32 in one register of AVX2, for AVX-512 too.
#pragma once

#include <stdint.h>

#include <immintrin.h>

namespace lectern::kernels::cpu {
namespace {

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
/// The 16 bytes at a, then those at b.
inline U8x32 join_16(const uint8_t* a, const uint8_t* b) {
  return _mm256_set_m128i(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b)),
                          _mm_loadu_si128(reinterpret_cast<const __m128i*>(a)));
}
/// 16 bytes: their low nibbles, then their high ones.
inline U8x32 nibbles_of_16(const uint8_t* p) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(x, 4), x), _mm256_set1_epi8(15));
}

}  // namespace
}  // namespace lectern::kernels::cpu

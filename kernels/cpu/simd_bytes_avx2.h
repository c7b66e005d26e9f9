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
/// The 16 bytes at a, then those at b.
inline U8x32 join_16(const uint8_t* a, const uint8_t* b) {
  return _mm256_set_m128i(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b)),
                          _mm_loadu_si128(reinterpret_cast<const __m128i*>(a)));
}

}  // namespace
}  // namespace lectern::kernels::cpu

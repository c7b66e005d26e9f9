// Vectors of the instruction path that a file is compiled for: 16 f32 lanes with AVX-512, 8 with AVX2, else 4.
// Only the files in kernels/cpu/paths include this. Everything has internal linkage and nothing of the standard library
// is used: a function emitted out of line with AVX-512 instructions must never be merged with one for older machines.
// a * b + c is fused only where fma() says so (the library is built with -ffp-contract=off).
#pragma once

#include <stdint.h>

/// For lambdas of inner loops, which g++ 12 calls as functions when they are long. Not for the generic path, which is
/// written out word by word, and not with sanitizers: either took g++ minutes for a file.
#if defined(__AVX2__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define LECTERN_INLINE __attribute__((always_inline))
#else
#define LECTERN_INLINE
#endif

namespace lectern::kernels::cpu {
namespace {
/// The T that stands at p, at any address.
template <class T>
inline T read(const void* p) {
  T x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
}  // namespace
}  // namespace lectern::kernels::cpu

#if defined(__AVX512F__)
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/simd_bytes_avx2.h"
#elif defined(__AVX2__)
#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/simd_bytes_avx2.h"
#else
#include "kernels/cpu/simd_generic.h"
#endif

namespace lectern::kernels::cpu {
namespace {

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

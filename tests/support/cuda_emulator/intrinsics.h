// CUDA's built-in functions on numbers: correctly rounded here, where the device's fast ones are not.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "atomics.h"

// Types
// ----------------------------------------------------------------------------------------------------------------

inline float __uint_as_float(unsigned x) {
  return emu::bits_as<float>(x);
}
inline float __int_as_float(int x) {
  return emu::bits_as<float>(x);
}
inline unsigned __float_as_uint(float x) {
  return emu::bits_as<unsigned>(x);
}
inline int __float_as_int(float x) {
  return emu::bits_as<int>(x);
}
inline double __longlong_as_double(long long x) {
  return emu::bits_as<double>(x);
}
inline long long __double_as_longlong(double x) {
  return emu::bits_as<long long>(x);
}

// Conversions to integers saturate and make 0 of NaN, as on the device (in C++ they would be undefined).
namespace emu {
template <class T>
inline T saturated(double x) {
  if (std::isnan(x)) return 0;
  const double low = static_cast<double>(std::numeric_limits<T>::min());
  const double high = static_cast<double>(std::numeric_limits<T>::max());
  if (x <= low) return std::numeric_limits<T>::min();
  if (x >= high) return std::numeric_limits<T>::max();
  return static_cast<T>(x);
}
}  // namespace emu
inline int __float2int_rn(float x) {
  return emu::saturated<int>(static_cast<double>(std::nearbyint(x)));
}
inline int __float2int_rz(float x) {
  return emu::saturated<int>(static_cast<double>(std::trunc(x)));
}
inline int __float2int_rd(float x) {
  return emu::saturated<int>(static_cast<double>(std::floor(x)));
}
inline int __float2int_ru(float x) {
  return emu::saturated<int>(static_cast<double>(std::ceil(x)));
}
inline unsigned __float2uint_rn(float x) {
  return emu::saturated<unsigned>(static_cast<double>(std::nearbyint(x)));
}
inline float __int2float_rn(int x) {
  return static_cast<float>(x);
}
inline float __uint2float_rn(unsigned x) {
  return static_cast<float>(x);
}

// Integers
// -------------------------------------------------------------------------------------------------------------

inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x) {
  return __builtin_popcountll(x);
}
inline int __clz(int x) {
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (x >> bit & 1u) << (31 - bit);
  return reversed;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(std::uint64_t{a} * b >> 32);
}
inline int __mulhi(int a, int b) {
  return static_cast<int>(std::int64_t{a} * b >> 32);
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const std::uint64_t bytes = std::uint64_t{high} << 32 | low;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned nibble = selector >> 4 * i & 15u;
    unsigned byte = static_cast<unsigned>(bytes >> 8 * (nibble & 7u)) & 255u;
    if (nibble & 8u) byte = byte & 128u ? 255u : 0u;
    result |= byte << 8 * i;
  }
  return result;
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) >> (shift & 31u));
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) << (shift & 31u) >> 32);
}
namespace emu {
inline int byte_of(unsigned x, int i, bool is_signed) {
  const unsigned byte = x >> 8 * i & 255u;
  return is_signed ? static_cast<int>(static_cast<signed char>(byte)) : static_cast<int>(byte);
}
inline unsigned each_byte(unsigned a, unsigned b, unsigned (*f)(unsigned, unsigned)) {
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) result |= (f(a >> 8 * i & 255u, b >> 8 * i & 255u) & 255u) << 8 * i;
  return result;
}
}  // namespace emu
inline int __dp4a(int a, int b, int c) {
  unsigned sum = static_cast<unsigned>(c);
  for (int i = 0; i < 4; ++i)
    sum += static_cast<unsigned>(emu::byte_of(static_cast<unsigned>(a), i, true) *
                                 emu::byte_of(static_cast<unsigned>(b), i, true));
  return static_cast<int>(sum);
}
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 4; ++i) c += static_cast<unsigned>(emu::byte_of(a, i, false) * emu::byte_of(b, i, false));
  return c;
}
inline unsigned __vadd4(unsigned a, unsigned b) {
  return emu::each_byte(a, b, [](unsigned x, unsigned y) { return x + y; });
}
inline unsigned __vsub4(unsigned a, unsigned b) {
  return emu::each_byte(a, b, [](unsigned x, unsigned y) { return x - y; });
}
inline unsigned __vsubss4(unsigned a, unsigned b) {
  return emu::each_byte(a, b, [](unsigned x, unsigned y) {
    const int d = static_cast<signed char>(x) - static_cast<signed char>(y);
    return static_cast<unsigned>(d < -128 ? -128 : d > 127 ? 127 : d);
  });
}
inline unsigned __vcmpeq4(unsigned a, unsigned b) {
  return emu::each_byte(a, b, [](unsigned x, unsigned y) { return x == y ? 255u : 0u; });
}

// Floating point
// -------------------------------------------------------------------------------------------------------

inline float rsqrtf(float x) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x)));
}
inline float __frcp_rn(float x) {
  return 1.0f / x;
}
inline float __fsqrt_rn(float x) {
  return std::sqrt(x);
}
inline float __frsqrt_rn(float x) {
  return rsqrtf(x);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline float __expf(float x) {
  return static_cast<float>(std::exp(static_cast<double>(x)));
}
inline float __logf(float x) {
  return static_cast<float>(std::log(static_cast<double>(x)));
}
inline float __log2f(float x) {
  return static_cast<float>(std::log2(static_cast<double>(x)));
}
inline float __sinf(float x) {
  return static_cast<float>(std::sin(static_cast<double>(x)));
}
inline float __cosf(float x) {
  return static_cast<float>(std::cos(static_cast<double>(x)));
}
inline float __saturatef(float x) {
  return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f;
}

// CUDA's min and max take mixed types and return the number if the other is NaN.
template <class A, class B>
inline std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmax(static_cast<T>(a), static_cast<T>(b));
  return static_cast<T>(a) > static_cast<T>(b) ? static_cast<T>(a) : static_cast<T>(b);
}
template <class A, class B>
inline std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmin(static_cast<T>(a), static_cast<T>(b));
  return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(a) : static_cast<T>(b);
}

// Loads and stores with hints, and the end of everything
// -----------------------------------------------------------------

template <class T>
inline T __ldg(const T* address) {
  return *address;
}
template <class T>
inline T __ldcs(const T* address) {
  return *address;
}
template <class T>
inline T __ldcg(const T* address) {
  return *address;
}
template <class T>
inline void __stcs(T* address, emu::Same<T> value) {
  *address = value;
}
template <class T>
inline void __stcg(T* address, emu::Same<T> value) {
  *address = value;
}
inline long long clock64() {
  return static_cast<long long>(emu::machine().switches());
}
[[noreturn]] inline void __trap(emu::Place place = emu::Place::here()) {
  emu::machine().fail("__trap", place);
}

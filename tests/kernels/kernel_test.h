// What the kernel tests share: the paths of this machine, random values, guarded outputs, tolerances, references of
// weights.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/dequantize.h"
#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels::test {

// Tolerances, relative to the size of what was summed. If a test fails, fix the kernel, not these.
inline constexpr double f32_tolerance = 2e-6;          // sums in f32 of up to a few thousand terms
inline constexpr double elementwise_tolerance = 1e-6;  // a handful of roundings and our exp

inline std::vector<CpuPath> paths() {
  std::vector<CpuPath> result;
  for (const CpuPath path : {CpuPath::generic, CpuPath::avx2, CpuPath::avx512, CpuPath::avx512_vnni})
    if (path <= best_cpu_path()) result.push_back(path);
  return result;
}

/// Runs the body once for each path of this machine with a stream of two threads.
template <class Body>
void on_every_path(Body body) {
  for (const CpuPath path : paths()) {
    SCOPED_TRACE(name(path));
    Stream stream(2, path);
    body(stream);
  }
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  float normal() { return distribution_(engine_); }
  std::vector<float> normals(std::int64_t n, float scale = 1.0f) {
    std::vector<float> values(static_cast<std::size_t>(n));
    for (float& value : values) value = scale * normal();
    return values;
  }
  std::uint32_t bits() { return static_cast<std::uint32_t>(engine_()); }

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> distribution_;
};

/// A float output with bytes before and behind it that must not change; starts as NaN.
class Guarded {
 public:
  explicit Guarded(std::int64_t n) : n_(n), values_(static_cast<std::size_t>(n + 2 * guard), guard_value()) {
    for (std::int64_t i = 0; i < n; ++i) data()[i] = std::nanf("");
  }
  ~Guarded() {
    for (std::int64_t i = 0; i < guard; ++i) {
      EXPECT_EQ(bits(values_[static_cast<std::size_t>(i)]), bits(guard_value())) << "written before the output";
      EXPECT_EQ(bits(values_[static_cast<std::size_t>(guard + n_ + i)]), bits(guard_value()))
          << "written behind the output";
    }
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  float* data() { return values_.data() + guard; }
  float operator[](std::int64_t i) { return data()[i]; }
  std::vector<float> values() { return {data(), data() + n_}; }

 private:
  static constexpr std::int64_t guard = 32;
  static float guard_value() { return 12345.5f; }
  static std::uint32_t bits(float x) {
    std::uint32_t result;
    std::memcpy(&result, &x, 4);
    return result;
  }
  std::int64_t n_;
  std::vector<float> values_;
};

inline void expect_near(float actual, double expected, double size, double tolerance, std::int64_t at) {
  EXPECT_LE(std::abs(static_cast<double>(actual) - expected), tolerance * size)
      << "at " << at << ": " << actual << " for " << expected;
}

/// Same bits, NaN included.
inline void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  if (a.empty()) return;
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
}

inline std::uint16_t to_half(float x) {  // normal numbers of moderate size, cut: enough to make scales
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const int exponent = static_cast<int>(bits >> 23 & 255) - 127 + 15;
  if (exponent <= 0) return static_cast<std::uint16_t>(sign);
  return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(exponent) << 10 | (bits >> 13 & 1023u));
}

inline std::uint16_t to_bf16(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/// Random weights [rows, columns] of any type, as bytes and as what they mean.
struct Weights {
  DType type = DType::f32;
  std::int64_t rows = 0, columns = 0;
  std::vector<std::byte> bytes;
  std::vector<float> values;
  ConstTensor tensor() const { return {bytes.data(), type, {rows, columns}}; }
};

Weights random_weights(DType type, std::int64_t rows, std::int64_t columns, unsigned seed);

inline const std::vector<DType>& weight_types() {
  static const std::vector<DType> types = {DType::f32,  DType::f16,  DType::bf16, DType::q4_0, DType::q4_1,
                                           DType::q8_0, DType::q4_k, DType::q5_k, DType::q6_k};
  return types;
}

}  // namespace lectern::kernels::test

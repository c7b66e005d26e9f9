// What the tests of CUDA operations share: a queue, inputs on the device, guarded outputs. Nothing here is the
// emulator's: the same sources test a GPU. Suites that end in Small hold the smallest shapes that reach all of an
// operation's code (they alone run under ThreadSanitizer); the others hold odd and real sizes.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "../kernel_test.h"
#include "kernels/cuda/queue.h"
#include "kernels/error.h"

namespace lectern::kernels::cuda::test {

using namespace lectern::kernels::test;

/// Half a unit in the last place of bf16, relative: what rounding to it may add.
inline constexpr double bf16_tolerance = 1.0 / 256;

/// Base of every fixture: `class CudaRmsNorm : public CudaTest {};  TEST_F(CudaRmsNorm, EqualsTheReference)`.
class CudaTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_device()) GTEST_SKIP() << "no CUDA device: not tested";
    queue_.emplace();
  }
  Queue& queue() { return *queue_; }

 private:
  std::optional<Queue> queue_;
};

inline float from_bf16(std::uint16_t half) {
  const std::uint32_t bits = std::uint32_t{half} << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::i32;
  if constexpr (std::is_same_v<T, std::uint16_t>) return DType::bf16;
}

/// Values copied to the device; T is float, std::int32_t or std::uint16_t (the bits of bf16).
template <class T>
class OnDevice {
 public:
  OnDevice(Queue& queue, const std::vector<T>& values)
      : queue_(queue),
        count_(static_cast<std::int64_t>(values.size())),
        buffer_(count_ * static_cast<std::int64_t>(sizeof(T))) {
    copy_to_device(queue, buffer_.data(), values.data(), buffer_.size_bytes());
  }
  /// As bytes of quantized weights and the like.
  std::byte* data() const { return buffer_.data(); }
  Tensor tensor(std::initializer_list<std::int64_t> shape) const { return buffer_.tensor(dtype_of<T>(), shape); }
  std::vector<T> values() const {
    std::vector<T> result(static_cast<std::size_t>(count_));
    copy_to_host(queue_, result.data(), buffer_.data(), buffer_.size_bytes());
    queue_.synchronize();
    return result;
  }

 private:
  Queue& queue_;
  std::int64_t count_;
  DeviceBuffer buffer_;
};

/// An output on the device with bytes before and behind it that must not change; starts as NaN (-1 in integers).
template <class T = float>
class GuardedOnDevice {
 public:
  GuardedOnDevice(Queue& queue, std::int64_t count)
      : queue_(queue), bytes_(count * static_cast<std::int64_t>(sizeof(T))), buffer_(bytes_ + 2 * guard_bytes) {
    fill(queue, buffer_.data(), guard_value, buffer_.size_bytes());
    fill(queue, data(), 0xFF, bytes_);
  }
  ~GuardedOnDevice() {
    try {
      const std::vector<unsigned char> all = download();
      const auto is_guard = [](unsigned char byte) { return byte == guard_value; };
      EXPECT_TRUE(std::all_of(all.begin(), all.begin() + guard_bytes, is_guard)) << "written before the output";
      EXPECT_TRUE(std::all_of(all.end() - guard_bytes, all.end(), is_guard)) << "written behind the output";
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  GuardedOnDevice(const GuardedOnDevice&) = delete;
  GuardedOnDevice& operator=(const GuardedOnDevice&) = delete;

  std::byte* data() const { return buffer_.data() + guard_bytes; }
  Tensor tensor(std::initializer_list<std::int64_t> shape) const { return {data(), dtype_of<T>(), shape}; }
  std::vector<T> raw() const {
    const std::vector<unsigned char> all = download();
    std::vector<T> result(static_cast<std::size_t>(bytes_) / sizeof(T));
    if (bytes_ > 0) std::memcpy(result.data(), all.data() + guard_bytes, static_cast<std::size_t>(bytes_));
    return result;
  }
  /// bf16 widened to float.
  auto values() const {
    if constexpr (std::is_same_v<T, std::uint16_t>) {
      std::vector<float> result;
      for (const std::uint16_t half : raw()) result.push_back(from_bf16(half));
      return result;
    } else {
      return raw();
    }
  }

 private:
  static constexpr std::int64_t guard_bytes = 256;
  static constexpr unsigned char guard_value = 0xA5;
  std::vector<unsigned char> download() const {
    std::vector<unsigned char> all(static_cast<std::size_t>(buffer_.size_bytes()));
    copy_to_host(queue_, all.data(), buffer_.data(), buffer_.size_bytes());
    queue_.synchronize();
    return all;
  }
  Queue& queue_;
  std::int64_t bytes_;
  DeviceBuffer buffer_;
};

/// expect_near for whole results; `size(i)` is the size of what was summed for value i.
template <class Expected, class Size>
void expect_all_near(const std::vector<float>& actual, Expected expected, Size size, double tolerance) {
  int reported = 0;
  for (std::size_t i = 0; i < actual.size() && reported < 5; ++i) {
    const double want = expected(i), difference = std::abs(static_cast<double>(actual[i]) - want);
    if (difference <= tolerance * size(i)) continue;  // false for NaN
    ADD_FAILURE() << "at " << i << ": " << actual[i] << " for " << want;
    ++reported;
  }
}

}  // namespace lectern::kernels::cuda::test

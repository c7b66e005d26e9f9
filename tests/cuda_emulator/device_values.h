// Arrays on the device for tests that use CUDA's own functions. Works with the emulator and on a GPU.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "kernels/cuda/gpu.h"

#define EXPECT_CUDA(call) EXPECT_EQ((call), cudaSuccess) << cudaGetErrorString(cudaPeekAtLastError())

namespace lectern::kernels::cuda::test {

inline bool no_device() {
  int count = 0;
  const bool none = cudaGetDeviceCount(&count) != cudaSuccess || count == 0;
  cudaGetLastError();
  return none;
}

/// Base of fixtures: skips aloud without a card.
class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (no_device()) GTEST_SKIP() << "no CUDA device: not tested";
  }
};

template <class T>
class Values {
 public:
  explicit Values(std::size_t count) : count_(count) { EXPECT_CUDA(cudaMalloc(&data_, count * sizeof(T))); }
  explicit Values(const std::vector<T>& values) : Values(values.size()) {
    EXPECT_CUDA(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~Values() { cudaFree(data_); }
  Values(const Values&) = delete;
  Values& operator=(const Values&) = delete;

  T* data() const { return data_; }
  /// Waits for the device.
  std::vector<T> get() const {
    std::vector<T> values(count_);
    EXPECT_CUDA(cudaDeviceSynchronize());
    EXPECT_CUDA(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }
  void set(const std::vector<T>& values) {
    EXPECT_CUDA(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  std::size_t size() const { return count_; }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

template <class T, class Formula>
std::vector<T> made(std::size_t count, Formula formula) {
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<T>(formula(static_cast<int>(i)));
  return values;
}

}  // namespace lectern::kernels::cuda::test

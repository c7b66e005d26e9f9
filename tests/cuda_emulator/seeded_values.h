// An array of ints on the emulated device; errors are left to fault_report().
#pragma once

#include <vector>

#include "kernels/cuda/gpu.h"
#include "seeded_bugs.h"

namespace lectern::kernels::cuda::test {

class SeededValues {
 public:
  explicit SeededValues(int count) : count_(count) { cudaMalloc(&data_, bytes()); }
  template <class Formula>
  SeededValues(int count, Formula formula) : SeededValues(count) {
    std::vector<int> values;
    for (int i = 0; i < count; ++i) values.push_back(formula(i));
    cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice);
  }
  SeededValues(const SeededValues&) = delete;
  SeededValues& operator=(const SeededValues&) = delete;

  int* data() const { return data_; }
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(int); }
  /// Waits for the device.
  template <class Formula>
  bool are(Formula formula) const {
    std::vector<int> values(static_cast<std::size_t>(count_));
    if (cudaDeviceSynchronize() != cudaSuccess) return false;
    cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost);
    for (int i = 0; i < count_; ++i)
      if (values[static_cast<std::size_t>(i)] != formula(i)) return false;
    return true;
  }

 private:
  int* data_ = nullptr;
  int count_;
};

}  // namespace lectern::kernels::cuda::test

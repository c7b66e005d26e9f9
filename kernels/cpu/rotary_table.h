// Cosines and sines of the last positions asked for: all layers of a forward pass rotate by the same ones.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lectern::kernels::cpu {

class ThreadPool;

class RotaryTable {
 public:
  /// Makes the table hold cos and sin of positions[t] * frequencies[i], times `magnitude`. Computed only if something
  /// changed.
  void prepare(ThreadPool& pool, std::span<const std::int64_t> positions, std::span<const double> frequencies,
               float magnitude);
  const float* cosines(std::int64_t token) const { return cosines_.data() + token * pairs(); }
  const float* sines(std::int64_t token) const { return sines_.data() + token * pairs(); }

 private:
  std::int64_t pairs() const { return static_cast<std::int64_t>(frequencies_.size()); }

  std::vector<std::int64_t> positions_;
  std::vector<double> frequencies_;
  float magnitude_ = 0;
  std::vector<float> cosines_, sines_;  // [T, R/2]
};

}  // namespace lectern::kernels::cpu

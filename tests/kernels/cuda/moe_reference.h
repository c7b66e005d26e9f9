// What the tests of the expert networks share: random experts on the host and the device, a reference in double.
#pragma once

#include <algorithm>
#include <functional>

#include "cuda_test.h"

namespace lectern::kernels::cuda::test {

inline std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// Weights on the host and their bytes on the device.
class DeviceWeights {
 public:
  DeviceWeights(Queue& queue, DType type, std::int64_t rows, std::int64_t columns, unsigned seed)
      : host_(random_weights(type, rows, columns, seed)), buffer_(static_cast<std::int64_t>(host_.bytes.size())) {
    copy_to_device(queue, buffer_.data(), host_.bytes.data(), buffer_.size_bytes());
  }
  ConstTensor tensor(std::initializer_list<std::int64_t> shape) const { return {buffer_.data(), host_.type, shape}; }
  double operator()(std::int64_t row, std::int64_t column) const {
    return static_cast<double>(host_.values[at(row * host_.columns + column)]);
  }
  const Weights& host() const { return host_; }
  std::byte* data() const { return buffer_.data(); }

 private:
  Weights host_;
  DeviceBuffer buffer_;
};

/// A mixture's matrices; `type` of gate and up, `down_type` of down.
struct DeviceExperts {
  std::int64_t count, inner, hidden;
  DeviceWeights gate, up, down;
  DeviceExperts(Queue& queue, DType type, DType down_type, std::int64_t n, std::int64_t i, std::int64_t h)
      : count(n),
        inner(i),
        hidden(h),
        gate(queue, type, n * i, h, 1),
        up(queue, type, n * i, h, 2),
        down(queue, down_type, n * h, i, 3) {}
  ConstTensor gate_tensor() const { return gate.tensor({count, inner, hidden}); }
  ConstTensor up_tensor() const { return up.tensor({count, inner, hidden}); }
  ConstTensor down_tensor() const { return down.tensor({count, hidden, inner}); }
};

/// How activations are rounded before a product, row by row.
using RoundRow = std::function<std::vector<double>(const std::vector<double>&, DType weights)>;

/// down(silu(gate x) * up x) of one row; the matrices begin at row `expert` * inner (hidden).
inline std::vector<double> expert_output(const std::vector<double>& x, const DeviceWeights& gate,
                                         const DeviceWeights& up, const DeviceWeights& down, std::int64_t expert,
                                         std::int64_t inner, const RoundRow& round) {
  const auto hidden = static_cast<std::int64_t>(x.size());
  const std::vector<double> rounded = round(x, gate.host().type);
  std::vector<double> activated(at(inner)), result(at(hidden), 0.0);
  for (std::int64_t j = 0; j < inner; ++j) {
    double gated = 0, raised = 0;
    for (std::int64_t h = 0; h < hidden; ++h) {
      gated += rounded[at(h)] * gate(expert * inner + j, h);
      raised += rounded[at(h)] * up(expert * inner + j, h);
    }
    activated[at(j)] = gated / (1 + std::exp(-gated)) * raised;
  }
  activated = round(activated, down.host().type);
  for (std::int64_t h = 0; h < hidden; ++h)
    for (std::int64_t j = 0; j < inner; ++j) result[at(h)] += activated[at(j)] * down(expert * hidden + h, j);
  return result;
}

/// Root of the mean square: the size that errors of sums are measured by.
inline double size_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

/// As activations_q8.cuh says: 8 bits in blocks of 32, refined where a block stands out and for weights of 8 bits;
/// nothing for plain weights.
inline std::vector<double> round_to_8_bits(const std::vector<double>& x, DType weights) {
  if (!is_quantized(weights)) return x;
  double size = 0;
  for (const double value : x) size += std::abs(value);
  size /= static_cast<double>(x.size());
  std::vector<double> result(x.size());
  for (std::size_t first = 0; first < x.size(); first += 32) {
    double largest = 0;
    for (std::size_t i = first; i < first + 32; ++i) largest = std::max(largest, std::abs(x[i]));
    for (std::size_t i = first; i < first + 32 && largest > 0; ++i) {
      const double scaled = x[i] * 127 / largest, value = std::nearbyint(scaled);
      const bool refined = largest > 8 * size || weights == DType::q8_0;
      result[i] = (value + (refined ? std::nearbyint((scaled - value) * 128) / 128 : 0)) * largest / 127;
    }
  }
  return result;
}

}  // namespace lectern::kernels::cuda::test

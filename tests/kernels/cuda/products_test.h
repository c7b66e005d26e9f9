// What the tests of products share: weights on the device, activations with values that stand out, and what becomes of
// them.
#pragma once

#include "cuda_test.h"

namespace lectern::kernels::cuda::test {

/// Weights copied to the device, as they stand in a file.
class DeviceWeights {
 public:
  DeviceWeights(Queue& queue, const Weights& w)
      : type_(w.type), rows_(w.rows), columns_(w.columns), buffer_(static_cast<std::int64_t>(w.bytes.size())) {
    copy_to_device(queue, buffer_.data(), w.bytes.data(), buffer_.size_bytes());
  }
  ConstTensor tensor() const { return {buffer_.data(), type_, {rows_, columns_}}; }

 private:
  DType type_;
  std::int64_t rows_, columns_;
  DeviceBuffer buffer_;
};

/// Random activations with values that stand out: in some rows many, in some none.
inline std::vector<float> random_activations(std::int64_t rows, std::int64_t columns, unsigned seed) {
  std::vector<float> x = Random(seed).normals(rows * columns);
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = 5; i < columns && row % 4 != 3; i += 71 + 40 * (row % 3))
      x[static_cast<std::size_t>(row * columns + i)] *= 30.0f;
  return x;
}

/// x to 8 bits in blocks of 32: value = round(x * 127 / largest), and 7 bits more where a block stands out (`all`: in
/// all blocks).
inline std::vector<double> rounded_activations(const std::vector<float>& x, std::int64_t columns, bool all) {
  std::vector<double> result(x.size());
  const auto row_size = static_cast<std::size_t>(columns);
  for (std::size_t row = 0; row < x.size(); row += row_size) {
    double mean = 0;
    for (std::size_t i = row; i < row + row_size; ++i) mean += std::abs(x[i]) / static_cast<double>(columns);
    for (std::size_t block = row; block < row + row_size; block += 32) {
      float largest = 0;
      for (std::size_t i = block; i < block + 32; ++i) largest = std::max(largest, std::abs(x[i]));
      const double parts = all || static_cast<double>(largest) > 8 * mean ? 128 : 1;
      const double inverse = static_cast<double>(127.0f / largest);
      for (std::size_t i = block; i < block + 32; ++i)
        result[i] =
            std::nearbyint(static_cast<double>(x[i]) * inverse * parts) / parts * static_cast<double>(largest / 127.0f);
    }
  }
  return result;
}

/// x w^T in double, and the size of each sum: that of random terms as large as its own.
struct ReferenceProduct {
  std::vector<double> sums, sizes;
};
template <class Activation>
ReferenceProduct reference_product(const std::vector<Activation>& x, const std::vector<float>& w,
                                   std::int64_t columns) {
  const auto k = static_cast<std::size_t>(columns);
  ReferenceProduct result;
  for (std::size_t t = 0; t < x.size(); t += k)
    for (std::size_t row = 0; row < w.size(); row += k) {
      double sum = 0, size = 0;
      for (std::size_t i = 0; i < k; ++i) {
        const double term = static_cast<double>(x[t + i]) * static_cast<double>(w[row + i]);
        sum += term;
        size += term * term;
      }
      result.sums.push_back(sum);
      result.sizes.push_back(std::sqrt(size) + 1e-3);
    }
  return result;
}

inline void expect_product(const std::vector<float>& actual, const ReferenceProduct& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.sums.size());
  expect_all_near(
      actual, [&](std::size_t i) { return expected.sums[i]; }, [&](std::size_t i) { return expected.sizes[i]; },
      tolerance);
}

}  // namespace lectern::kernels::cuda::test

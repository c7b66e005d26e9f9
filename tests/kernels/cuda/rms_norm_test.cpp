#include "kernels/cuda/rms_norm.h"

#include "cuda_test.h"
#include "kernels/rms_norm.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaRmsNorm : public CudaTest {};
class CudaRmsNormSmall : public CudaTest {};

double square_sum(const std::vector<float>& x, std::size_t row, std::int64_t columns) {
  double sum = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(columns); ++i) {
    const double value = static_cast<double>(x[row * static_cast<std::size_t>(columns) + i]);
    sum += value * value;
  }
  return sum;
}

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

/// All four operations on one shape, against the reference; T is the type of the outputs.
template <class T>
void expect_norms(Queue& queue, std::int64_t rows, std::int64_t columns) {
  SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(columns));
  const std::int64_t n = rows * columns;
  const std::vector<float> x = Random(1).normals(n), z = Random(2).normals(n, 4), w = Random(3).normals(columns),
                           residual = Random(4).normals(n);
  const OnDevice<float> dx(queue, x), dz(queue, z), dw(queue, w), dr(queue, residual);
  const GuardedOnDevice<T> plain(queue, n), added(queue, n), gated(queue, n), unit(queue, n);
  const GuardedOnDevice<float> sum(queue, n);
  rms_norm(queue, dx.tensor({rows, columns}), dw.tensor({columns}), 1e-5f, plain.tensor({rows, columns}));
  add_rms_norm(queue, dx.tensor({rows, columns}), dr.tensor({rows, columns}), dw.tensor({columns}), 1e-6f,
               sum.tensor({rows, columns}), added.tensor({rows, columns}));
  gated_rms_norm(queue, dx.tensor({rows, columns}), dz.tensor({rows, columns}), dw.tensor({columns}), 1e-6f,
                 gated.tensor({rows, columns}));
  l2_norm(queue, dx.tensor({rows, columns}), 1e-6f, 0.25f, unit.tensor({rows, columns}));

  const bool is_bf16 = std::is_same_v<T, std::uint16_t>;
  const double tolerance = is_bf16 ? bf16_tolerance : elementwise_tolerance;
  const auto wide = static_cast<std::size_t>(columns);
  const auto d = [](float value) { return static_cast<double>(value); };
  const auto mean = [&](std::size_t i) { return square_sum(x, i / wide, columns) / d(static_cast<float>(columns)); };
  // bf16 rounds relative to the value itself; in f32 the sizes are those of the CPU's test.
  const auto sized = [&](auto expected, double size) {
    return [=](std::size_t i) { return is_bf16 ? std::abs(expected(i)) + 1e-3 : size; };
  };
  const auto want_plain = [&](std::size_t i) { return d(x[i]) / std::sqrt(mean(i) + 1e-5) * d(w[i % wide]); };
  expect_all_near(plain.values(), want_plain, sized(want_plain, 4), tolerance);
  const auto want_gated = [&](std::size_t i) {
    return d(x[i]) / std::sqrt(mean(i) + 1e-6) * d(w[i % wide]) * d(z[i]) * sigmoid(d(z[i]));
  };
  expect_all_near(gated.values(), want_gated, sized(want_gated, 20), tolerance);
  const auto want_unit = [&](std::size_t i) {
    return 0.25 * d(x[i]) / std::sqrt(square_sum(x, i / wide, columns) + 1e-6);
  };
  expect_all_near(unit.values(), want_unit, sized(want_unit, 1), tolerance);

  std::vector<float> sums(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) sums[i] = x[i] + residual[i];
  expect_same_bits(sum.values(), sums);
  const auto want_added = [&](std::size_t i) {
    return d(sums[i]) / std::sqrt(square_sum(sums, i / wide, columns) / d(static_cast<float>(columns)) + 1e-6) *
           d(w[i % wide]);
  };
  expect_all_near(added.values(), want_added, sized(want_added, 4), tolerance);
}

TEST_F(CudaRmsNormSmall, EqualsTheReference) {
  expect_norms<float>(queue(), 9, 8);            // warps, runs of four, one more row than a block holds
  expect_norms<float>(queue(), 2, 5);            // warps, single columns
  expect_norms<std::uint16_t>(queue(), 5, 260);  // a block a row, runs of four
  expect_norms<std::uint16_t>(queue(), 5, 257);
}

TEST_F(CudaRmsNorm, EqualsTheReference) {
  for (const std::int64_t columns : {1, 33, 64, 128, 256, 576, 2048}) {
    expect_norms<float>(queue(), 7, columns);
    expect_norms<std::uint16_t>(queue(), 1, columns);
  }
  expect_norms<float>(queue(), 1, rms_norm_columns);
}

TEST_F(CudaRmsNorm, EqualsTheCpu) {
  const std::int64_t rows = 17, columns = 2048;
  const std::vector<float> x = Random(1).normals(rows * columns), w = Random(2).normals(columns);
  const OnDevice<float> dx(queue(), x), dw(queue(), w);
  const GuardedOnDevice<float> out(queue(), rows * columns);
  rms_norm(queue(), dx.tensor({rows, columns}), dw.tensor({columns}), 1e-6f, out.tensor({rows, columns}));
  std::vector<float> twin(x.size());
  Stream cpu(1);
  kernels::rms_norm(cpu, f32_view(x.data(), {rows, columns}), f32_view(w.data(), {columns}), 1e-6f,
                    f32_view(twin.data(), {rows, columns}));
  expect_all_near(
      out.values(), [&](std::size_t i) { return static_cast<double>(twin[i]); }, [](std::size_t) { return 4.0; },
      elementwise_tolerance);
}

TEST_F(CudaRmsNormSmall, WorksInPlaceAndAlike) {
  for (const std::int64_t columns : {36, 300}) {
    const std::int64_t rows = 10;
    const std::vector<float> x = Random(1).normals(rows * columns), z = Random(2).normals(rows * columns),
                             w = Random(3).normals(columns);
    const OnDevice<float> dx(queue(), x), dz(queue(), z), dw(queue(), w), place(queue(), x), gate(queue(), z);
    const GuardedOnDevice<float> out(queue(), rows * columns), alone(queue(), columns), sum(queue(), rows * columns);
    const auto shape = {rows, columns};
    rms_norm(queue(), dx.tensor(shape), dw.tensor({columns}), 1e-5f, out.tensor(shape));
    rms_norm(queue(), place.tensor(shape), dw.tensor({columns}), 1e-5f, place.tensor(shape));
    expect_same_bits(place.values(), out.values());
    // One row alone has the bits it has among others.
    const Tensor row(dx.data() + 7 * columns * 4, DType::f32, {1, columns});
    rms_norm(queue(), row, dw.tensor({columns}), 1e-5f, alone.tensor({1, columns}));
    const std::vector<float> all = out.values(), one = alone.values();
    EXPECT_EQ(std::memcmp(one.data(), all.data() + 7 * columns, one.size() * 4), 0);

    gated_rms_norm(queue(), dx.tensor(shape), dz.tensor(shape), dw.tensor({columns}), 1e-5f, out.tensor(shape));
    gated_rms_norm(queue(), dx.tensor(shape), gate.tensor(shape), dw.tensor({columns}), 1e-5f, gate.tensor(shape));
    expect_same_bits(gate.values(), out.values());
    const OnDevice<float> stream(queue(), z);
    add_rms_norm(queue(), dx.tensor(shape), dz.tensor(shape), dw.tensor({columns}), 1e-5f, sum.tensor(shape),
                 out.tensor(shape));
    add_rms_norm(queue(), dx.tensor(shape), stream.tensor(shape), dw.tensor({columns}), 1e-5f, stream.tensor(shape),
                 place.tensor(shape));
    expect_same_bits(stream.values(), sum.values());
    expect_same_bits(place.values(), out.values());
  }
}

TEST_F(CudaRmsNormSmall, TakesRowsThatAreNotAligned) {
  const std::int64_t rows = 3, columns = 8;
  const std::vector<float> x = Random(1).normals(rows * columns + 1);
  const OnDevice<float> dx(queue(), x);
  const GuardedOnDevice<float> out(queue(), rows * columns);
  l2_norm(queue(), Tensor(dx.data() + 4, DType::f32, {rows, columns}), 1e-6f, 1, out.tensor({rows, columns}));
  const std::vector<float> shifted(x.begin() + 1, x.end());
  expect_all_near(
      out.values(),
      [&](std::size_t i) {
        return static_cast<double>(shifted[i]) / std::sqrt(square_sum(shifted, i / 8, columns) + 1e-6);
      },
      [](std::size_t) { return 1.0; }, elementwise_tolerance);
}

TEST_F(CudaRmsNormSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(4 * 4 * (rms_norm_columns + 4));
  const auto f32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::f32, shape); };
  EXPECT_THROW(rms_norm(queue(), f32({2, 4}), f32({3}), 1e-5f, f32({2, 4})), Error);
  EXPECT_THROW(rms_norm(queue(), f32({2, 4}), f32({4}), 1e-5f, memory.tensor(DType::i32, {2, 4})), Error);
  EXPECT_THROW(add_rms_norm(queue(), f32({2, 4}), f32({2, 3}), f32({4}), 1e-5f, f32({2, 4}), f32({2, 4})), Error);
  EXPECT_THROW(gated_rms_norm(queue(), f32({2, 4}), f32({1, 4}), f32({4}), 1e-5f, f32({2, 4})), Error);
  EXPECT_THROW(l2_norm(queue(), f32({1, rms_norm_columns + 4}), 1e-5f, 1, f32({1, rms_norm_columns + 4})), Error);
  l2_norm(queue(), f32({0, 4}), 1e-5f, 1, f32({0, 4}));  // no rows: nothing to do
}

TEST_F(CudaRmsNormSmall, CanBeReplayed) {
  const std::int64_t rows = 2, columns = 300;
  const std::vector<float> first = Random(1).normals(rows * columns), second = Random(2).normals(rows * columns);
  const OnDevice<float> x(queue(), first);
  const GuardedOnDevice<float> out(queue(), rows * columns), again(queue(), rows * columns);
  const Graph graph = queue().capture([&] {
    l2_norm(queue(), x.tensor({rows, columns}), 1e-6f, 1, out.tensor({rows, columns}));
  });
  EXPECT_EQ(graph.nodes(), 1);
  copy_to_device(queue(), x.data(), second.data(), rows * columns * 4);
  queue().launch(graph);
  l2_norm(queue(), x.tensor({rows, columns}), 1e-6f, 1, again.tensor({rows, columns}));
  expect_same_bits(out.values(), again.values());
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

#include "kernels/cuda/elementwise.h"

#include "cuda_test.h"
#include "kernels/elementwise.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaElementwise : public CudaTest {};
class CudaElementwiseSmall : public CudaTest {};

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

double wide(float x) {
  return static_cast<double>(x);
}

/// The operations on pairs of values against the reference, T the type of the outputs. The vectors may be unaligned by
/// `shift` values.
template <class T>
void expect_pairs(Queue& queue, std::int64_t n, std::int64_t shift = 0) {
  SCOPED_TRACE(std::to_string(n) + " values from " + std::to_string(shift));
  const std::vector<float> a = Random(1).normals(n + shift, 6), b = Random(2).normals(n + shift);
  const OnDevice<float> da(queue, a), db(queue, b);
  const ConstTensor left(da.data() + 4 * shift, DType::f32, {1, n}), right(db.data() + 4 * shift, DType::f32, {n});
  const GuardedOnDevice<T> sum(queue, n), gated(queue, n), scaled(queue, n);
  add(queue, left, right, sum.tensor({1, n}));
  silu_multiply(queue, left, right, gated.tensor({n}));
  sigmoid_multiply(queue, right, left, scaled.tensor({n}));
  const bool is_bf16 = std::is_same_v<T, std::uint16_t>;
  const double tolerance = is_bf16 ? bf16_tolerance : elementwise_exp_tolerance;
  const auto from = static_cast<std::size_t>(shift);
  const auto x = [&](std::size_t i) { return wide(a[i + from]); };
  const auto y = [&](std::size_t i) { return wide(b[i + from]); };
  const auto expect = [&](const std::vector<float>& actual, auto expected) {
    ASSERT_EQ(static_cast<std::int64_t>(actual.size()), n);
    expect_all_near(
        actual, expected, [&](std::size_t i) { return std::abs(expected(i)) + 1e-20; }, tolerance);
  };
  if (is_bf16) {
    expect(sum.values(), [&](std::size_t i) { return wide(a[i + from] + b[i + from]); });
  } else {
    std::vector<float> sums(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = a[i + from] + b[i + from];
    expect_same_bits(sum.values(), sums);
  }
  expect(gated.values(), [&](std::size_t i) { return x(i) * sigmoid(x(i)) * y(i); });
  expect(scaled.values(), [&](std::size_t i) { return y(i) * sigmoid(x(i)); });
}

TEST_F(CudaElementwiseSmall, EqualsTheReference) {
  expect_pairs<float>(queue(), 1);
  expect_pairs<float>(queue(), 1028);  // one run more than a block holds
  expect_pairs<std::uint16_t>(queue(), 1031);
  expect_pairs<std::uint16_t>(queue(), 260);
}

TEST_F(CudaElementwise, EqualsTheReference) {
  for (const std::int64_t n : {3, 16, 31, 512, 1536, 4096, 40000, 40003}) {
    expect_pairs<float>(queue(), n);
    expect_pairs<std::uint16_t>(queue(), n);
  }
  expect_pairs<float>(queue(), 1024, 1);
  expect_pairs<std::uint16_t>(queue(), 2048, 3);
}

TEST_F(CudaElementwise, EqualsTheCpu) {
  const std::int64_t n = 5 * 512;
  const std::vector<float> gate = Random(1).normals(n, 4), up = Random(2).normals(n);
  const OnDevice<float> dgate(queue(), gate), dup(queue(), up);
  const GuardedOnDevice<float> out(queue(), n);
  silu_multiply(queue(), dgate.tensor({5, 512}), dup.tensor({5, 512}), out.tensor({5, 512}));
  std::vector<float> twin(gate.size());
  Stream cpu(1);
  kernels::silu_multiply(cpu, f32_view(gate.data(), {n}), f32_view(up.data(), {n}), f32_view(twin.data(), {n}));
  expect_all_near(
      out.values(), [&](std::size_t i) { return wide(twin[i]); },
      [&](std::size_t i) { return std::abs(wide(twin[i])) + 1e-20; }, 2 * elementwise_exp_tolerance);
}

TEST_F(CudaElementwiseSmall, StaysFiniteAtTheEndsOfTheRange) {
  const std::vector<float> gate = {-1e30f, -200, -88, -87, 0, 87, 88, 200, 1e30f}, ones(9, 1.0f);
  const OnDevice<float> dgate(queue(), gate), dones(queue(), ones);
  const GuardedOnDevice<float> silu(queue(), 9), scaled(queue(), 9);
  silu_multiply(queue(), dgate.tensor({9}), dones.tensor({9}), silu.tensor({9}));
  sigmoid_multiply(queue(), dones.tensor({9}), dgate.tensor({9}), scaled.tensor({9}));
  const std::vector<float> gated = silu.values(), factors = scaled.values();
  for (std::size_t i = 0; i < 9; ++i) {
    const double x = wide(gate[i]);
    EXPECT_NEAR(wide(gated[i]), x < -80 ? 0 : x, x < -80 ? 1e-30 : 1e-6 * std::abs(x)) << x;
  }
  EXPECT_NEAR(wide(factors[0]), 0, 1e-30);
  EXPECT_NEAR(wide(factors[4]), 0.5, 1e-6);
  EXPECT_EQ(factors[8], 1.0f);
}

TEST_F(CudaElementwiseSmall, WorksInPlace) {
  for (const std::int64_t n : {36, 4100, 37}) {
    const std::vector<float> a = Random(1).normals(n), b = Random(2).normals(n);
    const OnDevice<float> da(queue(), a), db(queue(), b), left(queue(), a), right(queue(), b);
    const GuardedOnDevice<float> out(queue(), n);
    silu_multiply(queue(), da.tensor({n}), db.tensor({n}), out.tensor({n}));
    silu_multiply(queue(), left.tensor({n}), db.tensor({n}), left.tensor({n}));
    expect_same_bits(left.values(), out.values());
    add(queue(), da.tensor({n}), db.tensor({n}), out.tensor({n}));
    add(queue(), da.tensor({n}), right.tensor({n}), right.tensor({n}));
    expect_same_bits(right.values(), out.values());
  }
}

void expect_shared_expert(Queue& queue, std::int64_t rows, std::int64_t columns) {
  SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(columns));
  const std::vector<float> x = Random(1).normals(rows * columns), gate = Random(2).normals(rows, 3),
                           before = Random(3).normals(rows * columns);
  const OnDevice<float> dx(queue, x), dgate(queue, gate);
  const GuardedOnDevice<float> out(queue, rows * columns);
  copy_to_device(queue, out.data(), before.data(), rows * columns * 4);
  add_sigmoid_scaled(queue, dx.tensor({rows, columns}), dgate.tensor({rows}), out.tensor({rows, columns}));
  expect_all_near(
      out.values(),
      [&](std::size_t i) {
        return wide(before[i]) + wide(x[i]) * sigmoid(wide(gate[i / static_cast<std::size_t>(columns)]));
      },
      [&](std::size_t i) { return std::abs(wide(before[i])) + std::abs(wide(x[i])); }, elementwise_tolerance * 4);
}

TEST_F(CudaElementwiseSmall, AddsTheGatedSharedExpert) {
  expect_shared_expert(queue(), 1, 1028);  // one run more than a block holds
  expect_shared_expert(queue(), 129, 4);   // one row more than a block holds
  expect_shared_expert(queue(), 5, 7);
}

TEST_F(CudaElementwise, AddsTheGatedSharedExpert) {
  for (const std::int64_t rows : {1, 4, 5, 33})
    for (const std::int64_t columns : {1, 64, 1536, 2048}) expect_shared_expert(queue(), rows, columns);
}

template <class T>
void expect_columns(Queue& queue, std::int64_t rows, std::int64_t stride, std::int64_t column, std::int64_t columns) {
  SCOPED_TRACE(std::to_string(column) + " + " + std::to_string(columns) + " of " + std::to_string(stride));
  const std::vector<float> x = Random(1).normals(rows * stride);
  const OnDevice<float> dx(queue, x);
  const GuardedOnDevice<T> out(queue, rows * columns);
  copy_columns(queue, dx.tensor({rows, stride}), column, out.tensor({rows, columns}));
  std::vector<float> expected;
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = 0; i < columns; ++i) {
      const float value = x[static_cast<std::size_t>(row * stride + column + i)];
      expected.push_back(std::is_same_v<T, float> ? value : from_bf16(to_bf16(value)));
    }
  expect_same_bits(out.values(), expected);
}

TEST_F(CudaElementwiseSmall, CopiesColumns) {
  expect_columns<float>(queue(), 130, 12, 4, 8);
  expect_columns<float>(queue(), 3, 11, 2, 9);
  expect_columns<std::uint16_t>(queue(), 5, 1040, 8, 1028);
}

TEST_F(CudaElementwise, CopiesColumns) {
  for (const std::int64_t rows : {1, 3, 9}) {
    expect_columns<float>(queue(), rows, 8192, 2048, 4096);
    expect_columns<std::uint16_t>(queue(), rows, 512, 256, 256);
    expect_columns<float>(queue(), rows, 64, 0, 64);
    expect_columns<float>(queue(), rows, 64, 1, 60);
    expect_columns<std::uint16_t>(queue(), rows, 66, 4, 60);
    expect_columns<float>(queue(), rows, 5, 4, 1);
  }
}

TEST_F(CudaElementwiseSmall, RoundsToBf16) {
  for (const std::int64_t n : {1, 7, 1028, 5000}) {
    std::vector<float> x = Random(1).normals(n, 100);
    x[0] = 1.00390625f;  // halfway between two of bf16: to the even one
    const OnDevice<float> dx(queue(), x);
    const GuardedOnDevice<std::uint16_t> out(queue(), n);
    round_to_bf16(queue(), dx.tensor({n}), out.tensor({1, n}));
    std::vector<float> expected;
    for (const float value : x) expected.push_back(from_bf16(to_bf16(value)));
    expect_same_bits(out.values(), expected);
    EXPECT_EQ(out.values()[0], 1.0f);
  }
}

TEST_F(CudaElementwiseSmall, AValueDoesNotDependOnTheOthers) {
  const std::int64_t n = 40000, first = 36123, count = 333;  // long: four runs a thread; short: single values
  const std::vector<float> gate = Random(1).normals(n), up = Random(2).normals(n);
  const OnDevice<float> dgate(queue(), gate), dup(queue(), up);
  const GuardedOnDevice<float> all(queue(), n), some(queue(), count);
  silu_multiply(queue(), dgate.tensor({n}), dup.tensor({n}), all.tensor({n}));
  silu_multiply(queue(), {dgate.data() + 4 * first, DType::f32, {count}}, {dup.data() + 4 * first, DType::f32, {count}},
                some.tensor({count}));
  const std::vector<float> values = all.values();
  expect_same_bits(some.values(), {values.begin() + first, values.begin() + first + count});
}

TEST_F(CudaElementwiseSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(4096);
  const auto f32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::f32, shape); };
  const auto i32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::i32, shape); };
  const auto bf16 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::bf16, shape); };
  EXPECT_THROW(add(queue(), f32({2, 4}), f32({7}), f32({8})), Error);
  EXPECT_THROW(add(queue(), f32({2, 4}), f32({8}), i32({8})), Error);
  EXPECT_THROW(silu_multiply(queue(), bf16({8}), f32({8}), f32({8})), Error);
  EXPECT_THROW(silu_multiply(queue(), f32({8}), f32({8}), f32({9})), Error);
  EXPECT_THROW(sigmoid_multiply(queue(), f32({8}), i32({8}), f32({8})), Error);
  EXPECT_THROW(add_sigmoid_scaled(queue(), f32({2, 4}), f32({3}), f32({2, 4})), Error);
  EXPECT_THROW(add_sigmoid_scaled(queue(), f32({2, 4}), f32({2}), bf16({2, 4})), Error);
  EXPECT_THROW(copy_columns(queue(), f32({2, 4}), 2, f32({2, 3})), Error);
  EXPECT_THROW(copy_columns(queue(), f32({2, 4}), -1, f32({2, 3})), Error);
  EXPECT_THROW(copy_columns(queue(), f32({2, 4}), 0, f32({3, 4})), Error);
  EXPECT_THROW(round_to_bf16(queue(), f32({8}), f32({8})), Error);
  add(queue(), f32({0, 4}), f32({0, 4}), f32({0, 4}));  // nothing to do
  copy_columns(queue(), f32({0, 4}), 0, f32({0, 4}));
  queue().synchronize();
}

TEST_F(CudaElementwiseSmall, CanBeReplayed) {
  const std::vector<float> first = Random(1).normals(64), second = Random(2).normals(64);
  const OnDevice<float> x(queue(), first);
  const GuardedOnDevice<float> out(queue(), 64);
  const Graph graph = queue().capture([&] { add(queue(), x.tensor({64}), x.tensor({64}), out.tensor({64})); });
  EXPECT_EQ(graph.nodes(), 1);
  copy_to_device(queue(), x.data(), second.data(), 256);
  queue().launch(graph);
  std::vector<float> twice = second;
  for (float& value : twice) value *= 2;
  expect_same_bits(out.values(), twice);
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

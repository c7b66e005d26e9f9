#include "kernels/cuda/rotary.h"

#include "cuda_test.h"
#include "kernels/rotary.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaRotary : public CudaTest {};
class CudaRotarySmall : public CudaTest {};

std::vector<double> frequencies_of(std::int64_t pairs) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < pairs; ++i)
    result.push_back(std::pow(1e7, -static_cast<double>(i) / static_cast<double>(pairs)));
  return result;
}

struct Size {
  std::int64_t tokens, heads, dim, rotated;
};

void expect_turned(Queue& queue, Size size, RotaryPairs kind, const std::vector<std::int32_t>& positions) {
  SCOPED_TRACE(std::to_string(size.tokens) + " x " + std::to_string(size.heads) + " x " + std::to_string(size.dim));
  const std::int64_t pairs = size.rotated / 2, rows = size.tokens * size.heads;
  const std::vector<double> thetas = frequencies_of(pairs);
  const std::vector<float> before = Random(4).normals(rows * size.dim);
  const OnDevice<std::int32_t> where(queue, positions);
  const GuardedOnDevice<float> x(queue, rows * size.dim);
  copy_to_device(queue, x.data(), before.data(), rows * size.dim * 4);
  const RotaryFrequencies frequencies(queue, thetas);
  rotary(queue, x.tensor({size.tokens, size.heads, size.dim}), where.tensor({size.tokens}), frequencies, 1.25f, kind);

  std::vector<double> expected(before.begin(), before.end());
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < pairs; ++i) {
      const std::int64_t in_first = kind == RotaryPairs::halves ? i : 2 * i;
      const std::int64_t in_second = kind == RotaryPairs::halves ? i + pairs : 2 * i + 1;
      const auto first = static_cast<std::size_t>(row * size.dim + in_first);
      const auto second = static_cast<std::size_t>(row * size.dim + in_second);
      const double angle = static_cast<double>(positions[static_cast<std::size_t>(row / size.heads)]) *
                           thetas[static_cast<std::size_t>(i)];
      const double a = expected[first], b = expected[second];
      expected[first] = 1.25 * (a * std::cos(angle) - b * std::sin(angle));
      expected[second] = 1.25 * (b * std::cos(angle) + a * std::sin(angle));
    }
  }
  const std::vector<float> actual = x.values();
  expect_all_near(
      actual, [&](std::size_t i) { return expected[i]; }, [](std::size_t) { return 4.0; }, elementwise_tolerance);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (static_cast<std::int64_t>(i) % size.dim >= size.rotated) {
      EXPECT_EQ(actual[i], before[i]) << i;
    }
  }
}

TEST_F(CudaRotarySmall, TurnsPairsOfBothKindsAtAnyPositionAndLeavesTheRest) {
  for (const RotaryPairs kind : {RotaryPairs::halves, RotaryPairs::adjacent}) {
    expect_turned(queue(), {1, 1, 2, 2}, kind, {5});
    expect_turned(queue(), {3, 2, 10, 6}, kind, {0, 1, 1010000});
  }
}

TEST_F(CudaRotary, TurnsPairsOfBothKindsAtAnyPositionAndLeavesTheRest) {
  for (const RotaryPairs kind : {RotaryPairs::halves, RotaryPairs::adjacent}) {
    expect_turned(queue(), {5, 18, 256, 64}, kind, {0, 77, 262143, 262144, 1010000});
    expect_turned(queue(), {3, 3, 64, 64}, kind, {8191, 2, 2147483647});
    expect_turned(queue(), {1, 1, 512, 512}, kind, {123457});
  }
}

/// Over many positions and quarters of the turn, a pair (1, 0) shows cos and sin themselves.
TEST_F(CudaRotary, FormsAnglesToAMillionthOfARadian) {
  const std::vector<double> thetas = {1.0, 0.7310585786300049, 8.65964323e-4, 4.13704275e-8, 3.0};
  const std::int64_t tokens = 400, pairs = std::ssize(thetas);
  std::vector<std::int32_t> positions;
  for (std::int64_t t = 0; t < tokens; ++t) positions.push_back(static_cast<std::int32_t>(1010000 - t * 2521));
  std::vector<float> ones;
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t i = 0; i < 2 * pairs; ++i) ones.push_back(i < pairs ? 1.0f : 0.0f);
  const OnDevice<float> x(queue(), ones);
  const OnDevice<std::int32_t> where(queue(), positions);
  const RotaryFrequencies frequencies(queue(), thetas);
  rotary(queue(), x.tensor({tokens, 1, 2 * pairs}), where.tensor({tokens}), frequencies, 1, RotaryPairs::halves);
  const std::vector<float> turned = x.values();
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t i = 0; i < pairs; ++i) {
      const double angle =
          static_cast<double>(positions[static_cast<std::size_t>(t)]) * thetas[static_cast<std::size_t>(i)];
      const std::int64_t row = t * 2 * pairs;
      const double cosine = static_cast<double>(turned[static_cast<std::size_t>(row + i)]);
      const double sine = static_cast<double>(turned[static_cast<std::size_t>(row + pairs + i)]);
      EXPECT_LT(std::abs(std::remainder(std::atan2(sine, cosine) - angle, 6.283185307179586477)), 3e-7)
          << t << " " << i;
      EXPECT_NEAR(std::hypot(sine, cosine), 1, 3e-7);
    }
  }
}

TEST_F(CudaRotary, EqualsTheCpu) {
  const std::int64_t tokens = 7, heads = 16, dim = 256, pairs = 32;
  const std::vector<float> before = Random(1).normals(tokens * heads * dim);
  const std::vector<std::int32_t> positions = {0, 1, 255, 4096, 99999, 262143, 1009999};
  const std::vector<double> thetas = frequencies_of(pairs);
  const OnDevice<float> x(queue(), before);
  const OnDevice<std::int32_t> where(queue(), positions);
  const RotaryFrequencies frequencies(queue(), thetas);
  rotary(queue(), x.tensor({tokens, heads, dim}), where.tensor({tokens}), frequencies, 1.1386294f, RotaryPairs::halves);
  std::vector<float> twin = before;
  Stream cpu(1);
  kernels::rotary(cpu, f32_view(twin.data(), {tokens, heads, dim}),
                  std::vector<std::int64_t>(positions.begin(), positions.end()), thetas, 1.1386294f,
                  RotaryPairs::halves);
  expect_all_near(
      x.values(), [&](std::size_t i) { return static_cast<double>(twin[i]); }, [](std::size_t) { return 4.0; },
      elementwise_tolerance);
}

TEST_F(CudaRotarySmall, ReadsPositionsWhenItRuns) {
  const OnDevice<float> x(queue(), {1, 0});
  const OnDevice<std::int32_t> where(queue(), {0});
  const RotaryFrequencies frequencies(queue(), std::vector<double>{0.1});
  const Graph graph = queue().capture([&] {
    rotary(queue(), x.tensor({1, 1, 2}), where.tensor({1}), frequencies, 1, RotaryPairs::halves);
  });
  EXPECT_EQ(graph.nodes(), 1);
  const std::int32_t three = 3;
  copy_to_device(queue(), where.data(), &three, 4);
  queue().launch(graph);
  EXPECT_NEAR(static_cast<double>(x.values()[1]), std::sin(0.3), 1e-7);
}

TEST_F(CudaRotarySmall, RefusesWhatDoesNotFit) {
  const OnDevice<float> x(queue(), std::vector<float>(8));
  const OnDevice<std::int32_t> where(queue(), {0, 0});
  const RotaryFrequencies three(queue(), std::vector<double>(3, 0.5)), one(queue(), std::vector<double>(1, 0.5));
  EXPECT_THROW(rotary(queue(), x.tensor({2, 1, 4}), where.tensor({2}), three, 1, RotaryPairs::halves), Error);
  EXPECT_THROW(rotary(queue(), x.tensor({2, 1, 4}), where.tensor({1}), one, 1, RotaryPairs::halves), Error);
  EXPECT_THROW(rotary(queue(), x.tensor({2, 4}), where.tensor({2}), one, 1, RotaryPairs::halves), Error);
  EXPECT_THROW(rotary(queue(), x.tensor({2, 1, 4}), x.tensor({2}), one, 1, RotaryPairs::halves), Error);
  EXPECT_THROW(RotaryFrequencies(queue(), std::vector<double>{}), Error);
  EXPECT_THROW(RotaryFrequencies(queue(), std::vector<double>(257, 0.5)), Error);
  rotary(queue(), x.tensor({0, 1, 4}), where.tensor({0}), one, 1, RotaryPairs::halves);  // no rows: nothing to do
  EXPECT_EQ(x.values(), std::vector<float>(8));
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

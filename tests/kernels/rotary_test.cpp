#include "kernels/rotary.h"

#include "kernel_test.h"
#include "kernels/error.h"

namespace lectern::kernels::test {
namespace {

TEST(Rotary, TurnsPairsOfBothKindsAtAnyPositionAndLeavesTheRest) {
  on_every_path([](Stream& stream) {
    struct Size {
      std::int64_t tokens, heads, dim, rotated;
    };
    for (const Size size : {Size{1, 1, 2, 2}, Size{5, 3, 64, 64}, Size{3, 2, 256, 64}, Size{9, 2, 10, 6}}) {
      for (const RotaryPairs kind : {RotaryPairs::halves, RotaryPairs::adjacent}) {
        const std::int64_t pairs = size.rotated / 2;
        std::vector<double> frequencies;
        for (std::int64_t i = 0; i < pairs; ++i)
          frequencies.push_back(std::pow(1e7, -static_cast<double>(i) / static_cast<double>(pairs)));
        std::vector<std::int64_t> positions;
        for (std::int64_t t = 0; t < size.tokens; ++t) positions.push_back(t * 52428 + 1);  // up to 262,000 and beyond
        const std::vector<float> before = Random(4).normals(size.tokens * size.heads * size.dim);
        std::vector<float> x = before;
        rotary(stream, f32_view(x.data(), {size.tokens, size.heads, size.dim}), positions, frequencies, 1.25f, kind);
        for (std::int64_t row = 0; row < size.tokens * size.heads; ++row) {
          for (std::int64_t i = 0; i < pairs; ++i) {
            const std::int64_t first = row * size.dim + (kind == RotaryPairs::halves ? i : 2 * i);
            const std::int64_t second = row * size.dim + (kind == RotaryPairs::halves ? i + pairs : 2 * i + 1);
            const double angle = static_cast<double>(positions[static_cast<std::size_t>(row / size.heads)]) *
                                 frequencies[static_cast<std::size_t>(i)];
            const double a = static_cast<double>(before[static_cast<std::size_t>(first)]),
                         b = static_cast<double>(before[static_cast<std::size_t>(second)]);
            expect_near(x[static_cast<std::size_t>(first)], 1.25 * (a * std::cos(angle) - b * std::sin(angle)), 4,
                        elementwise_tolerance, first);
            expect_near(x[static_cast<std::size_t>(second)], 1.25 * (a * std::sin(angle) + b * std::cos(angle)), 4,
                        elementwise_tolerance, second);
          }
          for (std::int64_t i = size.rotated; i < size.dim; ++i)
            EXPECT_EQ(x[static_cast<std::size_t>(row * size.dim + i)],
                      before[static_cast<std::size_t>(row * size.dim + i)]);
        }
      }
    }
  });
}

TEST(Rotary, FollowsEveryChangeOfItsArguments) {
  Stream stream(1);
  const std::vector<double> slow = {0.1}, fast = {0.2};
  const auto turn = [&](std::int64_t position, const std::vector<double>& frequencies, float magnitude) {
    std::vector<float> x = {1, 0};
    rotary(stream, f32_view(x.data(), {1, 1, 2}), std::vector<std::int64_t>{position}, frequencies, magnitude,
           RotaryPairs::halves);
    return static_cast<double>(x[1]);
  };
  EXPECT_NEAR(turn(3, slow, 1), std::sin(0.3), 1e-7);
  EXPECT_NEAR(turn(4, slow, 1), std::sin(0.4), 1e-7);
  EXPECT_NEAR(turn(4, fast, 1), std::sin(0.8), 1e-7);
  EXPECT_NEAR(turn(4, fast, 2), 2 * std::sin(0.8), 1e-6);
}

TEST(Rotary, RefusesMoreFrequenciesThanPairs) {
  Stream stream(1);
  std::vector<float> x(4);
  EXPECT_THROW(rotary(stream, f32_view(x.data(), {1, 1, 4}), std::vector<std::int64_t>{0}, std::vector<double>(3), 1,
                      RotaryPairs::halves),
               Error);
}

}  // namespace
}  // namespace lectern::kernels::test

#include "kernels/elementwise.h"

#include "kernel_test.h"

namespace lectern::kernels::test {
namespace {

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

TEST(Elementwise, EqualsTheReferenceAndMayAlias) {
  on_every_path([](Stream& stream) {
    for (const std::int64_t n : {1, 3, 16, 31, 1536, 40000}) {
      const std::vector<float> a = Random(1).normals(n, 6), b = Random(2).normals(n);
      const ConstTensor left = f32_view(a.data(), {1, n}), right = f32_view(b.data(), {1, n});
      Guarded sum(n), gated(n), scaled(n);
      add(stream, left, right, f32_view(sum.data(), {1, n}));
      silu_multiply(stream, left, right, f32_view(gated.data(), {1, n}));
      sigmoid_multiply(stream, right, left, f32_view(scaled.data(), {1, n}));
      for (std::int64_t i = 0; i < n; ++i) {
        const double x = static_cast<double>(a[static_cast<std::size_t>(i)]),
                     y = static_cast<double>(b[static_cast<std::size_t>(i)]);
        expect_near(sum[i], x + y, std::abs(x) + std::abs(y), elementwise_tolerance, i);
        expect_near(gated[i], x * sigmoid(x) * y, std::abs(x * sigmoid(x) * y) + 1e-20, elementwise_tolerance, i);
        expect_near(scaled[i], y * sigmoid(x), std::abs(y * sigmoid(x)) + 1e-20, elementwise_tolerance, i);
      }
      std::vector<float> place = a;
      silu_multiply(stream, f32_view(place.data(), {n}), right, f32_view(place.data(), {n}));
      expect_same_bits(place, gated.values());
    }
  });
}

TEST(Elementwise, StaysFiniteAtTheEndsOfTheRange) {
  on_every_path([](Stream& stream) {
    const std::vector<float> gate = {-1e30f, -200, -88, -87, 0, 87, 88, 200, 1e30f}, one(9, 1.0f);
    Guarded out(9);
    silu_multiply(stream, f32_view(gate.data(), {9}), f32_view(one.data(), {9}), f32_view(out.data(), {9}));
    for (std::int64_t i = 0; i < 9; ++i) {
      const double x = static_cast<double>(gate[static_cast<std::size_t>(i)]);
      EXPECT_NEAR(static_cast<double>(out[i]), x < -80 ? 0 : x, x < -1e9 ? 1e-8 : 1e-6 * std::abs(x) + 1e-30) << x;
    }
    sigmoid_multiply(stream, f32_view(one.data(), {9}), f32_view(gate.data(), {9}), f32_view(out.data(), {9}));
    EXPECT_NEAR(out[0], 0.0f, 1e-30f);
    EXPECT_EQ(out[8], 1.0f);
  });
}

TEST(Elementwise, AddsTheGatedSharedExpert) {
  on_every_path([](Stream& stream) {
    const std::int64_t rows = 5, n = 37;
    const std::vector<float> x = Random(1).normals(rows * n), gate = Random(2).normals(rows),
                             before = Random(3).normals(rows * n);
    std::vector<float> out = before;
    add_sigmoid_scaled(stream, f32_view(x.data(), {rows, n}), f32_view(gate.data(), {rows}),
                       f32_view(out.data(), {rows, n}));
    for (std::int64_t i = 0; i < rows * n; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double factor = sigmoid(static_cast<double>(gate[static_cast<std::size_t>(i / n)]));
      expect_near(out[at], static_cast<double>(before[at]) + static_cast<double>(x[at]) * factor, 4,
                  elementwise_tolerance, i);
    }
  });
}

}  // namespace
}  // namespace lectern::kernels::test

#include "kernels/rms_norm.h"

#include "kernel_test.h"
#include "kernels/error.h"

namespace lectern::kernels::test {
namespace {

const std::vector<std::int64_t> widths = {1, 5, 33, 64, 576, 2048};

double mean_square(const float* x, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum / static_cast<double>(n);
}

TEST(RmsNorm, EqualsTheReference) {
  on_every_path([](Stream& stream) {
    for (const std::int64_t n : widths) {
      const std::int64_t rows = 7;
      const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
      const std::vector<float> x = Random(1).normals(rows * n), z = Random(2).normals(rows * n, 4),
                               w = Random(3).normals(n);
      Guarded plain(rows * n), gated(rows * n), unit(rows * n);
      rms_norm(stream, f32_view(x.data(), {rows, n}), f32_view(w.data(), {n}), 1e-5f,
               f32_view(plain.data(), {rows, n}));
      gated_rms_norm(stream, f32_view(x.data(), {rows, n}), f32_view(z.data(), {rows, n}), f32_view(w.data(), {n}),
                     1e-6f, f32_view(gated.data(), {rows, n}));
      l2_norm(stream, f32_view(x.data(), {rows, n}), 1e-6f, 0.25f, f32_view(unit.data(), {rows, n}));
      for (std::int64_t i = 0; i < rows * n; ++i) {
        const double square = mean_square(x.data() + i / n * n, n), value = static_cast<double>(x[at(i)]);
        const double gate = static_cast<double>(z[at(i)]), weight = static_cast<double>(w[at(i % n)]);
        expect_near(plain[i], value / std::sqrt(square + 1e-5) * weight, 4, elementwise_tolerance, i);
        expect_near(gated[i], value / std::sqrt(square + 1e-6) * weight * gate / (1 + std::exp(-gate)), 20,
                    elementwise_tolerance, i);
        expect_near(unit[i], 0.25 * value / std::sqrt(square * static_cast<double>(n) + 1e-6), 1, elementwise_tolerance,
                    i);
      }
    }
  });
}

TEST(RmsNorm, WorksInPlaceAndAlike) {
  on_every_path([](Stream& stream) {
    const std::int64_t rows = 40, n = 576;
    const std::vector<float> x = Random(1).normals(rows * n), z = Random(2).normals(rows * n), w = Random(3).normals(n);
    Guarded out(rows * n);
    std::vector<float> place = x;
    rms_norm(stream, f32_view(x.data(), {rows, n}), f32_view(w.data(), {n}), 1e-5f, f32_view(out.data(), {rows, n}));
    rms_norm(stream, f32_view(place.data(), {rows, n}), f32_view(w.data(), {n}), 1e-5f,
             f32_view(place.data(), {rows, n}));
    expect_same_bits(place, out.values());
    // One row alone has the bits it has among others.
    rms_norm(stream, f32_view(x.data() + 7 * n, {1, n}), f32_view(w.data(), {n}), 1e-5f,
             f32_view(place.data(), {1, n}));
    EXPECT_EQ(std::memcmp(place.data(), out.data() + 7 * n, static_cast<std::size_t>(n) * 4), 0);
    place = x;
    gated_rms_norm(stream, f32_view(x.data(), {rows, n}), f32_view(z.data(), {rows, n}), f32_view(w.data(), {n}), 1e-5f,
                   f32_view(out.data(), {rows, n}));
    gated_rms_norm(stream, f32_view(place.data(), {rows, n}), f32_view(z.data(), {rows, n}), f32_view(w.data(), {n}),
                   1e-5f, f32_view(place.data(), {rows, n}));
    expect_same_bits(place, out.values());
  });
}

TEST(RmsNorm, RefusesAWeightOfAnotherWidth) {
  Stream stream(1);
  std::vector<float> x(8);
  EXPECT_THROW(rms_norm(stream, f32_view(x.data(), {2, 4}), f32_view(x.data(), {3}), 1e-5f, f32_view(x.data(), {2, 4})),
               Error);
}

}  // namespace
}  // namespace lectern::kernels::test

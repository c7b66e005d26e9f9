#include "inference/rope_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "kernels/device.h"

namespace lectern::inference {
namespace {

TEST(RopeConfig, ComputesYarnFrequenciesAsInItsDescription) {
  const std::vector<double> frequencies = yarn_frequencies(64, 1e7, {.factor = 4.0, .original_length = 262144.0});
  ASSERT_EQ(frequencies.size(), 32U);
  EXPECT_NEAR(frequencies[14], 8.65964323e-4, 1e-12);
  EXPECT_NEAR(frequencies[15], 4.74239823e-4, 1e-12);
  EXPECT_NEAR(frequencies[18], 7.2173874e-5, 1e-12);
  EXPECT_NEAR(frequencies[22], 3.84981632e-6, 1e-14);
  EXPECT_NEAR(frequencies[31], 4.13704275e-8, 1e-16);
  EXPECT_NEAR(yarn_magnitude(2.0), 1.0693147, 1e-7);
  EXPECT_NEAR(yarn_magnitude(4.0), 1.1386294, 1e-7);
  EXPECT_EQ(yarn_magnitude(1.0), 1.0);
}

TEST(RopeConfig, LeavesShortWavelengthsAndDividesLongOnesExactly) {
  const std::vector<double> plain = rope_frequencies(64, 1e7);
  const std::vector<double> stretched = yarn_frequencies(64, 1e7, {.factor = 4.0, .original_length = 262144.0});
  for (std::size_t i = 0; i <= 14; ++i) EXPECT_EQ(stretched[i], plain[i]) << i;
  for (std::size_t i = 15; i <= 21; ++i) {
    EXPECT_LT(stretched[i], plain[i]) << i;
    EXPECT_GT(stretched[i], plain[i] / 4) << i;
  }
  for (std::size_t i = 22; i < 32; ++i) EXPECT_EQ(stretched[i], plain[i] / 4) << i;
  EXPECT_EQ(yarn_frequencies(64, 1e7, {.factor = 1.0, .original_length = 262144.0}), plain);
  // Coder-Next: the ramp is from 14 to 23; without truncation it begins and ends between indices.
  const std::vector<double> coder = yarn_frequencies(64, 5e6, {.factor = 4.0, .original_length = 262144.0});
  EXPECT_EQ(coder[14], rope_frequencies(64, 5e6)[14]);
  EXPECT_GT(coder[22], rope_frequencies(64, 5e6)[22] / 4);
  EXPECT_EQ(coder[23], rope_frequencies(64, 5e6)[23] / 4);
  const std::vector<double> smooth =
      yarn_frequencies(64, 1e7, {.factor = 4.0, .original_length = 262144.0, .truncate = false});
  EXPECT_NEAR(smooth[15], plain[15] * (1 - 0.75 * (15 - 14.241) / (21.122 - 14.241)), 1e-8);
}

/// The rotated pair (1, 0) is (cos, sin) of the angle, times the magnitude.
TEST(RopeConfig, GivesAnglesOfFloat64UpToTheLongestPosition) {
  kernels::Stream stream(1);
  const std::vector<double> frequencies = yarn_frequencies(64, 1e7, {.factor = 4.0, .original_length = 262144.0});
  const auto magnitude = static_cast<float>(yarn_magnitude(4.0));
  const std::int64_t positions[] = {0, 1, 31, 32768, 262143, 262144, 524287, 999999, 1009999, 1010000};
  std::vector<float> x(std::size(positions) * 64, 0.0F);
  for (std::size_t t = 0; t < std::size(positions); ++t)
    for (std::size_t i = 0; i < 32; ++i) x[t * 64 + i] = 1.0F;
  kernels::rotary(stream, kernels::f32_view(x.data(), {static_cast<std::int64_t>(std::size(positions)), 1, 64}),
                  positions, frequencies, magnitude, kernels::RotaryPairs::halves);
  for (std::size_t t = 0; t < std::size(positions); ++t)
    for (std::size_t i = 0; i < 32; ++i) {
      // The formula once more, in long double.
      const long double theta = std::pow(1e7L, -2.0L * static_cast<long double>(i) / 64.0L);
      const long double ramp = std::clamp((static_cast<long double>(i) - 14.0L) / 8.0L, 0.0L, 1.0L);
      const long double angle = static_cast<long double>(positions[t]) * (theta * (1.0L - ramp) + theta / 4.0L * ramp);
      EXPECT_NEAR(x[t * 64 + i], static_cast<double>(1.1386294361119891L * std::cos(angle)), 2e-7)
          << positions[t] << ' ' << i;
      EXPECT_NEAR(x[t * 64 + 32 + i], static_cast<double>(1.1386294361119891L * std::sin(angle)), 2e-7)
          << positions[t] << ' ' << i;
    }
}

TEST(RopeConfig, AddsNothingByAConstantShiftOfAllPositions) {
  kernels::Stream stream(1);
  const std::vector<double> frequencies = yarn_frequencies(16, 1e4, {.factor = 4.0, .original_length = 32.0});
  const auto products = [&](std::int64_t shift) {  // q at 5 with k at 0..9
    std::vector<std::int64_t> positions{5 + shift};
    for (std::int64_t t = 0; t < 10; ++t) positions.push_back(t + shift);
    std::vector<float> x(positions.size() * 16);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i * i));
    kernels::rotary(stream, kernels::f32_view(x.data(), {11, 1, 16}), positions, frequencies, 1.0F,
                    kernels::RotaryPairs::halves);
    std::vector<double> dots(10, 0.0);
    for (std::size_t t = 0; t < 10; ++t)
      for (std::size_t i = 0; i < 16; ++i)
        dots[t] += static_cast<double>(x[i]) * static_cast<double>(x[(t + 1) * 16 + i]);
    return dots;
  };
  const std::vector<double> here = products(0), there = products(100000);
  for (std::size_t t = 0; t < 10; ++t) EXPECT_NEAR(here[t], there[t], 2e-6) << t;
}

TEST(RopeConfig, StretchesLlama3WavelengthsByTheirLength) {
  const std::vector<double> frequencies = llama3_frequencies(
      128, 500000.0, {.factor = 8.0, .low_freq_factor = 1.0, .high_freq_factor = 4.0, .original_length = 8192.0});
  const std::vector<double> plain = rope_frequencies(128, 500000.0);
  EXPECT_EQ(frequencies[0], plain[0]);
  EXPECT_EQ(frequencies[63], plain[63] / 8);
  for (std::size_t i = 0; i < 64; ++i) {  // as transformers writes it: by wavelength
    const double wavelength = 2 * std::numbers::pi / plain[i];
    double expected = wavelength > 8192.0 ? plain[i] / 8 : plain[i];
    if (wavelength <= 8192.0 && wavelength >= 8192.0 / 4) {
      const double smooth = (8192.0 / wavelength - 1.0) / 3.0;
      expected = (1 - smooth) * plain[i] / 8 + smooth * plain[i];
    }
    EXPECT_NEAR(frequencies[i], expected, 1e-12 * plain[i]) << i;
  }
}

}  // namespace
}  // namespace lectern::inference

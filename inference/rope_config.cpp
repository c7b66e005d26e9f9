#include "inference/rope_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lectern::inference {

std::vector<double> rope_frequencies(std::int64_t d, double b) {
  std::vector<double> frequencies(static_cast<std::size_t>(d / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = std::pow(b, -2.0 * static_cast<double>(i) / static_cast<double>(d));
  return frequencies;
}

std::vector<double> yarn_frequencies(std::int64_t d, double b, const Yarn& yarn) {
  std::vector<double> frequencies = rope_frequencies(d, b);
  if (yarn.factor <= 1.0) return frequencies;
  const auto dimensions = static_cast<double>(d);
  const auto corr = [&](double rotations) {
    return dimensions * std::log(yarn.original_length / (2.0 * std::numbers::pi * rotations)) / (2.0 * std::log(b));
  };
  double low = corr(yarn.beta_fast), high = corr(yarn.beta_slow);
  if (yarn.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, dimensions - 1.0);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] * (1.0 - ramp) + frequencies[i] / yarn.factor * ramp;
  }
  return frequencies;
}

double yarn_magnitude(double factor) {
  return factor > 1.0 ? 0.1 * std::log(factor) + 1.0 : 1.0;
}

std::vector<double> llama3_frequencies(std::int64_t d, double b, const Llama3Scaling& scaling) {
  std::vector<double> frequencies = rope_frequencies(d, b);
  for (double& frequency : frequencies) {
    const double turns = scaling.original_length * frequency / (2.0 * std::numbers::pi);  // L0 / wavelength
    const double blend =
        std::clamp((turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor), 0.0, 1.0);
    frequency = frequency / scaling.factor * (1.0 - blend) + frequency * blend;
  }
  return frequencies;
}

}  // namespace lectern::inference

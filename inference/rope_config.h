// Frequencies of the rotary position embedding, with every way of stretching them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/rotary.h"

namespace lectern::inference {

struct RopeConfig {
  std::int64_t dimensions = 0;  // rotated dimensions R of each head, even, the first ones
  kernels::RotaryPairs pairs = kernels::RotaryPairs::halves;
  double freq_base = 10000.0;
  /// theta_i, i < R/2: freq_base^(-2i/R), with linear scaling, YaRN (model.md 5) or llama 3 factors applied.
  std::vector<double> frequencies;
  float magnitude = 1.0F;  // multiplies cos and sin (YaRN's attention factor, else 1)
  std::string scaling;     // "", "linear", "yarn", "factors": for inspection and for the identity of kept state
};

/// YaRN (arXiv 2309.00071, as in model.md 5).
struct Yarn {
  double factor = 1.0;           // s >= 1
  double original_length = 0.0;  // L0, tokens
  double beta_fast = 32.0, beta_slow = 1.0;
  bool truncate = true;  // the ramp begins and ends at whole indices
};

/// theta_i = b^(-2i/d), i < d/2.
std::vector<double> rope_frequencies(std::int64_t d, double b);
/// theta'_i = theta_i (1 - ramp_i) + theta_i / s ramp_i, ramp_i = clamp((i - low) / (high - low), 0, 1);
/// corr(r) = d ln(L0 / (2 pi r)) / (2 ln b), low = max(floor(corr(beta_fast)), 0), high = min(ceil(corr(beta_slow)),
/// d - 1), 0.001 more if they are equal. All in double.
std::vector<double> yarn_frequencies(std::int64_t d, double b, const Yarn& yarn);
/// What multiplies cos and sin: 0.1 ln(s) + 1, and 1 for s <= 1.
double yarn_magnitude(double factor);

/// Llama 3.1 (transformers, modeling_rope_utils.py): wavelengths longer than L0 / low_freq_factor are stretched by
/// `factor`, those shorter than L0 / high_freq_factor kept, those between blended.
struct Llama3Scaling {
  double factor = 1.0, low_freq_factor = 1.0, high_freq_factor = 4.0;
  double original_length = 0.0;  // L0, tokens
};
std::vector<double> llama3_frequencies(std::int64_t d, double b, const Llama3Scaling& scaling);

}  // namespace lectern::inference

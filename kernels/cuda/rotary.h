// Rotary position embedding on the first R of D dimensions of each head (RoFormer, arXiv 2104.09864, equation 34).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda/queue.h"
#include "kernels/rotary.h"

namespace lectern::kernels::cuda {

/// The frequencies of a model on the device, made once: 64-bit parts of a turn, so that the turns of any position are
/// a product of integers that wraps, exact at every position.
class RotaryFrequencies {
 public:
  /// frequencies [R/2]: theta_i in radians a position (YaRN applied), at most `most_pairs`.
  RotaryFrequencies(Queue& queue, std::span<const double> frequencies);

  const std::uint64_t* turns() const { return reinterpret_cast<const std::uint64_t*>(turns_.data()); }
  std::int64_t pairs() const { return pairs_; }
  static constexpr std::int64_t most_pairs = 256;

 private:
  DeviceBuffer turns_;
  std::int64_t pairs_ = 0;
};

/// For the pair (a, b) of dimension i at position p, with phi = p * theta_i:
///   a' = magnitude * (a cos phi - b sin phi),  b' = magnitude * (b cos phi + a sin phi).
/// x [T, heads, D] f32, in place; positions [T] i32, at most 2^31 - 1; 2 * frequencies.pairs() = R <= D. phi is formed
/// to 1e-9 of a radian before it is rounded to f32 within an eighth of a turn. No rows: nothing is done. Errors:
/// Error{unsupported} before anything is launched.
void rotary(Queue& queue, Tensor x, ConstTensor positions, const RotaryFrequencies& frequencies, float magnitude,
            RotaryPairs pairs);

}  // namespace lectern::kernels::cuda

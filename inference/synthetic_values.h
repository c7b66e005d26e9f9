// Random weights in every format that `model synthesize` writes, made by a counter: any block of any tensor can be made
// by itself, in any order, by any thread, with the same bytes on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/tensor.h"

namespace lectern::inference {

/// What the values of a tensor look like: `spread` is the standard deviation of the normal shape and half the width of
/// the uniform one.
struct Distribution {
  enum class Shape { normal, uniform };
  Shape shape = Shape::normal;
  double centre = 0;
  double spread = 1;
};

/// One tensor's stream of random blocks. The seed and the name choose the stream: a layer's values do not depend on how
/// many layers the model has. Immutable; any thread may call fill.
///
/// Normal values are sums of four equal uniform numbers (Irwin-Hall: bounded by 3.46 standard deviations). Quantized
/// formats are drawn as they are stored, not quantized from values (formulas of quant_blocks.h, mean 0 each):
///   Q8_0  q = sum of four of 0..63 - 126; d varies by 12 % from block to block.
///   Q4_K  q = sum of five of 0..3; scale of a group 40..55, minimum scale + {-3, -1, 1, 3}, dmin = 7.5 d, so that the
///         mean of a group stands off zero by up to 0.2 standard deviations, either way.
///   Q6_K  q = 2 + sum of four of 0..15; scale of a group +-96..127.
class SyntheticTensor {
 public:
  /// `type` is f32, bf16, q8_0, q4_k or q6_k; the quantized ones take centre 0 and the normal shape alone.
  SyntheticTensor(std::uint64_t seed, std::string_view name, kernels::DType type, const Distribution& distribution);

  /// Writes blocks (values, for f32 and bf16) [first, first + count) in file order to `out`, which holds
  /// count * block_bytes(type) bytes.
  void fill(std::int64_t first, std::int64_t count, std::byte* out) const;

 private:
  template <class Block>
  void fill_blocks(std::int64_t first, std::int64_t count, std::byte* out) const;
  float value(std::int64_t index) const;

  std::uint64_t key_;
  kernels::DType type_;
  Distribution distribution_;
};

}  // namespace lectern::inference

// Activations rounded to 8 bits, to 15 where one value stands out, for products with quantized weights.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/scratch.h"
#include "kernels/device.h"

namespace lectern::kernels::cpu {

/// What the weights ask of the activations they meet.
struct Rounding {
  std::int64_t group = 32;      // values that share a scale of the weights
  std::int32_t zero_point = 0;  // added to the weights to store them as unsigned bytes (paths/unpack.h)
  bool i16 = false;             // all values to 15 bits, in 16
  friend bool operator==(const Rounding&, const Rounding&) = default;
};
/// For panels (matmul). Only of quantized types.
Rounding panel_rounding(const InnerLoops& loops, DType type);
/// For single rows (matvec). Weights of 8 bits meet 16-bit values on every path: what that costs hides behind the
/// memory they come from.
Rounding row_rounding(const InnerLoops& loops, DType type);

/// Rounds x [T, K] f32 in blocks of 32 values: scale = max|x| / 127, q = round(x * (127 / max|x|)), ties to even. The
/// same blocks serve all types (finer than the 256 of other engines for K-quants, and one format less).
///
/// A few channels of many models are tens of times larger than the rest ("massive activations"); the other 31 values of
/// their block would drown in the rounding. A block is refined where max|x| > 8 * mean|x| of its row: what the rounding
/// left over is kept as a second byte, in parts of 1/128. Whether a block is refined depends on its own row alone.
/// 16-bit values are both bytes in one, for all blocks: value = 128 * q + residual, scale = max|x| / 127 / 128.
/// The memory is the stream's scratch `use`, until that is asked for again.
ActivationsQ8 round_activations(Stream& stream, ConstTensor x, Rounding rounding,
                                ScratchUse use = ScratchUse::activations);

}  // namespace lectern::kernels::cpu

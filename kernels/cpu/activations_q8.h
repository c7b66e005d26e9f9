// Activations rounded to 8 bits, to 15 where one value stands out, for products with quantized weights.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/device.h"

namespace lectern::kernels::cpu {

/// Rounds x [T, K] f32 for weights of `type`, in blocks of 32 values: scale = max|x| / 127, q = round(x * (127 /
/// max|x|)), ties to even. The same blocks serve all types (finer than the 256 of other engines for K-quants, and one
/// format less).
///
/// A few channels of many models are tens of times larger than the rest ("massive activations"); the other 31 values of
/// their block would drown in the rounding. A block is refined where max|x| > 8 * mean|x| of its row: what the rounding
/// left over is kept as a second byte, in parts of 1/128. Whether a block is refined depends on its own row alone.
/// The memory belongs to the stream, until its next product.
ActivationsQ8 round_activations(Stream& stream, ConstTensor x, DType type);

}  // namespace lectern::kernels::cpu

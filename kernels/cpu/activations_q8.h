// Activations rounded to 8 bits for products with quantized weights.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/device.h"

namespace lectern::kernels::cpu {

/// Rounds x [T, K] f32 for weights of `type`, in blocks of 32 values: scale = max|x| / 127, q = round(x * (127 /
/// max|x|)), ties to even. The same blocks serve all types (finer than the 256 of other engines for K-quants, and one
/// format less). The memory belongs to the stream, until its next product.
ActivationsQ8 round_activations(Stream& stream, ConstTensor x, DType type);

}  // namespace lectern::kernels::cpu

// out = x · wᵀ: many rows (prefill). A row's bits never depend on how many rows are computed together.
#pragma once

#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// x [T, K] f32; w [N, K] any type; out [T, N] f32, no aliasing. With f32, f16 and bf16 weights the activations stay
/// f32; with quantized weights they are rounded to 8 or 15 bits per block (cpu/activations_q8.h) and the products are
/// integers.
void matmul(Stream& stream, ConstTensor x, ConstTensor w, Tensor out);

}  // namespace lectern::kernels

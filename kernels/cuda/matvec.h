// out = x w^T on the device: 1 to 8 rows (decode). The CPU's twin is in kernels/matvec.h.
#pragma once

#include <span>

#include "kernels/cuda/product.h"
#include "kernels/cuda/queue.h"

namespace lectern::kernels::cuda {

/// Rows of x that matvec takes at most.
inline constexpr std::int64_t matvec_tokens = 8;

/// x [T, K] f32, aligned to 16 bytes, T in [0, 8] (0: nothing is done); and up to 8 products of it (product.h),
/// whatever the types of their weights, in one launch; every weight is read once. Outputs may not alias x, weights or
/// each other (an output may be its own residual).
///
/// With f32, f16 and bf16 weights: products and sums in f32. With quantized weights x is rounded to 8 bits in blocks of
/// 32 values, to 15 where a block stands out and for Q8_0 (activations_q8.cuh, as the CPU does), products within 16
/// weights are integers, and their sums f32.
/// Bits: those of out[t][n] depend on x[t] and w[n] alone, not on T, the other rows or the other products.
/// A row of x with a value that is not finite gives NaN with quantized weights.
///
/// One kernel; where the rounded rows take more than 48 KiB (2.5 K T bytes: K = 4096 from T = 5 on), two, and that much
/// workspace. Errors: Error{unsupported} before anything is launched.
void matvec(Queue& queue, ConstTensor x, std::span<const Product> products);
inline void matvec(Queue& queue, ConstTensor x, ConstTensor w, Tensor out) {
  const Product one{w, out, {}};
  matvec(queue, x, {&one, 1});
}

}  // namespace lectern::kernels::cuda

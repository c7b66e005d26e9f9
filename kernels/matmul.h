// out = x · wᵀ: many rows (prefill). A row's bits never depend on how many rows are computed together.
#pragma once

#include <span>

#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// One of several products of the same x.
struct Product {
  ConstTensor w;  // [N, K] any type
  Tensor out;     // [T, N] f32
};

/// x [T, K] f32; for each product w [N, K] of any type and out [T, N] f32, no aliasing. With f32, f16 and bf16 weights
/// the activations stay f32; with quantized weights they are rounded to 8 or 15 bits per block (cpu/activations_q8.h),
/// once for all products, and the products are integers.
void matmul(Stream& stream, ConstTensor x, std::span<const Product> products);
inline void matmul(Stream& stream, ConstTensor x, ConstTensor w, Tensor out) {
  const Product one{w, out};
  matmul(stream, x, {&one, 1});
}

}  // namespace lectern::kernels

// out = x w^T on the device: many rows (prefill). The CPU's twin is in kernels/matmul.h.
#pragma once

#include <span>

#include "kernels/cuda/product.h"
#include "kernels/cuda/queue.h"

namespace lectern::kernels::cuda {

/// x [T, K] f32 or bf16, aligned to 16 bytes, T below 2^31 (0: nothing is done); up to 8 products of it (product.h).
/// Outputs may not alias x, weights or each other (an output may be its own residual).
///
/// x and quantized weights are rounded to bf16 (nearest, ties to even) and multiplied on tensor cores, sums in f32.
/// f32 and f16 weights (routers) keep about 16 bits: each factor is split into bf16 `high` and what that leaves over,
/// `low`, and out = high high + high low + low high (a bf16 x has no low part).
/// Bits: those of out[t][n] depend on x[t] and w[n] alone: not on T, on where a prefill was cut, on the other rows or
/// the other products. Every element is one chain of 16-column steps in order of K, in whichever tile it is computed.
///
/// One kernel per type of weights, and one that rounds x if it is f32 (or bf16 with K no multiple of 64); workspace:
/// matmul_workspace_bytes. Errors: Error{unsupported} before anything is launched.
void matmul(Queue& queue, ConstTensor x, std::span<const Product> products);
inline void matmul(Queue& queue, ConstTensor x, ConstTensor w, Tensor out) {
  const Product one{w, out, {}};
  matmul(queue, x, {&one, 1});
}
/// What matmul takes from the queue's workspace at most.
std::int64_t matmul_workspace_bytes(std::int64_t tokens, std::int64_t columns);

}  // namespace lectern::kernels::cuda

// Root-mean-square norms over the last axis, on the device. The CPU twins are in kernels/rms_norm.h.
#pragma once

#include "kernels/cuda/queue.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

// All tensors are device memory, rows of D contiguous values. x, o, z, w and the residual stream are f32, `out` is f32
// or bf16 (rounded to nearest): bf16 is what the tensor cores of the following product take. D is at most
// rms_norm_columns. A row's bits depend on that row alone. Errors: Error{unsupported} before anything is launched.
inline constexpr std::int64_t rms_norm_columns = 8192;

/// out = x / sqrt(mean(x^2) + eps) * w. x, out [..., D] (out may be x if it is f32); w [D] (a zero-centred weight is
/// stored as 1 + w by whoever loads it).
void rms_norm(Queue& queue, ConstTensor x, ConstTensor w, float eps, Tensor out);
/// sum = x + residual; out = sum / sqrt(mean(sum^2) + eps) * w: the end of one layer and the beginning of the next.
/// x, residual, sum, out [..., D]; sum may be x or residual, out may be neither.
void add_rms_norm(Queue& queue, ConstTensor x, ConstTensor residual, ConstTensor w, float eps, Tensor sum, Tensor out);
/// out = (o / sqrt(mean(o^2) + eps) * w) * silu(z): norm first, then gate (Gated DeltaNet, arXiv 2412.06464).
/// o, z, out [..., D] (z: as many rows, in any shape; out may be o or z if it is f32); w [D].
void gated_rms_norm(Queue& queue, ConstTensor o, ConstTensor z, ConstTensor w, float eps, Tensor out);
/// out = scale * x / sqrt(sum(x^2) + eps): sum, not mean. x, out [..., D] (out may be x if it is f32).
void l2_norm(Queue& queue, ConstTensor x, float eps, float scale, Tensor out);

}  // namespace lectern::kernels::cuda

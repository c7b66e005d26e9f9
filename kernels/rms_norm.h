// Root-mean-square norms over the last axis, all in f32.
#pragma once

#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// y = x / sqrt(mean(x^2) + eps) * w.   x, out [..., D] f32 (may alias); w [D] f32 (a zero-centred weight is
/// stored as 1 + w by whoever loads it).
void rms_norm(Stream& stream, ConstTensor x, ConstTensor w, float eps, Tensor out);
/// y = (o / sqrt(mean(o^2) + eps) * w) * silu(z): norm first, then gate (Gated DeltaNet, arXiv 2412.06464).
/// o, z, out [..., D] f32, out may alias o; w [D] f32.
void gated_rms_norm(Stream& stream, ConstTensor o, ConstTensor z, ConstTensor w, float eps, Tensor out);
/// y = scale * x / sqrt(sum(x^2) + eps): sum, not mean; eps inside the root. x, out [..., D] f32 (may alias).
void l2_norm(Stream& stream, ConstTensor x, float eps, float scale, Tensor out);

}  // namespace lectern::kernels

// Depthwise causal convolution over time, then SiLU, with carried state.
#pragma once

#include <span>
#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// u_t[c] = silu(sum_j w[c, j] * m_{t-K+1+j}[c]), m_{-1}, m_{-2}.. from `state`.
/// x (the rows m), out [T, C] f32, no aliasing; w [C, K] f32; state [K-1, C] f32, oldest row first, updated.
/// After token snapshot_offsets[i] (1..T, ascending) a copy of the state is written to snapshots[i] [K-1, C].
void causal_conv1d(Stream& stream, ConstTensor x, ConstTensor w, Tensor state,
                   std::span<const std::int64_t> snapshot_offsets, std::span<const Tensor> snapshots, Tensor out);

}  // namespace lectern::kernels

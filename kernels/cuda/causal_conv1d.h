// Depthwise causal convolution over time, then SiLU, with carried state, on the device. The CPU twin is in
// kernels/causal_conv1d.h; delta_inputs.h has it fused with what Gated DeltaNet does next.
#pragma once

#include <span>

#include "kernels/cuda/queue.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// u_t[c] = silu(sum_j w[c, j] * m_{t-K+1+j}[c]), m_{-1}, m_{-2}.. from `state`.
/// x (the rows m), out [T, C] f32, no aliasing; w [C, K] f32, K at most 16; state [K-1, C] f32, oldest row first,
/// updated. After token snapshot_offsets[i] (1..T, ascending) a copy of the state is written to snapshots[i] [K-1, C].
/// The bits of a row do not depend on where a pass was cut. No workspace. One launch for up to 32 tokens without
/// snapshots, so a decode step is one node of a graph. Throws Error{unsupported} before any launch; no tokens: nothing
/// happens.
void causal_conv1d(Queue& queue, ConstTensor x, ConstTensor w, Tensor state,
                   std::span<const std::int64_t> snapshot_offsets, std::span<const Tensor> snapshots, Tensor out);

/// The states alone that causal_conv1d would write, from its input: for operations that convolve on their own.
/// The same arguments; one launch for up to 8 snapshots.
void convolution_states(Queue& queue, ConstTensor x, Tensor state, std::span<const std::int64_t> snapshot_offsets,
                        std::span<const Tensor> snapshots);

}  // namespace lectern::kernels::cuda

// The experts' rows of each token, weighted and added up: the end of a mixture's prefill.
#pragma once

#include "kernels/cuda/moe_sort.h"

namespace lectern::kernels::cuda {

/// out_t = residual_t + sum_i weights[t, i] * rows[place of (t, i)] + sigmoid(shared_gate_t) * shared_t, in f32, the
/// choices in the order of their experts, the shared expert last. rows [T * k, H] bf16 by place (moe_experts_prefill);
/// weights [T, k] f32; shared [T, H] f32 or bf16, shared_gate [T] f32 (before the sigmoid), both or neither; residual
/// may be empty; residual, out [T, H] f32 (out may be residual, or shared if that is f32). H is a multiple of 8, k at
/// most 32; tensors begin at multiples of 16 bytes. Choices without a place count as 0. T may be 0. One launch. A row's
/// bits depend on that row alone. Errors: Error{unsupported} before anything is launched.
void moe_combine(Queue& queue, ConstTensor rows, const ExpertOrder& order, ConstTensor weights, ConstTensor shared,
                 ConstTensor shared_gate, ConstTensor residual, Tensor out);

}  // namespace lectern::kernels::cuda

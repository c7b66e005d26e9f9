// The expert feed-forward networks that the router chose, for many tokens: moe_sort, this, moe_combine. The CPU twin of
// the three is kernels/moe_experts.h.
#pragma once

#include "kernels/cuda/moe_sort.h"

namespace lectern::kernels::cuda {

/// rows[place of (t, i)] = down_e(silu(gate_e x_t) * up_e x_t), e = experts[t, i], without its weight.
/// x [T, H] bf16; gate, up [E, I, H] of one type, down [E, H, I]: F32, F16, BF16, Q4_0, Q4_1, Q8_0, Q4_K, Q5_K or Q6_K;
/// order: of these tokens and experts; rows [T * k, H] bf16, those of no place are left alone. Weights are rounded to
/// bf16, products are exact and added in f32; silu(gate) * up is rounded to bf16, as is the result.
/// H and I are multiples of 32 (of 256 for K blocks); matrices, x and rows begin at multiples of 16 bytes. The
/// workspace takes T * k * I bf16. Two launches; T may be 0. A row's bits depend on that row and its expert alone: not
/// on T, nor on who shares its tile. Errors: Error{unsupported} before anything is launched.
void moe_experts_prefill(Queue& queue, ConstTensor x, ConstTensor gate, ConstTensor up, ConstTensor down,
                         const ExpertOrder& order, Tensor rows);

}  // namespace lectern::kernels::cuda

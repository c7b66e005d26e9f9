// The expert feed-forward networks that the router chose, for the few tokens of a decode step. The CPU twin is
// kernels/moe_experts.h; for many tokens see moe_experts_prefill.h.
#pragma once

#include "kernels/cuda/queue.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// An expert that every token uses: gate, up [S, H], down [H, S], router [1, H]: sigmoid(x routerᵀ) scales it.
/// gate and up have one type.
struct SharedExpert {
  ConstTensor gate, up, down, router;
  explicit operator bool() const { return static_cast<bool>(gate); }
};

/// out_t = residual_t + sum_i weights[t, i] * down_e(silu(gate_e x_t) * up_e x_t) + sigmoid(router x_t) * shared(x_t),
/// e = experts[t, i]; summed in f32 in the order of e, the shared expert last. residual and shared may be empty.
/// x, residual, out [T, H] f32 (out may be residual or x); gate, up [E, I, H] of one type, down [E, H, I];
/// experts [T, k] i32; weights [T, k] f32; fault [1] i32. All are device memory; matrices begin at multiples of 16
/// bytes. Types: F32, F16, BF16, Q4_0, Q4_1, Q8_0, Q4_K, Q5_K, Q6_K, of each matrix its own. x and the activated rows
/// are rounded to 8 bits for quantized weights (activations_q8.cuh); plain weights multiply in f32.
///
/// T is at most moe_decode_tokens, k at most moe_decode_chosen. No tokens: nothing is done. Two launches (more where
/// the rounded rows of all tokens do not fit the device's shared memory at once); the workspace is used. An expert that
/// several tokens chose is read once. A row's bits do not depend on the other rows. An expert named twice by a token
/// counts with the sum of its weights. An expert that does not exist counts as 0, sets fault[0] to 1, and nothing of it
/// is read. Errors: Error{unsupported} before anything is launched.
inline constexpr std::int64_t moe_decode_tokens = 8;
inline constexpr std::int64_t moe_decode_chosen = 32;
void moe_experts_decode(Queue& queue, ConstTensor x, ConstTensor gate, ConstTensor up, ConstTensor down,
                        ConstTensor experts, ConstTensor weights, const SharedExpert& shared, ConstTensor residual,
                        Tensor out, Tensor fault);

}  // namespace lectern::kernels::cuda

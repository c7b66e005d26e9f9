// Router of a mixture of experts, on the device. The CPU twin is kernels/moe_route.h.
#pragma once

#include "kernels/cuda/queue.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

// p = softmax(logits) over all E (f32); the k largest, ties to the lower index; weights p_i, divided by their sum if
// `normalize`. All tensors are device memory: logits [T, E] f32; experts [T, k] i32; weights [T, k] f32, in descending
// order of p. E is at most route_experts, k at most route_chosen and E. Where logits are not numbers the weights are
// not either, and the experts are 0 to k - 1: valid and distinct. No tokens: nothing is done. A row's bits depend on
// that row alone. Errors: Error{unsupported} before anything is launched.
// Experts are compared by their logits, which is the order of the exact p: two that round to the same p are told apart.
inline constexpr std::int64_t route_experts = 1024;
inline constexpr std::int64_t route_chosen = 32;
/// Tokens of one call of moe_route_project, which is for decode.
inline constexpr std::int64_t route_project_tokens = 8;

void moe_route(Queue& queue, ConstTensor logits, bool normalize, Tensor experts, Tensor weights);

/// The same of logits = x routerᵀ, multiplied and added in f32, in one launch: x [T, H] f32, router [E, H] f32, f16 or
/// bf16, T at most route_project_tokens. Uses tickets()[0] and the workspace.
void moe_route_project(Queue& queue, ConstTensor x, ConstTensor router, bool normalize, Tensor experts, Tensor weights);

}  // namespace lectern::kernels::cuda

// Rows of a mixture of experts, gathered by expert, and put together again by token. CPU twin: kernels/moe_experts.h,
// which sorts on the host.
#pragma once

#include "kernels/cuda/queue.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

inline constexpr std::int64_t sort_experts = 1024;
/// Rows of an expert that moe_experts_prefill takes at once.
inline constexpr std::int64_t expert_tile_rows = 56;

/// The pairs (token, choice), counted through as token * k + choice, in the order of their experts, those of one expert
/// in their own order. All i32 in device memory, which the caller owns.
struct ExpertOrder {
  Tensor pairs;         // [T * k] the pair at each place; those whose expert does not exist have no place
  Tensor places;        // [T * k] the place of each pair, -1 if it has none
  Tensor offsets;       // [E + 1] where each expert's places begin
  Tensor tile_offsets;  // [E + 1] the same counted in tiles of expert_tile_rows places, each expert's begun anew
  Tensor tile_experts;  // [tiles] the expert of each tile; tile_offsets[E] of them count
};
/// i32 values of the memory of an order, and the order in such memory.
std::int64_t expert_order_values(std::int64_t tokens, std::int64_t chosen, std::int64_t experts);
ExpertOrder expert_order(Tensor memory, std::int64_t tokens, std::int64_t chosen, std::int64_t experts);

/// Fills `order`. experts [T, k] i32; fault [1] i32 becomes 1 if one does not exist. E is at most sort_experts, T * k
/// below 2^30. One launch; nothing depends on the order in which threads run. T may be 0: an order of nothing.
void moe_sort(Queue& queue, ConstTensor experts, std::int64_t expert_count, const ExpertOrder& order, Tensor fault);

}  // namespace lectern::kernels::cuda

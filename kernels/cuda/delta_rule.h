// The gated delta rule (arXiv 2412.06464) over the tokens of a prefill, in chunks, on the device. The CPU twin is in
// kernels/delta_rule.h, the recurrent form in delta_step.h.
#pragma once

#include <span>

#include "kernels/cuda/queue.h"
#include "kernels/delta_rule.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// Per value head, for t = 0..T-1:  S <- exp(g_t) S;  d = beta_t (v_t - Sᵀ k_t);  S <- S + k_t dᵀ;  o_t = Sᵀ q_t.
/// q, k [T, Hk, Dk], v [T, Hv, Dv] bf16 (q already scaled), aligned to 16 bytes; g, beta [T, Hv] f32; state
/// [Hv, Dk, Dv] f32, updated; out [T, Hv, Dv] f32. Nothing aliases.
/// segment_starts: token offsets in [0, T), ascending, where the grid of chunks of 64 tokens restarts (the state is
/// carried on). After token snapshot_offsets[i] (1..T, ascending) the state is copied to snapshots[i]; each must lie at
/// the end of a chunk: a multiple of 64 behind a segment's start (or behind token 0), an end of a segment, or T.
///
/// With Dk = 128 and Dv a multiple of 32 the chunked form runs on the tensor cores: the products of bf16 with f32 and
/// of f32 with f32 carry 16 bits of mantissa and sum in f32, so results and states are as exact as inputs in bf16
/// deserve (about 1e-4 of their size), for any decays and keys of length 1. Other shapes take the recurrent form, Dk up
/// to 256. Bits: those of a chunk depend on its tokens and the state in front of it alone, so cutting a prefill at ends
/// of chunks changes nothing.
/// Workspace: delta_rule_workspace(T, Hv) and 16 bytes more for each segment or snapshot. Not for graphs: the chunks
/// come from the host. Throws Error{unsupported} before any launch; no tokens: nothing happens.
void delta_rule(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                DeltaHeads heads, std::span<const std::int64_t> segment_starts, Tensor state,
                std::span<const std::int64_t> snapshot_offsets, std::span<const Tensor> snapshots, Tensor out);

std::int64_t delta_rule_workspace(std::int64_t tokens, std::int64_t value_heads);

}  // namespace lectern::kernels::cuda

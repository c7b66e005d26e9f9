// Causal attention of many new tokens over KV pages (which already hold the new tokens' keys and values).
#pragma once

#include "kernels/cuda/kv_page.h"
#include "kernels/cuda/queue.h"

namespace lectern::kernels::cuda {

/// out_t = softmax(scale * q_t · K[0..p_t]ᵀ) · V[0..p_t] (* sigmoid(gate_t)), p_t = first_slot[0] + t. Query head h
/// reads KV head h / (Hq / kv_heads). Products of q, K, V and the weights of the softmax rounded to bf16, sums and
/// softmax in f32, running maximum over tiles that start at slot 0: a row's bits do not depend on T or first_slot. q
/// [T, Hq, D] f32 or bf16; first_slot [1] i32 on the device; pages of one sequence, D 64, 128 or 256; gate: no data, or
/// [T, Hq, D] or [T, Hq, 2D] f32 (the second D of each head: what stands beside q in the projection); out [T, Hq, D]
/// f32 or bf16, no aliasing; all aligned to 16; scale > 0. Keys and values up to the last slot must be finite, else
/// rows before them may show it too. Slots that the table has no page for take no part and are reported in
/// pages.faults; a row without any slot is NaN. T = 0: nothing is done. Errors: Error{unsupported} before anything is
/// launched.
void attention_prefill(Queue& queue, ConstTensor q, const KvPages& pages, ConstTensor first_slot, float scale,
                       ConstTensor gate, Tensor out);

/// What both attentions check: q, gate and out as above.
void require_attention(const char* operation, ConstTensor q, const KvPages& pages, float scale, ConstTensor gate,
                       ConstTensor out);

}  // namespace lectern::kernels::cuda

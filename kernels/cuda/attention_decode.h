// Attention of a few new tokens over KV pages, split over the sequence in fixed pieces that are merged in order.
#pragma once

#include "kernels/cuda/kv_page.h"
#include "kernels/cuda/queue.h"

namespace lectern::kernels::cuda {

/// As attention_prefill, for rows that each have slots of their own: row t attends to the slots [0, slots[t]) of
/// sequence t / (T / S). S = 1: tokens of a draft, causal among themselves by their slot counts; S = T: forks.
/// q, out [T, Hq, D] f32 or bf16; slots [T] i32 on the device (0: the row is not in use, and its result is 0); T a
/// multiple of S and at most 64; gate, D, alignment and scale as in attention_prefill; q and out may be the same if
/// they have one type. The pieces of a row depend on its slot count alone, so its bits do not depend on the others. The
/// KV of a sequence is read once for all its rows of up to 64 / (Hq / kv_heads), 8 at Qwen3-Next. The launches depend
/// on the shapes alone: one recorded graph serves all slot counts up to the window.
/// workspace: attention_decode_workspace() bytes. Errors: Error{unsupported} before anything is launched.
void attention_decode(Queue& queue, ConstTensor q, const KvPages& pages, ConstTensor slots, float scale,
                      ConstTensor gate, Tensor out);

std::int64_t attention_decode_workspace(std::int64_t rows, std::int64_t query_heads, const KvPages& pages);

inline constexpr std::int64_t attention_decode_rows = 64;

}  // namespace lectern::kernels::cuda

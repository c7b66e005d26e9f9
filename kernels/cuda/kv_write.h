// Stores new keys and values in KV pages.
#pragma once

#include "kernels/cuda/kv_page.h"
#include "kernels/cuda/queue.h"

namespace lectern::kernels::cuda {

/// k, v [T, kv_heads, D] f32, aligned to 16, are rounded to the pages' kind. T is a multiple of the number of
/// sequences S; token t belongs to sequence t / (T / S). slots i32 on the device: [T], the slot of each token, or -1
/// for a token that is to be left out; or, for one sequence, [1]: token t goes to slots[0] + t. Slots that the table
/// has no page for are left out and reported in pages.faults. Two tokens must not have one slot of one page. T = 0:
/// nothing is done. Errors: Error{unsupported} before anything is launched.
void kv_write(Queue& queue, ConstTensor k, ConstTensor v, ConstTensor slots, const KvPages& pages);

/// Throws Error{unsupported} unless slots are as kv_write takes them for `tokens` tokens.
void require_slot_tensor(const char* operation, ConstTensor slots, std::int64_t tokens, const KvPages& pages);

}  // namespace lectern::kernels::cuda

// Causal attention of many new tokens over KV pages (which already hold the new tokens' keys and values).
#pragma once

#include "kernels/device.h"
#include "kernels/kv_page.h"

namespace lectern::kernels {

/// out_t = softmax(scale * q_t · K[0..p_t]ᵀ) · V[0..p_t], p_t = first_slot + t; softmax in f32, running maximum over
/// tiles that start at slot 0, so a row's bits do not depend on T. Query head h reads KV head h / (Hq / kv_heads).
/// q, out [T, Hq, D] f32, no aliasing.
void attention_prefill(Stream& stream, ConstTensor q, KvShape shape, KvStrips strips, std::int64_t first_slot,
                       float scale, Tensor out);

}  // namespace lectern::kernels

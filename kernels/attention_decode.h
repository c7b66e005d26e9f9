// Attention of one new token over KV pages, split over the sequence in fixed pieces and merged in order.
#pragma once

#include "kernels/device.h"
#include "kernels/kv_page.h"

namespace lectern::kernels {

/// As attention_prefill for T = 1 (q, out [Hq, D] f32) over slots [0, slots). The KV is read once per group of query
/// heads.
void attention_decode(Stream& stream, ConstTensor q, KvShape shape, KvStrips strips, std::int64_t slots, float scale,
                      Tensor out);

}  // namespace lectern::kernels

// Attention of new tokens over KV pages, split over the sequence in fixed pieces and merged in order.
#pragma once

#include "kernels/device.h"
#include "kernels/kv_page.h"

namespace lectern::kernels {

/// What one row attends to.
struct AttentionSlots {
  KvStrips strips;
  std::int64_t slots = 0;  // [0, slots)
};

/// As attention_prefill for rows that each have slots of their own: q, out [T, Hq, D] f32. The KV is read once per
/// group of query heads, and pages that several rows share while they are in the cache. A row's bits do not depend on
/// the others.
void attention_decode(Stream& stream, ConstTensor q, KvShape shape, std::span<const AttentionSlots> rows, float scale,
                      Tensor out);
/// One row: q, out [Hq, D].
inline void attention_decode(Stream& stream, ConstTensor q, KvShape shape, KvStrips strips, std::int64_t slots,
                             float scale, Tensor out) {
  const AttentionSlots row{strips, slots};
  attention_decode(stream, q, shape, {&row, 1}, scale, out);
}

}  // namespace lectern::kernels

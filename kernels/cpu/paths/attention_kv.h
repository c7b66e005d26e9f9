// Where keys and values stand, for the attention of one instruction path.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/simd.h"
#include "kernels/kv_page.h"

namespace lectern::kernels::cpu {
namespace {

inline int64_t padded_to_lanes(int64_t n) {
  return (n + lanes - 1) / lanes * lanes;
}

/// Slot `slot` of the keys (part 0) or values (part 1) of a page.
inline const std::byte* kv_row(const KvView& kv, int64_t part, int64_t head, int64_t slot) {
  const int64_t element_bytes = kv.is_bf16 ? 2 : 4;
  const int64_t row = (part * kv.heads + head) * kv_page_tokens + slot % kv_page_tokens;
  return kv.strips[slot / kv_page_tokens] + row * kv.head_dim * element_bytes;
}

inline F32 load_kv(const float* p, int64_t n) {
  return load_upto(p, n);
}
inline F32 load_kv(const uint16_t* p, int64_t n) {
  if (n == lanes) return load_bf16(p);
  uint16_t some[lanes] = {};
  for (int64_t i = 0; i < n; ++i) some[i] = p[i];
  return load_bf16(some);
}
inline float to_float(float x) {
  return x;
}
inline float to_float(uint16_t x) {
  return bf16_to_f32(x);
}

}  // namespace
}  // namespace lectern::kernels::cpu

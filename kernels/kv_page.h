// The memory of one layer of one KV page: what kv_write fills and attention reads.
#pragma once

#include <cstdint>
#include <span>
#include "kernels/tensor.h"

namespace lectern::kernels {

/// Tokens of one page.
inline constexpr std::int64_t kv_page_tokens = 256;
/// One layer's strip of a page: [K|V][kv_head][token][dim], f32 or bf16.
struct KvShape {
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
  DType type = DType::bf16;
  std::int64_t strip_bytes() const { return 2 * heads * kv_page_tokens * row_bytes(type, head_dim); }
};
/// The strips of one sequence in one layer: page p holds tokens [256p, 256p + 256).
using KvStrips = std::span<std::byte* const>;

}  // namespace lectern::kernels

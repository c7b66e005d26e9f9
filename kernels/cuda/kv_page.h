// KV pages in device memory: what kv_write fills and attention reads.
//
// Pages belong to a pool, are handed out one by one and shared between sequences. A sequence is a table of page
// numbers: page p of the table holds the slots [256p, 256p + 256). One table of numbers serves all layers and every
// replay of a recorded graph (a page's strips of all layers lie in one page of the pool; a layer adds its offset to the
// pool's address), costs 4 bytes a page and survives moving the pool; device addresses would need a table per layer.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kv_page.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// How keys and values are kept. int8: of each head of each token the values times 127 / largest magnitude, rounded to
/// nearest, and the scale largest / 127 as f32 (NaN if a value is not finite).
enum class KvKind : std::uint8_t { bf16, int8 };

/// One layer's strip of a page: values [K|V][kv_head][token][dim], and for int8, behind them, scales
/// [K|V][kv_head][token] f32.
struct KvLayout {
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
  KvKind kind = KvKind::bf16;

  std::int64_t value_bytes() const { return kind == KvKind::bf16 ? 2 : 1; }
  /// Where the scales begin.
  std::int64_t scales_offset() const { return 2 * heads * kv_page_tokens * head_dim * value_bytes(); }
  std::int64_t strip_bytes() const {
    return scales_offset() + (kind == KvKind::int8 ? 2 * heads * kv_page_tokens * 4 : 0);
  }
};

/// What went wrong on the device, as bits that kernels add to KvPages::faults. The slots concerned were neither read
/// (they count as absent from the softmax) nor written.
enum KvFault : std::int32_t {
  kv_fault_hole = 1,          // a slot in a page that the table does not have (a negative number)
  kv_fault_beyond_table = 2,  // a slot below 0 or behind the table's last page
  kv_fault_beyond_pool = 4,   // a page number that the pool does not have
};

/// One layer of the pages of one or more sequences.
struct KvPages {
  KvLayout layout;
  std::byte* strips = nullptr;   // the layer's strip of the pool's page 0, aligned to 16
  std::int64_t page_stride = 0;  // bytes from a page to the next: a multiple of 16, at least a strip
  std::int64_t page_count = 0;   // of the pool
  ConstTensor tables;            // [S, P] i32 on the device: for each sequence the numbers of its pages; negative: none
  Tensor faults;                 // [1] i32 on the device: bits of KvFault; whoever reads them sets them back

  std::int64_t sequences() const { return tables.dim(0); }
  std::int64_t table_pages() const { return tables.dim(1); }
  std::int64_t window() const { return table_pages() * kv_page_tokens; }
};

/// Throws Error{unsupported} if the pages are not as described above. Head sizes are multiples of 4.
void require_pages(const char* operation, const KvPages& pages);
/// Host-side twin of the checks that kernels make: throws Error{bad_request} if the slots [0, slots) are not all in
/// pages of the pool. For whoever fills a table before it goes to the device.
void require_slots(std::span<const std::int32_t> table, std::int64_t slots, std::int64_t page_count);

}  // namespace lectern::kernels::cuda

#include "kernels/cuda/kv_page.h"

#include <string>

#include "kernels/error.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

void require_pages(const char* operation, const KvPages& pages) {
  const KvLayout& layout = pages.layout;
  const std::string strip = "strips of " + std::to_string(layout.heads) + " heads of " +
                            std::to_string(layout.head_dim) + " and " + std::to_string(layout.strip_bytes()) +
                            " bytes: ";
  require(layout.heads > 0 && layout.head_dim > 0 && layout.head_dim % 4 == 0, operation, {{"tables", pages.tables}},
          strip + "expected heads of a multiple of 4 dimensions");
  require(pages.tables.type == DType::i32 && pages.tables.rank == 2 && pages.sequences() > 0 &&
              pages.table_pages() > 0 && pages.window() <= std::int64_t{1} << 30,
          operation, {{"tables", pages.tables}}, "expected tables [S, P] of I32 for at most 2^30 slots");
  require(pages.faults.type == DType::i32 && pages.faults.rank == 1 && pages.faults.dim(0) == 1, operation,
          {{"faults", pages.faults}}, "expected faults [1] of I32");
  require(pages.strips != nullptr && reinterpret_cast<std::uintptr_t>(pages.strips) % 16 == 0 &&
              pages.page_stride % 16 == 0 && pages.page_stride >= layout.strip_bytes() && pages.page_count > 0 &&
              pages.page_count <= INT32_MAX,
          operation, {{"tables", pages.tables}},
          strip + "expected a pool aligned to 16 bytes with room for them, got " + std::to_string(pages.page_count) +
              " pages at intervals of " + std::to_string(pages.page_stride));
}

void require_slots(std::span<const std::int32_t> table, std::int64_t slots, std::int64_t page_count) {
  const std::int64_t pages = (slots + kv_page_tokens - 1) / kv_page_tokens;
  if (slots < 0 || pages > std::ssize(table))
    throw Error(ErrorKind::bad_request, "KV pages: " + std::to_string(slots) + " slots do not fit a table of " +
                                            std::to_string(table.size()) + " pages");
  for (std::int64_t page = 0; page < pages; ++page) {
    const std::int32_t number = table[static_cast<std::size_t>(page)];
    if (number >= 0 && number < page_count) continue;
    throw Error(ErrorKind::bad_request, "KV pages: page " + std::to_string(page) + " of " + std::to_string(pages) +
                                            (number < 0 ? " is missing" : " is not in the pool"));
  }
}

}  // namespace lectern::kernels::cuda

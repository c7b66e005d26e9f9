// Every strip (KV head, page) of a row is one piece of work with a result of its own; the results of a head are merged
// in the order of the pages. Pieces do not depend on the number of threads. Rows take turns at each page: forks of one
// text share its pages, which then come from memory once. The loops are in paths/attention_loops.h.
#include "kernels/attention_decode.h"

#include <algorithm>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/scratch.h"

namespace lectern::kernels::cpu {

namespace {

constexpr std::int64_t most_partial_bytes = std::int64_t{32} << 20;  // of one block of rows

std::int64_t pages_of(const AttentionSlots& row) {
  return (row.slots + kv_page_tokens - 1) / kv_page_tokens;
}

void attend_block(Stream& stream, const float* q, std::int64_t query_heads, KvShape shape,
                  std::span<const AttentionSlots> rows, std::int64_t most_pages, float scale, float* out) {
  const std::int64_t dim = shape.head_dim, group = query_heads / shape.heads;
  const auto count = static_cast<std::int64_t>(rows.size());
  const std::int64_t part = dim + 2;  // floats of one partial result; [row, page, query head, part]
  const std::int64_t of_row = most_pages * query_heads * part;
  const InnerLoops& loops = stream.loops();
  float* partials = reinterpret_cast<float*>(stream.scratch().shared(ScratchUse::attention, count * of_row * 4));
  // Scores and queries of the group; rows are filled up to whole vectors of at most 16.
  const std::int64_t scratch_bytes = group * (kv_page_tokens + dim + 16) * 4;
  stream.pool().parallel_for(most_pages * shape.heads, 1, [&](std::int64_t first, std::int64_t last, int worker) {
    float* scratch = reinterpret_cast<float*>(stream.scratch().of_worker(worker, scratch_bytes));
    for (std::int64_t item = first; item < last; ++item) {
      const std::int64_t page = item / shape.heads, head = item % shape.heads;
      for (std::int64_t t = 0; t < count; ++t) {
        const AttentionSlots& row = rows[static_cast<std::size_t>(t)];
        if (page >= pages_of(row)) continue;
        const AttentionArguments arguments{q + t * query_heads * dim,
                                           out + t * query_heads * dim,
                                           query_heads,
                                           {row.strips.data(), shape.type == DType::bf16, shape.heads, dim},
                                           0,
                                           scale};
        loops.attention_strip(arguments, head, page, std::min(kv_page_tokens, row.slots - page * kv_page_tokens),
                              scratch, partials + t * of_row + (page * query_heads + head * group) * part, part);
      }
    }
  });
  stream.pool().parallel_for(count * query_heads, std::max<std::int64_t>(1, 16384 / (most_pages * dim)),
                             [&](std::int64_t first, std::int64_t last, int) {
                               for (std::int64_t item = first; item < last; ++item) {
                                 const std::int64_t t = item / query_heads, head = item % query_heads;
                                 loops.attention_merge(partials + t * of_row + head * part,
                                                       pages_of(rows[static_cast<std::size_t>(t)]), query_heads * part,
                                                       dim, out + item * dim);
                               }
                             });
}

}  // namespace

void attention_decode(Stream& stream, ConstTensor q, KvShape shape, std::span<const AttentionSlots> rows, float scale,
                      Tensor out) {
  std::int64_t most_pages = 0;
  for (const AttentionSlots& row : rows) most_pages = std::max(most_pages, pages_of(row));
  const auto count = static_cast<std::int64_t>(rows.size());
  const std::int64_t query_heads = q.rows() / count, row_size = query_heads * shape.head_dim;
  const std::int64_t bytes = most_pages * query_heads * (shape.head_dim + 2) * 4;
  const std::int64_t block = std::max<std::int64_t>(1, most_partial_bytes / bytes);
  for (std::int64_t first = 0; first < count; first += block)
    attend_block(
        stream, floats(q) + first * row_size, query_heads, shape,
        rows.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(std::min(block, count - first))),
        most_pages, scale, floats(out) + first * row_size);
}

}  // namespace lectern::kernels::cpu

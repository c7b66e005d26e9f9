// Every strip (KV head, page) is one piece of work with a result of its own; the results of a head are merged in the
// order of the pages. Pieces do not depend on the number of threads. The loops are in paths/attention_loops.h.
#include "kernels/attention_decode.h"

#include <algorithm>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/scratch.h"

namespace lectern::kernels::cpu {

void attention_decode(Stream& stream, ConstTensor q, KvShape shape, KvStrips strips, std::int64_t slots, float scale,
                      Tensor out) {
  const std::int64_t query_heads = q.rows(), dim = shape.head_dim, group = query_heads / shape.heads;
  const std::int64_t pages = (slots + kv_page_tokens - 1) / kv_page_tokens;
  const std::int64_t part = dim + 2;  // floats of one partial result; [page, query head, part]
  const AttentionArguments arguments{
      floats(q), floats(out), query_heads, {strips.data(), shape.type == DType::bf16, shape.heads, dim}, 0, scale};
  const InnerLoops& loops = stream.loops();
  float* partials =
      reinterpret_cast<float*>(stream.scratch().shared(ScratchUse::attention, pages * query_heads * part * 4));
  // Scores and queries of the group; rows are filled up to whole vectors of at most 16.
  const std::int64_t scratch_bytes = group * (kv_page_tokens + dim + 16) * 4;
  stream.pool().parallel_for(pages * shape.heads, 1, [&](std::int64_t first, std::int64_t last, int worker) {
    float* scratch = reinterpret_cast<float*>(stream.scratch().of_worker(worker, scratch_bytes));
    for (std::int64_t item = first; item < last; ++item) {
      const std::int64_t page = item / shape.heads, head = item % shape.heads;
      loops.attention_strip(arguments, head, page, std::min(kv_page_tokens, slots - page * kv_page_tokens), scratch,
                            partials + (page * query_heads + head * group) * part, part);
    }
  });
  stream.pool().parallel_for(
      query_heads, std::max<std::int64_t>(1, 16384 / (pages * dim)), [&](std::int64_t first, std::int64_t last, int) {
        for (std::int64_t head = first; head < last; ++head)
          loops.attention_merge(partials + head * part, pages, query_heads * part, dim, floats(out) + head * dim);
      });
}

}  // namespace lectern::kernels::cpu

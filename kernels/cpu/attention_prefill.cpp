// Work is split by KV head and by runs of tokens: up to 256 rows (tokens x query heads of the KV head) share the layout
// of each tile of keys and values. The loops are in paths/attention_loops.h.
#include "kernels/attention_prefill.h"

#include <algorithm>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/scratch.h"

namespace lectern::kernels::cpu {

void attention_prefill(Stream& stream, ConstTensor q, KvShape shape, KvStrips strips, std::int64_t first_slot,
                       float scale, Tensor out) {
  const std::int64_t tokens = q.dim(0), group = q.dim(1) / shape.heads;
  // Enough rows to make laying out a tile cheap (256: 94 GFLOP/s on one EPYC core, 64: 71), but work for every thread.
  const std::int64_t fair = (tokens * shape.heads + 4 * stream.pool().size() - 1) / (4 * stream.pool().size());
  const std::int64_t run = std::max<std::int64_t>(1, std::clamp<std::int64_t>(fair, 16 / group, 256 / group));
  const std::int64_t runs = (tokens + run - 1) / run;
  const AttentionArguments arguments{
      floats(q),  floats(out), q.dim(1), {strips.data(), shape.type == DType::bf16, shape.heads, shape.head_dim},
      first_slot, scale};
  const InnerLoops& loops = stream.loops();
  const std::int64_t scratch_bytes = loops.attention_rows_scratch(shape.head_dim, run * group) * 4;
  stream.pool().parallel_for(runs * shape.heads, 1, [&](std::int64_t first, std::int64_t last, int worker) {
    float* scratch = reinterpret_cast<float*>(stream.scratch().of_worker(worker, scratch_bytes));
    for (std::int64_t item = first; item < last; ++item) {
      // The last runs see the most slots: they go first, so that no thread ends with a long one.
      const std::int64_t token = (runs - 1 - item / shape.heads) * run;
      loops.attention_rows(arguments, item % shape.heads, token, std::min(token + run, tokens), scratch);
    }
  });
}

}  // namespace lectern::kernels::cpu

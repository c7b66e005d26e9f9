// The recurrent form, token by token: it has no chunk grid, so segment starts change nothing. Columns of the value
// dimension are independent (paths/recurrent_loops.h) and are split over the threads, 32 at a time.
#include "kernels/delta_rule.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/operations.h"

namespace lectern::kernels::cpu {

void delta_rule(Stream& stream, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                DeltaHeads heads, Tensor state, std::span<const std::int64_t> snapshot_offsets,
                std::span<const Tensor> snapshots, Tensor out) {
  std::vector<float*> pointers;
  for (const Tensor& snapshot : snapshots) pointers.push_back(floats(snapshot));
  DeltaRuleArguments arguments{};
  arguments.q = floats(q);
  arguments.k = floats(k);
  arguments.v = floats(v);
  arguments.g = floats(g);
  arguments.beta = floats(beta);
  arguments.state = floats(state);
  arguments.out = floats(out);
  arguments.tokens = q.dim(0);
  arguments.key_heads = q.dim(1);
  arguments.value_heads = v.dim(1);
  arguments.key_dim = q.dim(2);
  arguments.value_dim = v.dim(2);
  arguments.tiled_heads = heads == DeltaHeads::tiled;
  arguments.snapshot_offsets = snapshot_offsets.data();
  arguments.snapshots = pointers.data();
  arguments.snapshot_count = static_cast<std::int64_t>(pointers.size());
  const std::int64_t columns = 32, pieces = (arguments.value_dim + columns - 1) / columns;
  stream.pool().parallel_for(arguments.value_heads * pieces, 1, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t item = first; item < last; ++item) {
      const std::int64_t column = item % pieces * columns;
      stream.loops().delta_rule_columns(arguments, item / pieces, column,
                                        std::min(column + columns, arguments.value_dim));
    }
  });
}

}  // namespace lectern::kernels::cpu

// Weight rows are split over the threads; the loops are in paths/product_loops.h.
#include "kernels/matvec.h"

#include <algorithm>

#include "kernels/cpu/activations_q8.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/scratch.h"

namespace lectern::kernels::cpu {

void matvec(Stream& stream, ConstTensor x, ConstTensor w, Tensor out) {
  const WeightRows weights{w.data, w.type, w.rows(), w.columns(), row_bytes(w.type, w.columns())};
  const InnerLoops& loops = stream.loops();
  ActivationsQ8 rounded{};
  if (is_quantized(w.type)) rounded = round_activations(stream, x, w.type);
  // A piece of 16 KiB takes about a microsecond: less is not worth waking a thread.
  const std::int64_t grain = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, weights.row_bytes));
  stream.pool().parallel_for(weights.rows, grain, [&](std::int64_t first, std::int64_t last, int) {
    if (is_quantized(w.type))
      loops.matvec_quantized(weights, rounded, first, last, nullptr, floats(out));
    else
      loops.matvec_float(weights, floats(x), x.rows(), first, last, nullptr, floats(out));
  });
}

}  // namespace lectern::kernels::cpu

// Weight rows are split over the threads by panels; the loops are in paths/product_loops.h.
#include "kernels/matmul.h"

#include <algorithm>

#include "kernels/cpu/activations_q8.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/scratch.h"

namespace lectern::kernels::cpu {

void matmul(Stream& stream, ConstTensor x, ConstTensor w, Tensor out) {
  const WeightRows weights{w.data, w.type, w.rows(), w.columns(), row_bytes(w.type, w.columns())};
  const InnerLoops& loops = stream.loops();
  const std::int64_t panels = (weights.rows + loops.panel_rows - 1) / loops.panel_rows;
  ActivationsQ8 rounded{};
  if (is_quantized(w.type)) rounded = round_activations(stream, x, w.type);
  stream.pool().parallel_for(panels, 1, [&](std::int64_t first_panel, std::int64_t last_panel, int worker) {
    std::byte* scratch = stream.scratch().of_worker(worker, loops.matmul_scratch_bytes(weights));
    const std::int64_t first = first_panel * loops.panel_rows;
    const std::int64_t last = std::min(last_panel * loops.panel_rows, weights.rows);
    if (is_quantized(w.type))
      loops.matmul_quantized(weights, rounded, first, last, scratch, floats(out));
    else
      loops.matmul_float(weights, floats(x), x.rows(), first, last, scratch, floats(out));
  });
}

}  // namespace lectern::kernels::cpu

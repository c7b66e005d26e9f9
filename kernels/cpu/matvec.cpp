// Weight rows are split over the threads; the loops are in paths/matvec_loops.h.
#include "kernels/matvec.h"

#include <algorithm>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/packed_rows.h"
#include "kernels/cpu/products.h"

namespace lectern::kernels::cpu {

namespace {
// A task is a run of whole packs of about this many bytes: less is not worth waking a thread.
constexpr std::int64_t task_bytes = 16384;
}  // namespace

void matvec(Stream& stream, ConstTensor x, std::span<const Product> products) {
  const InnerLoops& loops = stream.loops();
  const auto run = [](const WeightRows& w) {
    return (task_bytes / std::max<std::int64_t>(1, w.row_bytes) + pack_rows) / pack_rows * pack_rows;
  };
  const auto tasks = [&](const ConstTensor& w) { return (w.rows() + run(rows_of(w)) - 1) / run(rows_of(w)); };
  for (const ProductGroup& group : group_products(loops, products, row_rounding, tasks)) {
    ActivationsQ8 rounded{};
    if (group.is_quantized) rounded = round_activations(stream, x, group.rounding);
    stream.pool().parallel_for(group.ends.back(), 1, [&](std::int64_t first, std::int64_t last, int) {
      for_each_product(group, first, last, [&](const Product& product, std::int64_t from, std::int64_t to) {
        const WeightRows w = rows_of(product.w);
        const std::int64_t begin = from * run(w), end = std::min(to * run(w), w.rows);
        if (group.is_quantized)
          loops.matvec_quantized(w, rounded, begin, end, floats(product.out));
        else
          loops.matvec_float(w, floats(x), x.rows(), begin, end, floats(product.out));
      });
    });
  }
}

}  // namespace lectern::kernels::cpu

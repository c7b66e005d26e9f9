// Weight rows are split over the threads by panels; the loops are in paths/panel_loops.h.
#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/products.h"

namespace lectern::kernels::cpu {

void matmul(Stream& stream, ConstTensor x, std::span<const Product> products) {
  const InnerLoops& loops = stream.loops();
  const std::int64_t width = loops.panel_rows, rows = x.rows();
  const auto panels = [&](const ConstTensor& w) { return (w.rows() + width - 1) / width; };
  for (const ProductGroup& group : group_products(loops, products, panel_rounding, panels)) {
    ActivationsQ8 rounded{};
    if (group.is_quantized) rounded = round_activations(stream, x, group.rounding);
    stream.pool().parallel_for(group.ends.back(), 1, [&](std::int64_t first, std::int64_t last, int worker) {
      const std::int64_t scratch_bytes = loops.panel_scratch_bytes(rows);
      std::byte* scratch = stream.scratch().of_worker(worker, scratch_bytes + rows * width * 4);
      float* totals = reinterpret_cast<float*>(scratch + scratch_bytes);
      for_each_product(group, first, last, [&](const Product& product, std::int64_t from, std::int64_t to) {
        const WeightRows w = rows_of(product.w);
        for (std::int64_t row = from * width; row < std::min(to * width, w.rows); row += width) {
          if (group.is_quantized)
            loops.panel_quantized(w, rounded, row, scratch, totals);
          else
            loops.panel_float(w, floats(x), nullptr, rows, row, scratch, totals);
          const auto bytes = static_cast<std::size_t>(std::min(width, w.rows - row)) * sizeof(float);
          for (std::int64_t t = 0; t < rows; ++t)
            std::memcpy(floats(product.out) + t * w.rows + row, totals + t * width, bytes);
        }
      });
    });
  }
}

}  // namespace lectern::kernels::cpu

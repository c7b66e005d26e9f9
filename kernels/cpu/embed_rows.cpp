#include "kernels/embed_rows.h"

#include "kernels/cpu/dequantize.h"
#include "kernels/cpu/operations.h"

namespace lectern::kernels::cpu {

void embed_rows(Stream& stream, ConstTensor table, std::span<const std::int32_t> ids, Tensor out) {
  const std::int64_t columns = table.columns(), bytes = row_bytes(table.type, columns);
  stream.pool().parallel_for(static_cast<std::int64_t>(ids.size()), 8, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t t = first; t < last; ++t)
      dequantize_row(table.type, table.data + ids[static_cast<std::size_t>(t)] * bytes, columns,
                     floats(out) + t * columns);
  });
}

}  // namespace lectern::kernels::cpu

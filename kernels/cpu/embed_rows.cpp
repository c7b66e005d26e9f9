#include "kernels/embed_rows.h"

#include <vector>

#include "kernels/cpu/dequantize.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/packed_rows.h"

namespace lectern::kernels::cpu {

void embed_rows(Stream& stream, ConstTensor table, std::span<const std::int32_t> ids, Tensor out) {
  const std::int64_t columns = table.columns(), bytes = row_bytes(table.type, columns);
  stream.pool().parallel_for(static_cast<std::int64_t>(ids.size()), 8, [&](std::int64_t first, std::int64_t last, int) {
    std::vector<std::byte> unpacked(static_cast<std::size_t>(table.packed ? bytes : 0));
    for (std::int64_t t = first; t < last; ++t) {
      const std::int64_t id = ids[static_cast<std::size_t>(t)];
      if (table.packed) unpack_row(table, id, unpacked.data());
      dequantize_row(table.type, table.packed ? unpacked.data() : table.data + id * bytes, columns,
                     floats(out) + t * columns);
    }
  });
}

}  // namespace lectern::kernels::cpu

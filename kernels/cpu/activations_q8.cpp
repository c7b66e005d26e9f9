#include "kernels/cpu/activations_q8.h"

#include <algorithm>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/scratch.h"

namespace lectern::kernels::cpu {

namespace {

std::int32_t zero_point(DType type) {
  switch (type) {
    case DType::q4_0: return 8;
    case DType::q8_0: return 128;
    case DType::q6_k: return 32;
    default: return 0;
  }
}

}  // namespace

Rounding panel_rounding(const InnerLoops& loops, DType type) {
  if (type == DType::q8_0 && loops.panel_i16) return {32, 0, true};
  return {type == DType::q6_k ? 16 : 32, zero_point(type)};
}

Rounding row_rounding(const InnerLoops& loops, DType type) {
  if (type == DType::q8_0) return {32, 0, true};
  return panel_rounding(loops, type);
}

ActivationsQ8 round_activations(Stream& stream, ConstTensor x, Rounding rounding, ScratchUse use) {
  const std::int64_t rows = x.rows(), columns = x.columns();
  ActivationsQ8 out{};
  out.rows = rows;
  out.group = rounding.group;
  out.zero_point = rounding.zero_point;
  out.padded_columns = (columns + 63) / 64 * 64;
  out.padded_groups = (columns / out.group + 7) / 8 * 8;
  const std::int64_t elements = rows * out.padded_columns, groups = rows * out.padded_groups;
  std::byte* memory = stream.scratch().shared(use, elements * 2 + groups * (rounding.i16 ? 8 : 16) + groups / 8);
  const auto take = [&](std::int64_t bytes) {
    std::byte* part = memory;
    memory += bytes;
    return part;
  };
  if (rounding.i16) {
    out.values_i16 = reinterpret_cast<std::int16_t*>(take(elements * 2));
  } else {
    out.values = reinterpret_cast<std::int8_t*>(take(elements));
    out.residuals = reinterpret_cast<std::int8_t*>(take(elements));
    out.group_corrections = reinterpret_cast<std::int32_t*>(take(groups * 8));
  }
  out.scales = reinterpret_cast<float*>(take(groups * 8));
  out.refined = reinterpret_cast<std::uint8_t*>(take(groups / 8));
  const InnerLoops& loops = stream.loops();
  stream.pool().parallel_for(rows, std::max<std::int64_t>(1, 16384 / columns),
                             [&](std::int64_t first, std::int64_t last, int) {
                               for (std::int64_t row = first; row < last; ++row)
                                 loops.quantize_row(floats(x) + row * columns, columns, row, out);
                             });
  return out;
}

}  // namespace lectern::kernels::cpu

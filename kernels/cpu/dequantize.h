// One row of any type as f32: for the embedding table and for tests. Plain code, no instruction path.
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace lectern::kernels::cpu {

float half_to_float(std::uint16_t half);
float bf16_to_float(std::uint16_t value);
/// `columns` values from `row` (row_bytes(type, columns) bytes); i32 is not a weight type and is converted as numbers.
void dequantize_row(DType type, const std::byte* row, std::int64_t columns, float* out);

}  // namespace lectern::kernels::cpu

// out[t] = table[ids[t]], dequantized.
#pragma once

#include <span>
#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// table [V, H] any type; ids [T], each in [0, V) (checked: Error{bad_request}); out [T, H] f32.
void embed_rows(Stream& stream, ConstTensor table, std::span<const std::int32_t> ids, Tensor out);

}  // namespace lectern::kernels

// out[t] = table[ids[t]], dequantized, on the device. The CPU's twin is in kernels/embed_rows.h.
#pragma once

#include <span>

#include "kernels/cuda/queue.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// table [V, H] of any type but i32; ids [T] i32; out [T, H] f32, or bf16 (rounded to nearest); bad_ids [1] i32: all in
/// device memory, and the table aligned to 16 bytes. Nothing may alias. The host does not see the ids: one that is not
/// in [0, V) gives a row of NaN and sets bad_ids[0] to 1 (nothing sets it back; whoever waits for the results looks at
/// it). Nothing is done for T = 0. Takes no workspace. Errors: Error{unsupported} for types and shapes.
void embed_rows(Queue& queue, ConstTensor table, ConstTensor ids, Tensor out, Tensor bad_ids);

/// For whoever has the ids before they go to the device: throws Error{bad_request} if one is not in [0, rows).
void check_ids(std::span<const std::int32_t> ids, std::int64_t rows);

}  // namespace lectern::kernels::cuda

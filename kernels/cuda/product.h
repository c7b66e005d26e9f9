// One of several products of the same activations, on the device.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// out = x w^T, or residual + x w^T.
struct Product {
  ConstTensor w;         // [N, K] of any type but i32, rows as in a file (not packed), aligned to 16 bytes
  Tensor out;            // [T, N] f32
  ConstTensor residual;  // [T, N] f32, may be `out`; empty: nothing is added
};

/// What a launch takes at most.
inline constexpr std::size_t products_at_once = 8;
/// N at most; K at most.
inline constexpr std::int64_t product_rows = 1 << 19, product_columns = 1 << 20;

/// Throws Error{unsupported} "operation: ..." unless x [T, K] (types and T are the operation's affair), w, out and
/// residual of each product fit together and are as described above, x is aligned to 16 bytes and out to 8.
void require_products(const char* operation, const ConstTensor& x, std::span<const Product> products);

}  // namespace lectern::kernels::cuda

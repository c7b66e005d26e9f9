// out = x · wᵀ: 1 to 8 rows (decode). Each row's bits are those of that row computed alone.
#pragma once

#include "kernels/matmul.h"

namespace lectern::kernels {

/// Rows that matvec takes at most.
inline constexpr std::int64_t matvec_rows = 8;

/// As matmul, with T in [1, matvec_rows]; reads every weight once.
void matvec(Stream& stream, ConstTensor x, std::span<const Product> products);
inline void matvec(Stream& stream, ConstTensor x, ConstTensor w, Tensor out) {
  const Product one{w, out};
  matvec(stream, x, {&one, 1});
}

}  // namespace lectern::kernels

// out = x · wᵀ: 1 to 8 rows (decode). Each row's bits are those of that row computed alone.
#pragma once

#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// As matmul, with T in [1, 8]; reads every weight once.
void matvec(Stream& stream, ConstTensor x, ConstTensor w, Tensor out);

}  // namespace lectern::kernels

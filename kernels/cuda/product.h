// One of several products of the same activations, on the device.
#pragma once

#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// out = x w^T, or residual + x w^T.
struct Product {
  ConstTensor w;         // [N, K] of any type but i32, rows as in a file (not packed), aligned to 16 bytes
  Tensor out;            // [T, N] f32
  ConstTensor residual;  // [T, N] f32, may be `out`; empty: nothing is added
};

}  // namespace lectern::kernels::cuda

// The gates of Gated DeltaNet for one value head and token. For kernels.
#pragma once

#include "kernels/cuda/gpu.h"

namespace lectern::kernels::cuda {

/// decay * softplus(a + dt_bias). The branch is taken, not selected: e^x of a large x is infinite, and 0 times that is
/// not a number.
__device__ __forceinline__ float delta_decay_gate(float a, float decay, float dt_bias) {
  const float x = a + dt_bias;
  return decay * (x > 20.0f ? x : log1pf(expf(x)));
}
__device__ __forceinline__ float delta_write_gate(float b) {
  return 1.0f / (1.0f + expf(-b));
}

}  // namespace lectern::kernels::cuda

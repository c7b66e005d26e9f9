// The two gates of Gated DeltaNet, on the device. The CPU twin is in kernels/delta_gates.h.
#pragma once

#include "kernels/cuda/queue.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// g = decay * softplus(a + dt_bias), beta = sigmoid(b); softplus(x) = x for x > 20, else log1p(exp(x)); f32.
/// a, b, g, beta [T, Hv] f32 (g may be a, beta may be b); decay = -exp(A_log) [Hv]; dt_bias [Hv]. One launch, no
/// workspace. Throws Error{unsupported} before it; no tokens: nothing happens.
void delta_gates(Queue& queue, ConstTensor a, ConstTensor b, ConstTensor decay, ConstTensor dt_bias, Tensor g,
                 Tensor beta);

}  // namespace lectern::kernels::cuda

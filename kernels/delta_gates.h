// The two gates of Gated DeltaNet.
#pragma once

#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// g = decay * softplus(a + dt_bias), beta = sigmoid(b); softplus(x) = x for x > 20, else log1p(exp(x)); f32.
/// a, b, g, beta [T, Hv] f32 (g may alias a, beta may alias b); decay = -exp(A_log) [Hv]; dt_bias [Hv].
void delta_gates(Stream& stream, ConstTensor a, ConstTensor b, ConstTensor decay, ConstTensor dt_bias, Tensor g,
                 Tensor beta);

}  // namespace lectern::kernels

// Router of a mixture of experts.
#pragma once

#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// p = softmax(logits) over all E (f32); the k largest p, ties to the lower index; weights p_i, divided by their sum if
/// `normalize`. logits [T, E] f32; experts [T, k] i32; weights [T, k] f32, in descending order of p.
void moe_route(Stream& stream, ConstTensor logits, bool normalize, Tensor experts, Tensor weights);

}  // namespace lectern::kernels

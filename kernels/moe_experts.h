// The expert feed-forward networks that the router chose.
#pragma once

#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// out_t = sum_i weights[t, i] * down_e(silu(gate_e x_t) * up_e x_t), e = experts[t, i]; summed in f32 in the order
/// of e. x, out [T, H] f32, no aliasing; gate, up [E, I, H], down [E, H, I] any one type each; experts [T, k] i32;
/// weights [T, k] f32. A row's bits do not depend on T. `decode` picks the arithmetic of matvec, else that of matmul.
enum class RowKind { prefill, decode };
void moe_experts(Stream& stream, ConstTensor x, ConstTensor gate, ConstTensor up, ConstTensor down, ConstTensor experts,
                 ConstTensor weights, RowKind kind, Tensor out);

}  // namespace lectern::kernels

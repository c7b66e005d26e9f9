// Small element-wise operations, all f32; out may alias any input.
#pragma once

#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// out = a + b.
void add(Stream& stream, ConstTensor a, ConstTensor b, Tensor out);
/// out = silu(gate) * up, silu(x) = x / (1 + exp(-x)).
void silu_multiply(Stream& stream, ConstTensor gate, ConstTensor up, Tensor out);
/// out = x * sigmoid(gate).
void sigmoid_multiply(Stream& stream, ConstTensor x, ConstTensor gate, Tensor out);
/// out[t, :] += x[t, :] * sigmoid(gate[t]): the gated shared expert. x, out [T, H]; gate [T].
void add_sigmoid_scaled(Stream& stream, ConstTensor x, ConstTensor gate, Tensor out);

/// out[r, 0..D) = x[r, column..column + D): x [R, S], out [R, D], f32, no aliasing.
void copy_columns(Stream& stream, ConstTensor x, std::int64_t column, Tensor out);

}  // namespace lectern::kernels

// Small element-wise operations on the device. The CPU twins are in kernels/elementwise.h.
#pragma once

#include "kernels/cuda/queue.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

// All tensors are device memory. Inputs are f32, `out` is f32 or bf16 (rounded to nearest, ties to even) where nothing
// else is said: bf16 is what the tensor cores of a following product take. An f32 out may be any of the inputs. Every
// value depends on its own inputs alone. Errors: Error{unsupported} before anything is launched; no values: nothing to
// do. sigmoid(x) = 1 / (1 + exp(-x)) by the device's exp2 and reciprocal: relative error at most
// elementwise_exp_tolerance of the result for |x| up to 87 (beyond, the sigmoid is 0 or 1 within 1e-37).
inline constexpr double elementwise_exp_tolerance = 1e-5;

/// out = a + b.
void add(Queue& queue, ConstTensor a, ConstTensor b, Tensor out);
/// out = silu(gate) * up, silu(x) = x * sigmoid(x).
void silu_multiply(Queue& queue, ConstTensor gate, ConstTensor up, Tensor out);
/// out = x * sigmoid(gate).
void sigmoid_multiply(Queue& queue, ConstTensor x, ConstTensor gate, Tensor out);
/// out[t, :] += x[t, :] * sigmoid(gate[t]): the gated shared expert. x, out [T, H] f32; gate [T].
void add_sigmoid_scaled(Queue& queue, ConstTensor x, ConstTensor gate, Tensor out);
/// out[r, 0..D) = x[r, column..column + D): x [R, S], out [R, D], no aliasing.
void copy_columns(Queue& queue, ConstTensor x, std::int64_t column, Tensor out);
/// out = x, rounded to bf16. No aliasing.
void round_to_bf16(Queue& queue, ConstTensor x, Tensor out);

}  // namespace lectern::kernels::cuda

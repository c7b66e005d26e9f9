// The ends of both attentions: queries that come in, rows that go out.
#pragma once

#include "kernels/cuda/gpu.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// Rows [T, Hq, D] of queries, f32 or bf16.
struct QueryRows {
  const std::byte* data = nullptr;
  bool is_bf16 = false;

  QueryRows() = default;
  explicit QueryRows(const ConstTensor& q) : data(q.data), is_bf16(q.type == DType::bf16) {}

  /// Eight values from `at` on as bf16.
  __device__ __forceinline__ uint4 eight(std::int64_t at) const {
    if (is_bf16) return *reinterpret_cast<const uint4*>(reinterpret_cast<const gpu::bf16*>(data) + at);
    const auto low = gpu::Vector<float, 4>::load(reinterpret_cast<const float*>(data) + at);
    const auto high = gpu::Vector<float, 4>::load(reinterpret_cast<const float*>(data) + at + 4);
    return make_uint4(gpu::pack_bf16(low.values[0], low.values[1]), gpu::pack_bf16(low.values[2], low.values[3]),
                      gpu::pack_bf16(high.values[0], high.values[1]), gpu::pack_bf16(high.values[2], high.values[3]));
  }
};

/// Rows [T, Hq, D] of results, f32 or bf16, with a gate or without.
struct GatedRows {
  std::byte* data = nullptr;
  const float* gate = nullptr;
  bool is_bf16 = false;
  bool gate_beside_query = false;  // gate [T, Hq, 2D]: the second D of each head

  GatedRows() = default;
  GatedRows(const Tensor& out, const ConstTensor& gates)
      : data(out.data),
        gate(reinterpret_cast<const float*>(gates.data)),
        is_bf16(out.type == DType::bf16),
        gate_beside_query(gates && gates.dim(2) != out.dim(2)) {}

  __device__ __forceinline__ const float* gates_of(std::int64_t row, int dim) const {
    return gate_beside_query ? gate + (2 * row + 1) * dim : gate + row * dim;
  }
  /// Stores dimensions d and d + 1 of row `row` (of [T * Hq]); d is even.
  __device__ __forceinline__ void store(std::int64_t row, int dim, int d, float first, float second) const {
    if (gate != nullptr) {
      const auto gates = gpu::Vector<float, 2>::load(gates_of(row, dim) + d);
      first *= gpu::sigmoid(gates.values[0]);
      second *= gpu::sigmoid(gates.values[1]);
    }
    if (is_bf16) {
      reinterpret_cast<std::uint32_t*>(data)[(row * dim + d) / 2] = gpu::pack_bf16(first, second);
    } else {
      gpu::Vector<float, 2> pair;
      pair.values[0] = first;
      pair.values[1] = second;
      pair.store(reinterpret_cast<float*>(data) + row * dim + d);
    }
  }
};

__device__ __forceinline__ float minus_infinity() {
  return __uint_as_float(0xFF800000u);
}

}  // namespace lectern::kernels::cuda

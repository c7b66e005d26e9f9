// Plan.
//   Block: a token. Its k places, which ascend with the experts, are ranked by one warp; then a thread has 8
//   neighbouring columns and adds up the k rows, 16 bytes a load, in that order.
//   Bytes at T = 2,048, H = 2,048, k = 10: 84 MB of rows in bf16 read, 17 MB each of residual and shared expert read
//   and of the output written: 134 MB, 40 us of an H100's 3.35 TB/s, 3 % of what the experts themselves take. In f32
//   the rows would be 168 MB written and read again; bf16 rounds each expert's row once, as the model's reference does.
//   All k loads of a thread are independent: 256 threads x 10 x 16 bytes = 41 KB under way in a block. Limit: memory;
//   designed for 85 % of it.
// hot: combine_rows
#include "kernels/cuda/moe_combine.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/gpu.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 256, most_chosen = 32, run = 8;

template <class Shared>
__device__ __forceinline__ void load_run(const Shared* from, float (&to)[run]) {
  constexpr int part = 16 / static_cast<int>(sizeof(Shared));
#pragma unroll
  for (int i = 0; i < run; i += part) {
    const auto loaded = gpu::Vector<Shared, part>::load(from + i);
#pragma unroll
    for (int j = 0; j < part; ++j) to[i + j] = gpu::to_float(loaded.values[j]);
  }
}

template <class Shared>
__global__ void __launch_bounds__(block_threads)
    combine_rows(const gpu::bf16* __restrict__ rows, const std::int32_t* __restrict__ places,
                 const float* __restrict__ weights, int chosen, int hidden, const Shared* shared,
                 const float* __restrict__ shared_gate, const float* residual, float* out) {
  SHARED_ARRAY(int, sorted, [most_chosen]);
  SHARED_ARRAY(float, shares, [most_chosen]);
  gpu::wait_for_previous_grid();
  gpu::allow_next_grid();
  const std::int64_t token = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x);
  const int place = lane < chosen ? places[token * chosen + lane] : -1;
  const int count = __syncthreads_count(place >= 0);
  if (lane < 32) {
    int rank = 0;
    for (int i = 0; i < chosen; ++i) {
      const int other = __shfl_sync(0xFFFFFFFFu, place, i);
      rank += other >= 0 && other < place;
    }
    if (place >= 0) {
      sorted[rank] = place;
      shares[rank] = weights[token * chosen + lane];
    }
  }
  __syncthreads();
  const float gate = shared != nullptr ? gpu::sigmoid(shared_gate[token]) : 0.0f;
  for (int column = run * lane; column < hidden; column += run * block_threads) {
    float sum[run] = {};
#pragma unroll 4
    for (int i = 0; i < count; ++i) {
      float values[run];
      load_run(rows + static_cast<std::int64_t>(sorted[i]) * hidden + column, values);
#pragma unroll
      for (int j = 0; j < run; ++j) sum[j] = __fmaf_rn(shares[i], values[j], sum[j]);
    }
    const std::int64_t at = token * hidden + column;
    if (shared != nullptr) {
      float values[run];
      load_run(shared + at, values);
#pragma unroll
      for (int j = 0; j < run; ++j) sum[j] = __fmaf_rn(gate, values[j], sum[j]);
    }
    if (residual != nullptr) {
      float values[run];
      load_run(residual + at, values);
#pragma unroll
      for (int j = 0; j < run; ++j) sum[j] = values[j] + sum[j];
    }
#pragma unroll
    for (int i = 0; i < run; i += 4) {
      const gpu::Vector<float, 4> part = {{sum[i], sum[i + 1], sum[i + 2], sum[i + 3]}};
      part.store(out + at + i);
    }
  }
}

bool is_aligned(const ConstTensor& x) {
  return reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0;
}

}  // namespace

void moe_combine(Queue& queue, ConstTensor rows, const ExpertOrder& order, ConstTensor weights, ConstTensor shared,
                 ConstTensor shared_gate, ConstTensor residual, Tensor out) {
  require(is_f32(out, 2) && is_f32(weights, 2) && weights.dim(0) == out.dim(0) && weights.dim(1) >= 1 &&
              weights.dim(1) <= most_chosen && rows.type == DType::bf16 && rows.rank == 2 &&
              rows.dim(0) == weights.elements() && rows.dim(1) == out.dim(1) && out.dim(1) % run == 0 &&
              order.places.elements() == weights.elements(),
          "moe_combine", {{"rows", rows}, {"weights", weights}, {"places", order.places}, {"out", out}},
          "expected rows BF16 [T * k, H], weights F32 [T, k], k from 1 to 32, out F32 [T, H], H a multiple of 8");
  require(!residual || (is_f32(residual) && same_shape(residual, out)), "moe_combine",
          {{"residual", residual}, {"out", out}}, "expected residual F32 [T, H]");
  require(static_cast<bool>(shared) == static_cast<bool>(shared_gate) &&
              (!shared || ((shared.type == DType::f32 || shared.type == DType::bf16) && same_shape(shared, out) &&
                           is_f32(shared_gate, 1) && shared_gate.dim(0) == out.dim(0))),
          "moe_combine", {{"shared", shared}, {"shared_gate", shared_gate}},
          "expected shared F32 or BF16 [T, H] and shared_gate F32 [T], or neither");
  require(is_aligned(rows) && is_aligned(shared) && is_aligned(residual) && is_aligned(out), "moe_combine",
          {{"rows", rows}, {"out", out}}, "tensors begin at multiples of 16 bytes");
  if (out.dim(0) == 0) return;
  const auto launch = [&]<class Shared>() {
    return LAUNCH_DEPENDENT(
        combine_rows<Shared>, static_cast<unsigned>(out.dim(0)), block_threads, 0, queue.stream(),
        reinterpret_cast<const gpu::bf16*>(rows.data), reinterpret_cast<const std::int32_t*>(order.places.data),
        reinterpret_cast<const float*>(weights.data), static_cast<int>(weights.dim(1)), static_cast<int>(out.dim(1)),
        reinterpret_cast<const Shared*>(shared.data), reinterpret_cast<const float*>(shared_gate.data),
        reinterpret_cast<const float*>(residual.data), reinterpret_cast<float*>(out.data));
  };
  check(shared.type == DType::bf16 ? launch.template operator()<gpu::bf16>() : launch.template operator()<float>(),
        "moe_combine");
}

}  // namespace lectern::kernels::cuda

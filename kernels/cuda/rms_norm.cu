// Plan.
//   Block: 256 threads. Rows of up to 256 columns (heads: D = 128 and 256) take a warp each, eight to a block; longer
//   ones (the residual stream, H = 2048) the whole block. A thread has every (32 or 256)th run of 4 columns, reads it
//   once, keeps it in shared memory (its own columns: no barrier is needed for them) and adds up its squares in f32;
//   then the butterfly over the warp and, for whole blocks, the eight warps' sums in order. So the order of a row's
//   additions is fixed by D alone. Rows that are not runs of 4 aligned columns go by single columns.
//   Bytes at Qwen3-Next-80B: prefill of 2,048 tokens, add_rms_norm with bf16 output: 2 x 16.8 MB read, 16.8 + 8.4 MB
//   written: 58.7 MB, 17.5 us at the H100's 3.35 TB/s; gated_rms_norm of 2,048 x 32 heads of 128: 100.7 MB with f32
//   output. FLOPs (4 a value) are nothing beside that. One token: 32 KB, so a launch's latency (2 to 3 us) is all.
//   Limit: memory. Designed for 85 % of it: at most 39 registers a thread, so 6 blocks an SM, with 8 KB of shared
//   memory each and 16 bytes a load. Best public peers: vLLM's csrc/layernorm_kernels.cu (fused_add_rms_norm),
//   FlashInfer's norm.cuh.
// hot: rms_norm_rows
// hot: add_rms_norm_rows
// hot: gated_rms_norm_rows
// hot: l2_norm_rows
#include "kernels/cuda/rms_norm.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/gpu.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 256;
constexpr std::int64_t warp_columns = 256;  // rows of up to so many columns take one warp

/// One row, held by WARPS warps in runs of RUN columns.
template <int WARPS, int RUN>
struct Row {
  std::int64_t first = 0;  // its first value in memory
  int columns = 0;
  bool exists = false;
  float* kept = nullptr;  // [columns] in shared memory; a thread touches its own columns alone

  __device__ Row(unsigned char* shared, std::int64_t rows, int row_columns) : columns(row_columns) {
    const int in_block = WARPS == 1 ? static_cast<int>(threadIdx.x / 32) : 0;
    const int rows_per_block = WARPS == 1 ? block_threads / 32 : 1;
    const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * rows_per_block + in_block;
    exists = row < rows;
    first = row * row_columns;
    kept = reinterpret_cast<float*>(shared) + in_block * row_columns;
  }

  /// Calls body(column) for each of the thread's runs.
  template <class Body>
  __device__ __forceinline__ void for_runs(Body body) const {
    const int thread = static_cast<int>(WARPS == 1 ? threadIdx.x % 32 : threadIdx.x);
    // Two runs are all that the common rows have; unrolled by four, as nvcc would, it spills.
#pragma unroll 2
    for (int column = RUN * thread; column < columns; column += RUN * 32 * WARPS) body(column);
  }
};

template <int WARPS>
__device__ __forceinline__ float row_sum(float value) {
  if constexpr (WARPS == 1) {
    return gpu::warp_sum(value);
  } else {
    SHARED_ARRAY(float, part, [WARPS]);
    return gpu::block_sum<WARPS>(value, part);
  }
}

template <int RUN>
using Run = gpu::Vector<float, RUN>;

template <int RUN>
__device__ __forceinline__ float squares(const Run<RUN>& run) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < RUN; ++i) sum += run.values[i] * run.values[i];
  return sum;
}

template <int WARPS, int RUN, class Out>
__global__ void __launch_bounds__(block_threads)
    rms_norm_rows(const float* x, const float* __restrict__ w, float eps, std::int64_t rows, int columns, Out* out) {
  DYN_SHARED(shared);
  const Row<WARPS, RUN> row(shared, rows, columns);
  if (!row.exists) return;
  float sum = 0.0f;
  row.for_runs([&](int column) {
    const auto run = Run<RUN>::load(x + row.first + column);
    sum += squares(run);
    run.store(row.kept + column);
  });
  const float factor = 1.0f / sqrtf(row_sum<WARPS>(sum) / static_cast<float>(columns) + eps);
  row.for_runs([&](int column) {
    const auto run = Run<RUN>::load(row.kept + column), weight = Run<RUN>::load(w + column);
    float y[RUN];
#pragma unroll
    for (int i = 0; i < RUN; ++i) y[i] = run.values[i] * factor * weight.values[i];
    gpu::from_floats<Out>(y).store(out + row.first + column);
  });
}

template <int WARPS, int RUN, class Out>
__global__ void __launch_bounds__(block_threads)
    add_rms_norm_rows(const float* x, const float* residual, const float* __restrict__ w, float eps, std::int64_t rows,
                      int columns, float* sum_out, Out* out) {
  DYN_SHARED(shared);
  const Row<WARPS, RUN> row(shared, rows, columns);
  if (!row.exists) return;
  float sum = 0.0f;
  row.for_runs([&](int column) {
    auto run = Run<RUN>::load(x + row.first + column);
    const auto other = Run<RUN>::load(residual + row.first + column);
#pragma unroll
    for (int i = 0; i < RUN; ++i) run.values[i] += other.values[i];
    sum += squares(run);
    run.store(sum_out + row.first + column);
    run.store(row.kept + column);
  });
  const float factor = 1.0f / sqrtf(row_sum<WARPS>(sum) / static_cast<float>(columns) + eps);
  row.for_runs([&](int column) {
    const auto run = Run<RUN>::load(row.kept + column), weight = Run<RUN>::load(w + column);
    float y[RUN];
#pragma unroll
    for (int i = 0; i < RUN; ++i) y[i] = run.values[i] * factor * weight.values[i];
    gpu::from_floats<Out>(y).store(out + row.first + column);
  });
}

template <int WARPS, int RUN, class Out>
__global__ void __launch_bounds__(block_threads)
    gated_rms_norm_rows(const float* o, const float* z, const float* __restrict__ w, float eps, std::int64_t rows,
                        int columns, Out* out) {
  DYN_SHARED(shared);
  const Row<WARPS, RUN> row(shared, rows, columns);
  if (!row.exists) return;
  float sum = 0.0f;
  row.for_runs([&](int column) {
    const auto run = Run<RUN>::load(o + row.first + column);
    sum += squares(run);
    run.store(row.kept + column);
  });
  const float factor = 1.0f / sqrtf(row_sum<WARPS>(sum) / static_cast<float>(columns) + eps);
  row.for_runs([&](int column) {
    const auto run = Run<RUN>::load(row.kept + column), weight = Run<RUN>::load(w + column);
    const auto gate = Run<RUN>::load(z + row.first + column);
    float y[RUN];
#pragma unroll
    for (int i = 0; i < RUN; ++i) y[i] = run.values[i] * factor * weight.values[i] * gpu::silu(gate.values[i]);
    gpu::from_floats<Out>(y).store(out + row.first + column);
  });
}

template <int WARPS, int RUN, class Out>
__global__ void __launch_bounds__(block_threads)
    l2_norm_rows(const float* x, float eps, float scale, std::int64_t rows, int columns, Out* out) {
  DYN_SHARED(shared);
  const Row<WARPS, RUN> row(shared, rows, columns);
  if (!row.exists) return;
  float sum = 0.0f;
  row.for_runs([&](int column) {
    const auto run = Run<RUN>::load(x + row.first + column);
    sum += squares(run);
    run.store(row.kept + column);
  });
  const float factor = scale / sqrtf(row_sum<WARPS>(sum) + eps);
  row.for_runs([&](int column) {
    const auto run = Run<RUN>::load(row.kept + column);
    float y[RUN];
#pragma unroll
    for (int i = 0; i < RUN; ++i) y[i] = run.values[i] * factor;
    gpu::from_floats<Out>(y).store(out + row.first + column);
  });
}

const float* floats(const ConstTensor& x) {
  return reinterpret_cast<const float*>(x.data);
}

bool is_output(const Tensor& out) {
  return out.type == DType::f32 || out.type == DType::bf16;
}

bool is_aligned(std::initializer_list<const std::byte*> addresses) {
  for (const std::byte* address : addresses)
    if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) return false;
  return true;
}

/// Calls launch.template operator()<WARPS, RUN, Out>(grid, shared bytes, out) for what fits these rows.
template <class Launch>
void launch_rows(const Tensor& out, bool aligned, const char* operation, Launch launch) {
  const std::int64_t rows = out.rows(), columns = out.columns();
  if (rows == 0 || columns == 0) return;
  const bool warps = columns <= warp_columns, runs = aligned && columns % 4 == 0;
  const std::int64_t rows_per_block = warps ? block_threads / 32 : 1;
  const auto blocks = static_cast<unsigned>((rows + rows_per_block - 1) / rows_per_block);
  const auto shared_bytes = static_cast<std::size_t>(rows_per_block * columns) * sizeof(float);
  const auto with = [&]<class Out>(Out* data) {
    constexpr int all = block_threads / 32;
    if (warps && runs) return launch.template operator()<1, 4>(blocks, shared_bytes, data);
    if (warps) return launch.template operator()<1, 1>(blocks, shared_bytes, data);
    if (runs) return launch.template operator()<all, 4>(blocks, shared_bytes, data);
    return launch.template operator()<all, 1>(blocks, shared_bytes, data);
  };
  check(
      out.type == DType::f32 ? with(reinterpret_cast<float*>(out.data)) : with(reinterpret_cast<gpu::bf16*>(out.data)),
      operation);
}

constexpr const char* too_wide = "rows have at most 8192 columns";

}  // namespace

void rms_norm(Queue& queue, ConstTensor x, ConstTensor w, float eps, Tensor out) {
  require(is_f32(x) && is_f32(w, 1) && is_output(out) && same_shape(x, out) && w.dim(0) == x.columns(), "rms_norm",
          {{"x", x}, {"w", w}, {"out", out}}, "expected x and out [..., D], out F32 or BF16, w [D]");
  require(x.columns() <= rms_norm_columns, "rms_norm", {{"x", x}}, too_wide);
  launch_rows(out, is_aligned({x.data, w.data, out.data}), "rms_norm",
              [&]<int WARPS, int RUN, class Out>(unsigned blocks, std::size_t shared_bytes, Out* data) {
                return LAUNCH((rms_norm_rows<WARPS, RUN, Out>), blocks, block_threads, shared_bytes, queue.stream(),
                              floats(x), floats(w), eps, x.rows(), static_cast<int>(x.columns()), data);
              });
}

void add_rms_norm(Queue& queue, ConstTensor x, ConstTensor residual, ConstTensor w, float eps, Tensor sum, Tensor out) {
  require(is_f32(x) && is_f32(residual) && is_f32(sum) && is_f32(w, 1) && is_output(out) && same_shape(x, residual) &&
              same_shape(x, sum) && same_shape(x, out) && w.dim(0) == x.columns(),
          "add_rms_norm", {{"x", x}, {"residual", residual}, {"w", w}, {"sum", sum}, {"out", out}},
          "expected x, residual, sum and out [..., D], out F32 or BF16, w [D]");
  require(x.columns() <= rms_norm_columns, "add_rms_norm", {{"x", x}}, too_wide);
  launch_rows(out, is_aligned({x.data, residual.data, w.data, sum.data, out.data}), "add_rms_norm",
              [&]<int WARPS, int RUN, class Out>(unsigned blocks, std::size_t shared_bytes, Out* data) {
                return LAUNCH((add_rms_norm_rows<WARPS, RUN, Out>), blocks, block_threads, shared_bytes, queue.stream(),
                              floats(x), floats(residual), floats(w), eps, x.rows(), static_cast<int>(x.columns()),
                              reinterpret_cast<float*>(sum.data), data);
              });
}

void gated_rms_norm(Queue& queue, ConstTensor o, ConstTensor z, ConstTensor w, float eps, Tensor out) {
  require(is_f32(o) && is_f32(z) && is_f32(w, 1) && is_output(out) && same_shape(o, out) &&
              o.columns() == z.columns() && o.elements() == z.elements() && w.dim(0) == o.columns(),
          "gated_rms_norm", {{"o", o}, {"z", z}, {"w", w}, {"out", out}},
          "expected o, z and out [..., D], out F32 or BF16, w [D]");
  require(o.columns() <= rms_norm_columns, "gated_rms_norm", {{"o", o}}, too_wide);
  launch_rows(out, is_aligned({o.data, z.data, w.data, out.data}), "gated_rms_norm",
              [&]<int WARPS, int RUN, class Out>(unsigned blocks, std::size_t shared_bytes, Out* data) {
                return LAUNCH((gated_rms_norm_rows<WARPS, RUN, Out>), blocks, block_threads, shared_bytes,
                              queue.stream(), floats(o), floats(z), floats(w), eps, o.rows(),
                              static_cast<int>(o.columns()), data);
              });
}

void l2_norm(Queue& queue, ConstTensor x, float eps, float scale, Tensor out) {
  require(is_f32(x) && is_output(out) && same_shape(x, out), "l2_norm", {{"x", x}, {"out", out}},
          "expected one shape [..., D], out F32 or BF16");
  require(x.columns() <= rms_norm_columns, "l2_norm", {{"x", x}}, too_wide);
  launch_rows(out, is_aligned({x.data, out.data}), "l2_norm",
              [&]<int WARPS, int RUN, class Out>(unsigned blocks, std::size_t shared_bytes, Out* data) {
                return LAUNCH((l2_norm_rows<WARPS, RUN, Out>), blocks, block_threads, shared_bytes, queue.stream(),
                              floats(x), eps, scale, x.rows(), static_cast<int>(x.columns()), data);
              });
}

}  // namespace lectern::kernels::cuda

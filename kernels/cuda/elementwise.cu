// Plan.
//   Whole tensors (map_pairs, map_values): a block of 256 threads has 4096 consecutive values. A thread has four runs
//   of 4 (16 bytes an input), 1024 values apart, so that a warp reads 512 bytes at a time; it loads all four runs of
//   each input before it stores any: 8 loads in flight. Short tensors (fewer than two blocks a multiprocessor that way)
//   take one run a thread, which spreads them over the device. Rows (add_sigmoid_scaled_rows, copy_column_rows): a
//   block is 256 threads in two axes, runs of a row by rows, each thread has the same columns of four rows. Values that
//   are no runs of 4 aligned ones go one by one. Bytes at Qwen3-Next-80B, prefill of 2,048 tokens: add of the residual
//   stream (H 2048) 50.3 MB, 15 us at the H100's 3.35 TB/s; silu_multiply of the shared expert (512) 12.6 MB, with bf16
//   output 10.5 MB; sigmoid_multiply of attention (16 x 256) 100.7 MB or 83.9 MB; add_sigmoid_scaled 50.3 MB;
//   round_to_bf16 of the stream 25.2 MB. FLOPs are nothing beside that (about 8 a value). One token: 24 KB, so a
//   launch's latency (2 to 3 us) is all: decode should fuse these. Limit: memory. Designed for the rate of a copy: 40
//   to 54 registers and no shared memory, so 4 to 6 blocks and at least 128 KB in flight a multiprocessor. Best public
//   peers: PyTorch's vectorized_elementwise_kernel and vLLM's act_and_mul_kernel reach 85 to 92 % of the memory's rate
//   at these sizes.
// hot: map_pairs
// hot: map_values
// hot: add_sigmoid_scaled_rows
// hot: copy_column_rows
#include "kernels/cuda/elementwise.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/gpu.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 256;
constexpr int runs_per_thread = 4;
constexpr int rows_per_thread = 4;

struct Add {
  __device__ __forceinline__ float operator()(float a, float b) const { return a + b; }
};
struct SiluMultiply {
  __device__ __forceinline__ float operator()(float gate, float up) const { return gpu::silu(gate) * up; }
};
struct SigmoidMultiply {
  __device__ __forceinline__ float operator()(float x, float gate) const { return x * gpu::sigmoid(gate); }
};

/// `n` is a multiple of RUN. a and b may be out: a thread reads what it writes before it writes.
template <int RUN, int RUNS, class Map, class Out>
__global__ void __launch_bounds__(block_threads)
    map_pairs(const float* a, const float* b, std::int64_t n, Map map, Out* out) {
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) * RUNS * block_threads + threadIdx.x) * RUN;
  gpu::Vector<float, RUN> left[RUNS], right[RUNS];
#pragma unroll
  for (int run = 0; run < RUNS; ++run) {
    const std::int64_t at = first + static_cast<std::int64_t>(run) * block_threads * RUN;
    if (at >= n) break;
    left[run] = gpu::Vector<float, RUN>::load(a + at);
    right[run] = gpu::Vector<float, RUN>::load(b + at);
  }
#pragma unroll
  for (int run = 0; run < RUNS; ++run) {
    const std::int64_t at = first + static_cast<std::int64_t>(run) * block_threads * RUN;
    if (at >= n) break;
    float y[RUN];
#pragma unroll
    for (int i = 0; i < RUN; ++i) y[i] = map(left[run].values[i], right[run].values[i]);
    gpu::from_floats<Out>(y).store(out + at);
  }
}

template <int RUN, int RUNS, class Out>
__global__ void __launch_bounds__(block_threads) map_values(const float* __restrict__ x, std::int64_t n, Out* out) {
  const std::int64_t first = (static_cast<std::int64_t>(blockIdx.x) * RUNS * block_threads + threadIdx.x) * RUN;
  gpu::Vector<float, RUN> runs[RUNS];
#pragma unroll
  for (int run = 0; run < RUNS; ++run) {
    const std::int64_t at = first + static_cast<std::int64_t>(run) * block_threads * RUN;
    if (at < n) runs[run] = gpu::Vector<float, RUN>::load(x + at);
  }
#pragma unroll
  for (int run = 0; run < RUNS; ++run) {
    const std::int64_t at = first + static_cast<std::int64_t>(run) * block_threads * RUN;
    if (at < n) gpu::from_floats<Out>(runs[run].values).store(out + at);
  }
}

/// The thread's column (its first) and its rows, rows_per_thread of them, blockDim.y apart.
struct Place {
  std::int64_t row;
  int column;
};
template <int RUN>
__device__ __forceinline__ Place place_in_rows() {
  return {static_cast<std::int64_t>(blockIdx.x) * rows_per_thread * blockDim.y + threadIdx.y,
          static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * RUN};
}

template <int RUN>
__global__ void __launch_bounds__(block_threads)
    add_sigmoid_scaled_rows(const float* x, const float* gate, std::int64_t rows, int columns, float* out) {
  const Place place = place_in_rows<RUN>();
  if (place.column >= columns) return;
  gpu::Vector<float, RUN> values[rows_per_thread], sums[rows_per_thread];
  float gates[rows_per_thread];
#pragma unroll
  for (int i = 0; i < rows_per_thread; ++i) {
    const std::int64_t row = place.row + i * static_cast<std::int64_t>(blockDim.y);
    if (row >= rows) break;
    gates[i] = gate[row];
    values[i] = gpu::Vector<float, RUN>::load(x + row * columns + place.column);
    sums[i] = gpu::Vector<float, RUN>::load(out + row * columns + place.column);
  }
#pragma unroll
  for (int i = 0; i < rows_per_thread; ++i) {
    const std::int64_t row = place.row + i * static_cast<std::int64_t>(blockDim.y);
    if (row >= rows) break;
    const float factor = gpu::sigmoid(gates[i]);
#pragma unroll
    for (int j = 0; j < RUN; ++j) sums[i].values[j] += values[i].values[j] * factor;
    sums[i].store(out + row * columns + place.column);
  }
}

/// x begins at the first column to copy; `stride` is the width of its rows.
template <int RUN, class Out>
__global__ void __launch_bounds__(block_threads)
    copy_column_rows(const float* __restrict__ x, std::int64_t stride, std::int64_t rows, int columns, Out* out) {
  const Place place = place_in_rows<RUN>();
  if (place.column >= columns) return;
  gpu::Vector<float, RUN> values[rows_per_thread];
#pragma unroll
  for (int i = 0; i < rows_per_thread; ++i) {
    const std::int64_t row = place.row + i * static_cast<std::int64_t>(blockDim.y);
    if (row < rows) values[i] = gpu::Vector<float, RUN>::load(x + row * stride + place.column);
  }
#pragma unroll
  for (int i = 0; i < rows_per_thread; ++i) {
    const std::int64_t row = place.row + i * static_cast<std::int64_t>(blockDim.y);
    if (row < rows) gpu::from_floats<Out>(values[i].values).store(out + row * columns + place.column);
  }
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

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// Calls launch.template operator()<RUN, RUNS>(grid) for `n` values.
template <class Launch>
void launch_values(Queue& queue, std::int64_t n, bool aligned, const char* operation, Launch launch) {
  if (n == 0) return;
  const auto blocks = [&](int run, int runs) {
    return static_cast<unsigned>(divide_up(n, std::int64_t{run} * runs * block_threads));
  };
  if (!aligned || n % 4 != 0)
    check(launch.template operator()<1, runs_per_thread>(blocks(1, runs_per_thread)), operation);
  else if (blocks(4, runs_per_thread) >= 2 * static_cast<unsigned>(queue.device().multiprocessors))
    check(launch.template operator()<4, runs_per_thread>(blocks(4, runs_per_thread)), operation);
  else
    check(launch.template operator()<4, 1>(blocks(4, 1)), operation);
}

template <class Launch>
cudaError_t with_output(const Tensor& out, Launch launch) {
  return out.type == DType::f32 ? launch(reinterpret_cast<float*>(out.data))
                                : launch(reinterpret_cast<gpu::bf16*>(out.data));
}

template <class Map>
void pairs(Queue& queue, ConstTensor a, ConstTensor b, Map map, Tensor out, const char* operation) {
  launch_values(queue, out.elements(), is_aligned({a.data, b.data, out.data}), operation,
                [&]<int RUN, int RUNS>(unsigned blocks) {
                  return with_output(out, [&]<class Out>(Out* data) {
                    return LAUNCH((map_pairs<RUN, RUNS, Map, Out>), blocks, block_threads, 0, queue.stream(), floats(a),
                                  floats(b), out.elements(), map, data);
                  });
                });
}

/// Threads side by side in a row: a power of two, so that few are idle in narrow rows.
unsigned row_threads(std::int64_t runs) {
  unsigned threads = 8;
  while (threads < block_threads && threads < runs) threads *= 2;
  return threads;
}

/// Calls launch.template operator()<RUN>(grid, block) for [rows, columns].
template <class Launch>
void launch_rows(std::int64_t rows, std::int64_t columns, bool runs, const char* operation, Launch launch) {
  if (rows == 0 || columns == 0) return;
  const std::int64_t across = runs ? columns / 4 : columns;
  const dim3 block(row_threads(across), block_threads / row_threads(across));
  const dim3 grid(static_cast<unsigned>(divide_up(rows, std::int64_t{rows_per_thread} * block.y)),
                  static_cast<unsigned>(divide_up(across, block.x)));
  check(runs ? launch.template operator()<4>(grid, block) : launch.template operator()<1>(grid, block), operation);
}

constexpr std::int64_t widest_row = std::int64_t{1} << 23;  // of a grid's second axis, by single columns

}  // namespace

void add(Queue& queue, ConstTensor a, ConstTensor b, Tensor out) {
  require(is_f32(a) && is_f32(b) && is_output(out) && a.elements() == b.elements() && a.elements() == out.elements(),
          "add", {{"a", a}, {"b", b}, {"out", out}}, "expected as many values in each, out F32 or BF16");
  pairs(queue, a, b, Add{}, out, "add");
}

void silu_multiply(Queue& queue, ConstTensor gate, ConstTensor up, Tensor out) {
  require(is_f32(gate) && is_f32(up) && is_output(out) && gate.elements() == up.elements() &&
              gate.elements() == out.elements(),
          "silu_multiply", {{"gate", gate}, {"up", up}, {"out", out}},
          "expected as many values in each, out F32 or BF16");
  pairs(queue, gate, up, SiluMultiply{}, out, "silu_multiply");
}

void sigmoid_multiply(Queue& queue, ConstTensor x, ConstTensor gate, Tensor out) {
  require(
      is_f32(x) && is_f32(gate) && is_output(out) && x.elements() == gate.elements() && x.elements() == out.elements(),
      "sigmoid_multiply", {{"x", x}, {"gate", gate}, {"out", out}}, "expected as many values in each, out F32 or BF16");
  pairs(queue, x, gate, SigmoidMultiply{}, out, "sigmoid_multiply");
}

void add_sigmoid_scaled(Queue& queue, ConstTensor x, ConstTensor gate, Tensor out) {
  require(is_f32(x, 2) && is_f32(out, 2) && is_f32(gate) && same_shape(x, out) && gate.elements() == x.dim(0) &&
              x.dim(1) <= widest_row,
          "add_sigmoid_scaled", {{"x", x}, {"gate", gate}, {"out", out}}, "expected x and out [T, H], gate [T]");
  launch_rows(x.dim(0), x.dim(1), is_aligned({x.data, out.data}) && x.dim(1) % 4 == 0, "add_sigmoid_scaled",
              [&]<int RUN>(dim3 grid, dim3 block) {
                return LAUNCH((add_sigmoid_scaled_rows<RUN>), grid, block, 0, queue.stream(), floats(x), floats(gate),
                              x.dim(0), static_cast<int>(x.dim(1)), reinterpret_cast<float*>(out.data));
              });
}

void copy_columns(Queue& queue, ConstTensor x, std::int64_t column, Tensor out) {
  require(is_f32(x, 2) && out.rank == 2 && is_output(out) && x.dim(0) == out.dim(0) && column >= 0 &&
              column + out.dim(1) <= x.dim(1) && out.dim(1) <= widest_row,
          "copy_columns", {{"x", x}, {"out", out}},
          "expected x [R, S], out [R, D] F32 or BF16, column + D at most S, got column " + std::to_string(column));
  const bool runs = is_aligned({x.data, out.data}) && x.dim(1) % 4 == 0 && column % 4 == 0 && out.dim(1) % 4 == 0;
  launch_rows(out.dim(0), out.dim(1), runs, "copy_columns", [&]<int RUN>(dim3 grid, dim3 block) {
    return with_output(out, [&]<class Out>(Out* data) {
      return LAUNCH((copy_column_rows<RUN, Out>), grid, block, 0, queue.stream(), floats(x) + column, x.dim(1),
                    out.dim(0), static_cast<int>(out.dim(1)), data);
    });
  });
}

void round_to_bf16(Queue& queue, ConstTensor x, Tensor out) {
  require(is_f32(x) && out.type == DType::bf16 && x.elements() == out.elements(), "round_to_bf16",
          {{"x", x}, {"out", out}}, "expected as many values in each, x F32, out BF16");
  launch_values(queue, out.elements(), is_aligned({x.data, out.data}), "round_to_bf16",
                [&]<int RUN, int RUNS>(unsigned blocks) {
                  return LAUNCH((map_values<RUN, RUNS, gpu::bf16>), blocks, block_threads, 0, queue.stream(), floats(x),
                                out.elements(), reinterpret_cast<gpu::bf16*>(out.data));
                });
}

}  // namespace lectern::kernels::cuda

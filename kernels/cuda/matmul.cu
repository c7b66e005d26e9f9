// Plan.
//   Block: a tile of 128 tokens x 128 rows of weights (32 tokens where there are few), 8 warps, over K in steps of 64
//   columns. x comes as bf16 by cp.async, two steps ahead, three stages. Weights: a thread holds a part (32 values in
//   order, dequantize.cuh) of the step after next as it stands in the file, turns the next step's into bf16 in shared
//   memory, twice buffered, while the tensor cores work on this one: one barrier a step. Warp: 64 tokens x 32 rows (32
//   x 16), mma m16n8k16. Lane: 64 (16) sums. Rows in shared memory are 128 bytes; 16-byte chunk c of row r stands at c
//   ^ (r & 7), so that neither ldmatrix nor the stores meet a bank twice. Why not cuBLAS by default: it chooses kernels
//   (and how they split K) by shape, so a row's bits change with T; here an element is one chain of mma steps in order
//   of K, whatever the tile. FLOPs at Qwen3-Next-80B, 2,048 tokens: qkvz [12288, 2048] 103 GFLOP, 130 us at the H100's
//   798 TFLOP/s of dense bf16; bytes 14 + 8.4 (bf16 x) + 100 MB (f32 out) 37 us: compute is the limit. Weights are
//   unpacked once per 128 tokens: about 150 instructions of a thread beside 64 mma of a warp (1,024 cycles of an H100's
//   tensor core at its peak for two warps): 30 % of the issue slots. Shared memory: 3 x 16 + 2 x 16 = 80 KiB: two
//   blocks an SM of an H100, one of an RTX 4090. Designed for 75 % of what mma.sync gives (on Hopper about 62 % of
//   wgmma's peak: 370 TFLOP/s there, 84 % of peak at peers on a 5090: NInfer, dense W8 [9216, 2048], T = 1024: 176 of
//   209.5 TFLOP/s).
// hot: matmul_tiles
#include "kernels/cuda/matmul.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/dequantize.cuh"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int warps = 8, block_threads = 32 * warps;
constexpr int step_columns = 64, row_bytes_shared = 2 * step_columns, tile_rows = 128, stages = 3;

struct DeviceProduct {
  const std::byte* w;
  float* out;
  const float* residual;
  std::int64_t row_size;
  int rows;
  int first_tile;  // tiles of rows of all products are counted through
};
struct ProductList {
  DeviceProduct products[products_at_once];
  int count;
};
/// x as bf16 [tokens, stride], zeros from column K on; low: null if there is none.
struct Activations {
  const gpu::bf16 *high, *low;
  std::int64_t stride;
  int tokens, columns;
};

__device__ __forceinline__ unsigned char* chunk_at(unsigned char* tile, int row, int chunk) {
  return tile + row * row_bytes_shared + 16 * (chunk ^ (row & 7));
}

/// What a thread holds of the weights of a step that comes: 32 columns of one row.
template <class Stored>
struct HeldPart {
  static_assert(!is_block<Stored>);
  static constexpr int run = 16 / static_cast<int>(sizeof(Stored));
  gpu::Vector<Stored, run> runs[32 / run];

  __device__ __forceinline__ void load(const std::byte* row, int part, int columns) {
    const Stored* values = reinterpret_cast<const Stored*>(row);
    const int first = 32 * part;
    if (columns % 32 == 0 && first < columns) {
#pragma unroll
      for (int i = 0; i < 32 / run; ++i) runs[i] = gpu::Vector<Stored, run>::load(values + first + i * run);
      return;
    }
#pragma unroll
    for (int i = 0; i < 32; ++i)  // rows that end within the part, or are not aligned
      runs[i / run].values[i % run] = first + i < columns ? values[first + i] : gpu::from_float<Stored>(0.0f);
  }
  /// `low`: what rounding to bf16 leaves over.
  template <class Put>
  __device__ __forceinline__ void unpack(int, bool low, Put put) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float eight[8];
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const int at = 8 * i + j;
        const float value = gpu::to_float(runs[at / run].values[at % run]);
        eight[j] = low ? value - gpu::to_float(gpu::from_float<gpu::bf16>(value)) : value;
      }
      put(i, make_uint4(gpu::pack_bf16(eight[0], eight[1]), gpu::pack_bf16(eight[2], eight[3]),
                        gpu::pack_bf16(eight[4], eight[5]), gpu::pack_bf16(eight[6], eight[7])));
    }
  }
};
template <class Block>
requires is_block<Block>
struct HeldPart<Block> {
  using Format = BlockFormat<Block>;
  typename Format::RawInOrder raw;
  bool exists;

  __device__ __forceinline__ void load(const std::byte* row, int part, int columns) {
    exists = 32 * part < columns;
    if (exists) raw = Format::load_in_order(row, part);
  }
  template <class Put>
  __device__ __forceinline__ void unpack(int part, bool, Put put) const {
    if (exists) {
      const WeightPart values = Format::unpack_in_order(raw, part);
#pragma unroll
      for (int i = 0; i < 4; ++i) put(i, to_bf16(values, i / 2, i % 2));
    } else {  // behind the row's end, where x is 0 too
#pragma unroll
      for (int i = 0; i < 4; ++i) put(i, make_uint4(0, 0, 0, 0));
    }
  }
};

/// Where a step is: phase 0 multiplies high by high, 1 high by w's low part, 2 x's low part by high.
struct Step {
  int phase, column;
  __device__ Step(int step, int steps_of_phase)
      : phase(step / steps_of_phase), column(step % steps_of_phase * step_columns) {}
};

/// Warp tiles of TOKENS / WARP_TOKENS x 128 / WARP_ROWS.
template <class Stored, int TOKENS>
__global__ void __launch_bounds__(block_threads, 1) matmul_tiles(Activations x, int phases, ProductList list) {
  constexpr int warp_rows = TOKENS == 128 ? 32 : 16, warp_tokens = TOKENS == 128 ? 64 : 32;
  constexpr int warps_along_rows = tile_rows / warp_rows;
  static_assert(TOKENS / warp_tokens * warps_along_rows == warps);
  constexpr int a_tiles = warp_tokens / 16, b_tiles = warp_rows / 8;
  constexpr int x_bytes = TOKENS * row_bytes_shared, w_bytes = tile_rows * row_bytes_shared;
  DYN_SHARED(shared);
  unsigned char* const w_tiles = shared + stages * x_bytes;

  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  int index = 0;
  while (index + 1 < list.count && static_cast<int>(blockIdx.y) >= list.products[index + 1].first_tile) ++index;
  const DeviceProduct& product = list.products[index];
  const int first_row = (static_cast<int>(blockIdx.y) - product.first_tile) * tile_rows;
  const std::int64_t first_token = static_cast<std::int64_t>(blockIdx.x) * TOKENS;
  const int steps_of_phase = (x.columns + step_columns - 1) / step_columns, steps = phases * steps_of_phase;

  // Rows of x and w past the last one repeat one that exists; nobody keeps what becomes of them.
  const auto copy_x = [&](int number) {
    const Step step(number, steps_of_phase);
    const gpu::bf16* from = step.phase == 2 ? x.low : x.high;
    unsigned char* const tile = shared + number % stages * x_bytes;
#pragma unroll
    for (int i = thread; i < TOKENS * 8; i += block_threads) {
      const int row = i / 8, chunk = i % 8;
      const std::int64_t token = first_token + row < x.tokens ? first_token + row : 0;
      gpu::cp_async16(chunk_at(tile, row, chunk), from + token * x.stride + step.column + 8 * chunk);
    }
  };
  const int held_row = thread / 2;
  const std::byte* const w_row = product.w + min(first_row + held_row, product.rows - 1) * product.row_size;
  HeldPart<Stored> held;
  const auto load_w = [&](int number) {
    held.load(w_row, Step(number, steps_of_phase).column / 32 + thread % 2, x.columns);
  };
  const auto unpack_w = [&](int number) {
    const Step step(number, steps_of_phase);
    unsigned char* const tile = w_tiles + number % 2 * w_bytes;
    held.unpack(step.column / 32 + thread % 2, step.phase == 1, [&](int i, uint4 eight) {
      *reinterpret_cast<uint4*>(chunk_at(tile, held_row, thread % 2 * 4 + i)) = eight;
    });
  };

  float sums[a_tiles][b_tiles][4] = {};
  const int warp_token = warp / warps_along_rows * warp_tokens, warp_row = warp % warps_along_rows * warp_rows;
  copy_x(0);
  gpu::cp_async_commit();
  if (steps > 1) copy_x(1);
  gpu::cp_async_commit();
  load_w(0);
  unpack_w(0);
  if (steps > 1) load_w(1);
  for (int number = 0; number < steps; ++number) {
    gpu::cp_async_wait<1>();
    __syncthreads();  // step `number` is there, and all are done with the one before
    if (number + 2 < steps) copy_x(number + 2);
    gpu::cp_async_commit();
    if (number + 1 < steps) unpack_w(number + 1);
    if (number + 2 < steps) load_w(number + 2);
    unsigned char* const x_tile = shared + number % stages * x_bytes;
    unsigned char* const w_tile = w_tiles + number % 2 * w_bytes;
#pragma unroll
    for (int k = 0; k < step_columns / 16; ++k) {
      std::uint32_t a[a_tiles][4], b[b_tiles / 2][4];
#pragma unroll
      for (int i = 0; i < a_tiles; ++i)
        gpu::ldmatrix_x4(a[i], chunk_at(x_tile, warp_token + 16 * i + lane % 16, 2 * k + lane / 16));
#pragma unroll
      for (int j = 0; j < b_tiles / 2; ++j)
        gpu::ldmatrix_x4(b[j], chunk_at(w_tile, warp_row + 16 * j + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < a_tiles; ++i)
#pragma unroll
        for (int j = 0; j < b_tiles; ++j) gpu::mma_bf16(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }

#pragma unroll
  for (int i = 0; i < a_tiles; ++i)
#pragma unroll
    for (int j = 0; j < b_tiles; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::int64_t token = first_token + warp_token + 16 * i + 8 * half + lane / 4;
        const int row = first_row + warp_row + 8 * j + lane % 4 * 2;
        if (token >= x.tokens || row >= product.rows) continue;
        const std::int64_t at = token * product.rows + row;
        float2 pair = make_float2(sums[i][j][2 * half], sums[i][j][2 * half + 1]);
        const bool both = row + 1 < product.rows;
        if (product.residual != nullptr) {
          pair.x += product.residual[at];
          if (both) pair.y += product.residual[at + 1];
        }
        if (both && product.rows % 2 == 0) {
          *reinterpret_cast<float2*>(product.out + at) = pair;
        } else {
          product.out[at] = pair.x;
          if (both) product.out[at + 1] = pair.y;
        }
      }
}

/// x [tokens, columns] to bf16 [tokens, stride], and what that leaves over if `low` is asked for; zeros behind the
/// rows. A thread has 8 columns.
template <class X>
__global__ void __launch_bounds__(block_threads)
    round_to_bf16(const X* x, std::int64_t tokens, int columns, int stride, gpu::bf16* high, gpu::bf16* low) {
  const std::int64_t eight = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  const std::int64_t token = eight / (stride / 8);
  const int column = static_cast<int>(eight % (stride / 8)) * 8;
  if (token >= tokens) return;
  const X* from = x + token * columns + column;
  float values[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) values[i] = column + i < columns ? gpu::to_float(from[i]) : 0.0f;
  const auto store = [&](gpu::bf16* to) { gpu::from_floats<gpu::bf16>(values).store(to + token * stride + column); };
  store(high);
  if (low == nullptr) return;
#pragma unroll
  for (int i = 0; i < 8; ++i) values[i] -= gpu::to_float(gpu::from_float<gpu::bf16>(values[i]));
  store(low);
}

std::int64_t padded(std::int64_t columns) {
  return (columns + step_columns - 1) / step_columns * step_columns;
}

/// Phases that weights of this type take (Step).
bool has_low_part(DType type) {
  return type == DType::f32 || type == DType::f16;
}

template <class X>
Activations rounded(Queue& queue, const ConstTensor& x, bool low) {
  const std::int64_t stride = padded(x.dim(1)), elements = x.dim(0) * stride;
  auto* high_part = reinterpret_cast<gpu::bf16*>(queue.workspace(elements * (low ? 4 : 2)));
  gpu::bf16* low_part = low ? high_part + elements : nullptr;
  const auto blocks = static_cast<unsigned>((elements / 8 + block_threads - 1) / block_threads);
  check(LAUNCH((round_to_bf16<X>), blocks, block_threads, 0, queue.stream(), reinterpret_cast<const X*>(x.data),
               x.dim(0), static_cast<int>(x.dim(1)), static_cast<int>(stride), high_part, low_part),
        "matmul");
  return {high_part, low_part, stride, static_cast<int>(x.dim(0)), static_cast<int>(x.dim(1))};
}

template <class Stored, int TOKENS>
void launch_tiles(Queue& queue, const Activations& x, int phases, const ProductList& list, int tiles) {
  constexpr int shared_bytes = (stages * TOKENS + 2 * tile_rows) * row_bytes_shared;
  const dim3 grid(static_cast<unsigned>((x.tokens + TOKENS - 1) / TOKENS), static_cast<unsigned>(tiles));
  check(LAUNCH((matmul_tiles<Stored, TOKENS>), grid, block_threads, shared_bytes, queue.stream(), x, phases, list),
        "matmul");
}

}  // namespace

void matmul(Queue& queue, ConstTensor x, std::span<const Product> products) {
  require_products("matmul", x, products);
  require((x.type == DType::f32 || x.type == DType::bf16) && x.dim(0) < std::int64_t{1} << 31, "matmul", {{"x", x}},
          "expected x F32 or BF16");
  const std::int64_t tokens = x.dim(0), columns = x.dim(1);
  bool needs_low = false;
  for (const Product& product : products) needs_low |= has_low_part(product.w.type);
  if (tokens == 0 || products.empty()) return;

  const bool is_bf16 = x.type == DType::bf16;
  Activations activations = {reinterpret_cast<const gpu::bf16*>(x.data), nullptr, columns, static_cast<int>(tokens),
                             static_cast<int>(columns)};
  if (!is_bf16)
    activations = rounded<float>(queue, x, needs_low);
  else if (columns % step_columns != 0)
    activations = rounded<gpu::bf16>(queue, x, false);

  std::vector<DType> done;
  for (const Product& of_type : products) {
    const DType type = of_type.w.type;
    if (std::find(done.begin(), done.end(), type) != done.end()) continue;
    done.push_back(type);
    ProductList list = {};
    int tiles = 0;
    for (const Product& product : products) {
      if (product.w.type != type || product.w.dim(0) == 0) continue;
      const auto rows = static_cast<int>(product.w.dim(0));
      list.products[list.count++] = {product.w.data,
                                     reinterpret_cast<float*>(product.out.data),
                                     reinterpret_cast<const float*>(product.residual.data),
                                     row_bytes(type, columns),
                                     rows,
                                     tiles};
      tiles += (rows + tile_rows - 1) / tile_rows;
    }
    if (tiles == 0) continue;
    const int phases = !has_low_part(type) ? 1 : is_bf16 ? 2 : 3;
    with_stored_type(type, [&]<class Stored>() {
      if (tokens <= 64)
        launch_tiles<Stored, 32>(queue, activations, phases, list, tiles);
      else
        launch_tiles<Stored, 128>(queue, activations, phases, list, tiles);
    });
  }
}

std::int64_t matmul_workspace_bytes(std::int64_t tokens, std::int64_t columns) {
  return tokens * padded(columns) * 4;
}

}  // namespace lectern::kernels::cuda

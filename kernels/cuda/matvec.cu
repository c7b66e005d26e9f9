// Plan.
//   Block: 8 warps. First all of them round x into shared memory (quantized weights; activations_q8.cuh); every block
//   does so for itself, because a kernel more costs more than 8 KB out of the second-level cache. Then the block takes
//   tiles of rows (of one product each) in turn. Warp: 1 or 2 rows at a time, 2 and 4 for rows of fewer than 32 parts.
//   Lane: parts (32 values) l, l + 32, ... of the row: 16 to 34 bytes next to its neighbour's, in 16-byte loads where
//   the blocks' alignment lets it; 2 or 4 of them are under way at once with one token. A part meets each token's 8-bit
//   values from shared memory in 8 (refined: 16) __dp4a. At the end a butterfly over the row's lanes.
//   So an element's chain of roundings is fixed by K and the weights' type.
//   Bytes of one token of Qwen3-Next-80B in 4.5 bits: qkvz of a DeltaNet layer [12288, 2048] 14.2 MB, its output
//   [2048, 4096] 4.7 MB, q with gate, k and v [9216, 2048] 10.6 MB, vocabulary in Q6_K [151936, 2048] 255 MB. At the
//   H100's 3.35 TB/s: 4.2, 1.4, 3.2 and 76 us. Integer work per 576 bytes of Q4_K and token: about 50 instructions of a
//   warp, 10 TB/s, so that one and two tokens are limited by memory, eight by the integer units (FLOPs: 2 N K T).
//   Registers: 80 a thread with one token, 3 blocks an SM: 24 warps x 4 loads x 576 bytes = 55 KB under way, where 700
//   ns need 18 KB. 110, 128 and 200 with 2, 4 and 8 tokens. Shared memory: 2.5 K bytes a token. Limit: memory. Designed
//   for 80 % of it with one token, launch and tail apart. Peers reach 61 % (dense NVFP4, kekzl/imp#600), 42 % (Q4_K
//   with dp4a, #598) and 70 % (whole dense steps, ninfer-3090#53). Tried on paper and dropped: staging the rows in
//   shared memory by cp.async (one more pass over it, and the lanes' own loads are wide enough); splitting K over warps
//   (a barrier per tile; rows are many enough).
// hot: matvec_rows
#include "kernels/cuda/matvec.h"

#include "kernels/cuda/activations_q8.cuh"
#include "kernels/cuda/check.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int warps = 8, block_threads = 32 * warps;
constexpr std::int64_t shared_limit = 48 << 10;

struct DeviceProduct {
  const std::byte* w;
  float* out;
  const float* residual;
  std::int64_t row_size;
  int rows;
  int first_tile;  // tiles of all products are counted through
  int row_lanes;   // lanes of a warp that share a row: 8, 16 or 32
  DType type;
};
struct ProductList {
  DeviceProduct products[products_at_once];
  int count, tiles;
  bool has_quantized;
};

/// What a lane multiplies: rows first + r * 32 / row_lanes (those past the last repeat it), part of the row `lane`.
struct Place {
  int first_row, lane, lanes;
};

template <int ROWS>
__device__ __forceinline__ const std::byte* row_of(const DeviceProduct& product, const Place& place, int r) {
  const int row = min(place.first_row + r * (32 / place.lanes), product.rows - 1);
  return product.w + row * product.row_size;
}

/// Quantized weights.
template <class Block, int TOKENS, int ROWS>
__device__ __forceinline__ void multiply_blocks(const DeviceProduct& product, const Place& place,
                                                const unsigned char* rounded, int tokens, int columns,
                                                float (&sums)[TOKENS][ROWS]) {
  using Format = BlockFormat<Block>;
  // Parts under way at once, as many as registers allow: with more tokens there is enough else to do.
  constexpr bool is_small =
      std::is_same_v<Block, BlockQ4_K> || std::is_same_v<Block, BlockQ4_0> || std::is_same_v<Block, BlockQ4_1>;
  constexpr int ahead = TOKENS == 1 ? (is_small ? 4 : 2) / ROWS : 1;
  const int parts = columns / 32, padded = static_cast<int>(q8_padded_columns(columns));
  const std::byte* rows[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) rows[r] = row_of<ROWS>(product, place, r);
#pragma unroll 1  // `ahead` is as far as registers reach
  for (int first = place.lane; first < parts; first += ahead * place.lanes) {
    typename Format::Raw raw[ahead][ROWS];
#pragma unroll
    for (int i = 0; i < ahead; ++i)
#pragma unroll
      for (int r = 0; r < ROWS; ++r)
        raw[i][r] = Format::load(rows[r], ahead == 1 ? first : min(first + i * place.lanes, parts - 1));
#pragma unroll
    for (int i = 0; i < ahead; ++i) {
      const int part = first + i * place.lanes;
      if (part >= parts) break;
      WeightPart weights[ROWS];
#pragma unroll
      for (int r = 0; r < ROWS; ++r) weights[r] = Format::unpack(raw[i][r], part);
      const unsigned char* x = rounded;
#pragma unroll
      for (int t = 0; t < TOKENS; ++t) {
        add_products<Block>(sums[t], weights, RowQ8{x, padded}, part);
        if (t + 1 < tokens) x += padded / 2 * 5;  // else the last row again, for nothing
      }
    }
  }
}

/// f32, f16 and bf16 weights, N neighbouring columns a lane and step.
template <class Stored, int N, int TOKENS, int ROWS>
__device__ __forceinline__ void multiply_values(const DeviceProduct& product, const Place& place, const float* x,
                                                int tokens, int columns, float (&sums)[TOKENS][ROWS]) {
  constexpr int ahead = TOKENS == 1 ? 4 / ROWS : 1;
  const Stored* rows[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) rows[r] = reinterpret_cast<const Stored*>(row_of<ROWS>(product, place, r));
#pragma unroll 1
  for (int first = N * place.lane; first < columns; first += ahead * N * place.lanes) {
    gpu::Vector<Stored, N> weights[ahead][ROWS];
#pragma unroll
    for (int i = 0; i < ahead; ++i)
#pragma unroll
      for (int r = 0; r < ROWS; ++r)
        weights[i][r] = gpu::Vector<Stored, N>::load_streaming(rows[r] + min(first + i * N * place.lanes, columns - N));
#pragma unroll
    for (int i = 0; i < ahead; ++i) {
      const int column = first + i * N * place.lanes;
      if (column >= columns) break;
      const float* from = x + column;
#pragma unroll
      for (int t = 0; t < TOKENS; ++t) {
        constexpr int run = N < 4 ? N : 4;
#pragma unroll
        for (int j = 0; j < N; j += run) {
          const auto values = gpu::Vector<float, run>::load(from + j);
#pragma unroll
          for (int r = 0; r < ROWS; ++r)
#pragma unroll
            for (int k = 0; k < run; ++k)
              sums[t][r] = __fmaf_rn(gpu::to_float(weights[i][r].values[j + k]), values.values[k], sums[t][r]);
        }
        if (t + 1 < tokens) from += columns;
      }
    }
  }
}

__device__ __forceinline__ float row_sum(float value, int lanes) {
  if (lanes == 32) return gpu::warp_sum<32>(value);
  if (lanes == 16) return gpu::warp_sum<16>(value);
  return gpu::warp_sum<8>(value);
}

template <int TOKENS, int ROWS>
__global__ void __launch_bounds__(block_threads, TOKENS == 1   ? 3
                                                 : TOKENS <= 4 ? 2
                                                               : 1)
    matvec_rows(const float* x, int tokens, int columns, const unsigned char* rounded_before, ProductList list) {
  DYN_SHARED(shared);
  SHARED_ARRAY(float, part_sums, [TOKENS][warps]);
  if (list.has_quantized && rounded_before == nullptr)
    round_rows<warps>(x, columns, tokens, columns, shared, part_sums);
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  for (int tile = static_cast<int>(blockIdx.x); tile < list.tiles; tile += static_cast<int>(gridDim.x)) {
    int index = 0;
    while (index + 1 < list.count && tile >= list.products[index + 1].first_tile) ++index;
    const DeviceProduct& product = list.products[index];
    const int rows_at_once = 32 / product.row_lanes;
    const int first = ((tile - product.first_tile) * warps + warp) * ROWS * rows_at_once;
    if (first >= product.rows) continue;
    const Place place = {first + lane / product.row_lanes, lane % product.row_lanes, product.row_lanes};

    float sums[TOKENS][ROWS] = {};
    with_stored_type(product.type, [&]<class Stored>() {
      if constexpr (is_block<Stored>) {
        const unsigned char* rounded = rounded_before != nullptr ? rounded_before : shared;
        multiply_blocks<Stored>(product, place, rounded, tokens, columns, sums);
      } else {
        constexpr int wide = 16 / static_cast<int>(sizeof(Stored));
        if (columns % wide == 0)
          multiply_values<Stored, wide>(product, place, x, tokens, columns, sums);
        else
          multiply_values<Stored, 1>(product, place, x, tokens, columns, sums);
      }
    });
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      float mine = 0.0f;  // lane t of a row keeps token t
#pragma unroll
      for (int t = 0; t < TOKENS; ++t) {
        const float sum = row_sum(sums[t][r], product.row_lanes);
        if (place.lane == t) mine = sum;
      }
      const int row = place.first_row + r * rows_at_once;
      if (place.lane >= tokens || row >= product.rows) continue;
      const std::int64_t at = static_cast<std::int64_t>(place.lane) * product.rows + row;
      product.out[at] = product.residual != nullptr ? __fadd_rn(product.residual[at], mine) : mine;
    }
  }
}

/// A block a row of x.
__global__ void __launch_bounds__(block_threads)
    round_activations(const float* x, int columns, unsigned char* rounded) {
  SHARED_ARRAY(float, part_sums, [1][warps]);
  const std::int64_t row = blockIdx.x;
  round_rows<warps>(x + row * columns, columns, 1, columns, rounded + row * q8_row_bytes(columns), part_sums);
}

/// Lanes that share a row: half of them at least have something to do.
int lanes_of_row(DType type, std::int64_t columns) {
  std::int64_t steps = columns / 32;
  if (!is_quantized(type)) {
    const std::int64_t wide = 16 / block_bytes(type);
    steps = columns % wide == 0 ? columns / wide : columns;
  }
  return steps > 16 ? 32 : steps > 8 ? 16 : 8;
}

}  // namespace

void matvec(Queue& queue, ConstTensor x, std::span<const Product> products) {
  require_products("matvec", x, products);
  require(is_f32(x, 2) && x.dim(0) <= matvec_tokens, "matvec", {{"x", x}}, "expected x F32 with at most 8 rows");
  const std::int64_t tokens = x.dim(0), columns = x.dim(1);
  ProductList list = {};
  std::int64_t all_rows = 0;
  for (const Product& product : products) {
    all_rows += product.w.dim(0);
    list.has_quantized |= is_quantized(product.w.type);
  }
  if (tokens == 0 || all_rows == 0) return;

  // With few rows, one a warp: more warps have something under way.
  const bool few = tokens == 1 && all_rows < std::int64_t{queue.device().multiprocessors} * 2 * warps * 4;
  const int rows_at_once = few ? 1 : 2;
  for (const Product& product : products) {
    DeviceProduct& to = list.products[list.count++];
    to.w = product.w.data;
    to.out = reinterpret_cast<float*>(product.out.data);
    to.residual = reinterpret_cast<const float*>(product.residual.data);
    to.row_size = row_bytes(product.w.type, columns);
    to.rows = static_cast<int>(product.w.dim(0));
    to.first_tile = list.tiles;
    to.row_lanes = lanes_of_row(product.w.type, columns);
    to.type = product.w.type;
    const int tile_rows = warps * rows_at_once * (32 / to.row_lanes);
    list.tiles += (to.rows + tile_rows - 1) / tile_rows;
  }

  const std::int64_t rounded_bytes = list.has_quantized ? tokens * q8_row_bytes(columns) : 0;
  const auto width = static_cast<int>(columns);
  const auto* values = reinterpret_cast<const float*>(x.data);
  unsigned char* rounded = nullptr;
  if (rounded_bytes > shared_limit) {
    rounded = reinterpret_cast<unsigned char*>(queue.workspace(rounded_bytes));
    check(LAUNCH(round_activations, static_cast<unsigned>(tokens), block_threads, 0, queue.stream(), values, width,
                 rounded),
          "matvec");
  }
  const std::size_t shared_bytes = rounded == nullptr ? static_cast<std::size_t>(rounded_bytes) : 0;
  // As many blocks as can be there at once; each rounds x once.
  const auto blocks =
      static_cast<unsigned>(std::min(list.tiles, queue.device().multiprocessors * (tokens == 1 ? 8 : 4)));
  const auto with = [&]<int TOKENS, int ROWS>() {
    check(LAUNCH((matvec_rows<TOKENS, ROWS>), blocks, block_threads, shared_bytes, queue.stream(), values,
                 static_cast<int>(tokens), width, rounded, list),
          "matvec");
  };
  if (few)
    with.operator()<1, 1>();
  else if (tokens == 1)
    with.operator()<1, 2>();
  else if (tokens == 2)
    with.operator()<2, 2>();
  else if (tokens <= 4)
    with.operator()<4, 2>();
  else
    with.operator()<8, 2>();
}

}  // namespace lectern::kernels::cuda

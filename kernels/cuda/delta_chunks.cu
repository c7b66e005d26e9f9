// Plan.
//   A block (4 warps) takes one chunk of one key head: K Kᵀ and Q Kᵀ of 64 x 64, once for all value heads that share
//   the key head, each warp 16 rows up to the diagonal on the tensor cores (bf16 products, exact, summed in f32), kept
//   in registers. Then the value heads, two at a time:
//   1. a warp sums each head's g over the chunk, in two floats, two tokens a lane;
//   2. every lane turns its products into A (to shared memory, transposed) and scores (to memory: the accumulators of a
//      lane are its part of the fragments that delta_rule reads: one store of 16 bytes);
//   3. two warps a head invert I + A in f32 by forward substitution, a column of the inverse a thread: 16 rows at a
//   time
//      against the columns' finished rows, then 16 x 16 within. Substitution, not a product of powers: with keys that
//      repeat, powers of A grow to 1e18 and cancel (arXiv 2412.06464 solves the same system); not on the tensor cores:
//      bf16 is not enough there (model cards of FLA use tf32);
//   4. the inverse, times beta, goes out as fragments, high and low halves.
//   Work at Qwen3-Next-80B (16 / 32 heads of 128), per chunk and key head: 2 x 72 products m16n8k16 a warp at most,
//   2 x 44,000 multiply-adds for the inverses, 32 KB read, 42 KB written (T 2,048: 41 MB, kept in the second-level
//   cache for delta_rule). Blocks of 2,048 tokens: 512, three to an SM by 74 KB of shared memory. A block takes about
//   5,000 cycles, most of them the substitution: 2,048 tokens 9 us on an H100 of 132 SMs, 32,768 tokens 110 us.
//   Peers: FLA spends three kernels (cumulative sums, K Kᵀ, solve) and one more for w and u, which are not needed here.
// hot: prepare_chunks
#include "kernels/cuda/delta_chunks.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/delta_tiles.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/tensor_access.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 128;
constexpr int heads_at_once = 2;
constexpr int system_stride = 68;   // of A transposed: the lanes of a warp write to different banks
constexpr int inverse_stride = 72;  // of the inverse: likewise when fragments are read

/// Sum of gates as high + low: |low| is at most half a unit in the last place of high.
struct Sum {
  float high, low;
};
__device__ __forceinline__ Sum add(const Sum& a, const Sum& b) {
  const float sum = a.high + b.high, part = sum - a.high;
  const float rest = (a.high - (sum - part)) + (b.high - part) + (a.low + b.low);
  const float high = sum + rest;
  return {high, rest - (high - sum)};
}

struct Shared {
  float system[heads_at_once][chunk_tokens][system_stride];  // Aᵀ
  union {
    unsigned char keys_and_queries[2][key_tile_bytes];
    float inverse[heads_at_once][chunk_tokens][inverse_stride];
  };
  Sum sums[heads_at_once][chunk_tokens];  // G
  float betas[heads_at_once][chunk_tokens];
};

struct Arguments {
  const float *g, *beta;
  const int4* chunks;
  uint4 *inverse, *scores;
  float* decays;
  int key_heads, value_heads, group, tiled_heads;  // `group` value heads share a key head
};

/// One warp: sums of one head's gates, and what delta_rule multiplies by.
__device__ void sum_gates(const Arguments& p, const int4& chunk, int head, std::int64_t tile, Sum* sums, float* betas) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  Sum own[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int token = 2 * lane + i;
    const std::int64_t at = static_cast<std::int64_t>(chunk.x + token) * p.value_heads + head;
    const bool exists = token < chunk.y;
    // exp(-1000) is 0 like everything below, and sums of such gates stay finite.
    own[i] = {exists ? max(p.g[at], -1000.0f) : 0.0f, 0.0f};
    betas[token] = exists ? p.beta[at] : 0.0f;
  }
  Sum before = add(own[0], own[1]);  // up to this lane, then in front of it
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const Sum below = {__shfl_up_sync(0xFFFFFFFFu, before.high, step), __shfl_up_sync(0xFFFFFFFFu, before.low, step)};
    if (lane >= step) before = add(below, before);
  }
  before = {__shfl_up_sync(0xFFFFFFFFu, before.high, 1), __shfl_up_sync(0xFFFFFFFFu, before.low, 1)};
  if (lane == 0) before = {0.0f, 0.0f};
  own[0] = add(before, own[0]);
  own[1] = add(own[0], own[1]);
  const Sum all = {__shfl_sync(0xFFFFFFFFu, own[1].high, 31), __shfl_sync(0xFFFFFFFFu, own[1].low, 31)};
  float* decays = p.decays + tile * 2 * chunk_tokens;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int token = 2 * lane + i;
    sums[token] = own[i];
    decays[token] = gpu::exp_fast(own[i].high);
    decays[chunk_tokens + token] = gpu::exp_fast((all.high - own[i].high) + (all.low - own[i].low));
  }
}

/// One thread: column `column` of (I + A)^-1. `half` is that of the columns: those from 32 on have zeros above.
__device__ void invert_column(const float (*system)[system_stride], float (*inverse)[inverse_stride], int column,
                              int half) {
  for (int block = 2 * half; block < 4; ++block) {
    float sums[16] = {};  // of A's finished columns times the inverse's finished rows, negative
    const auto subtract = [&](int row, float value) {
#pragma unroll
      for (int i = 0; i < 16; i += 4) {
        const auto a = gpu::Vector<float, 4>::load(&system[row][16 * block + i]);
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i + j] = fmaf(-a.values[j], value, sums[i + j]);
      }
    };
    for (int row = 32 * half; row < 16 * block; ++row) subtract(row, inverse[row][column]);
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const int row = 16 * block + i;
      const float value = sums[i] + (row == column ? 1.0f : 0.0f);
      inverse[row][column] = value;
#pragma unroll
      for (int j = i + 1; j < 16; ++j) sums[j] = fmaf(-system[row][16 * block + j], value, sums[j]);
    }
  }
}

__global__ void __launch_bounds__(block_threads)
    prepare_chunks(Arguments p, const gpu::bf16* __restrict__ q, const gpu::bf16* __restrict__ k) {
  DYN_SHARED(bytes);
  Shared& shared = *reinterpret_cast<Shared*>(bytes);
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int g = lane / 4, t = lane % 4;
  const int key_head = static_cast<int>(blockIdx.y);
  const int4 chunk = p.chunks[blockIdx.x];
  const std::int64_t stride = static_cast<std::int64_t>(p.key_heads) * chunk_key_dim;
  const std::int64_t first = chunk.x * stride + static_cast<std::int64_t>(key_head) * chunk_key_dim;
  unsigned char *keys = shared.keys_and_queries[0], *queries = shared.keys_and_queries[1];
  load_key_tile<block_threads>(keys, k + first, stride, chunk.y);
  load_key_tile<block_threads>(queries, q + first, stride, chunk.y);
  gpu::cp_async_commit();
  gpu::cp_async_wait<0>();
  __syncthreads();

  // Rows 16 warp .. 16 warp + 15 of K Kᵀ and Q Kᵀ, by blocks of 16 columns up to the diagonal.
  float key_products[4][2][4] = {}, query_products[4][2][4] = {};
#pragma unroll
  for (int piece = 0; piece < row_pieces; piece += 2) {
    std::uint32_t key_rows[4], query_rows[4], columns[4];
    load_left(key_rows, keys, 16 * warp, piece);
    load_left(query_rows, queries, 16 * warp, piece);
#pragma unroll
    for (int block = 0; block < 4; ++block) {
      if (block > warp) continue;
      load_right_by_dimension(columns, keys, 16 * block, piece);
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        gpu::mma_bf16(key_products[block][n], key_rows, columns[2 * n], columns[2 * n + 1]);
        gpu::mma_bf16(query_products[block][n], query_rows, columns[2 * n], columns[2 * n + 1]);
      }
    }
  }

  for (int member = 0; member < p.group; member += heads_at_once) {
    const int here = min(heads_at_once, p.group - member);
    const auto head_of = [&](int i) {
      return p.tiled_heads ? key_head + (member + i) * p.key_heads : key_head * p.group + member + i;
    };
    const auto tile_of = [&](int i) { return static_cast<std::int64_t>(blockIdx.x) * p.value_heads + head_of(i); };
    __syncthreads();  // the tiles, or the heads before, have been read
    if (warp < here) sum_gates(p, chunk, head_of(warp), tile_of(warp), shared.sums[warp], shared.betas[warp]);
    __syncthreads();
    for (int i = 0; i < here; ++i) {
      const int row = 16 * warp + g;
      const Sum row_sums[2] = {shared.sums[i][row], shared.sums[i][row + 8]};
      const float row_betas[2] = {shared.betas[i][row], shared.betas[i][row + 8]};
#pragma unroll
      for (int block = 0; block < 4; ++block) {
        if (block > warp) continue;
        float scores[2][4];
#pragma unroll
        for (int n = 0; n < 2; ++n)
#pragma unroll
          for (int value = 0; value < 4; ++value) {
            const int below = value / 2, column = 16 * block + 8 * n + 2 * t + value % 2;
            const int place = row + 8 * below;
            const Sum sum = shared.sums[i][column];
            // Above the diagonal the difference is positive and its exponential may be infinite: not formed there.
            const float decay = column <= place
                                    ? gpu::exp_fast((row_sums[below].high - sum.high) + (row_sums[below].low - sum.low))
                                    : 0.0f;
            scores[n][value] = decay * query_products[block][n][value];
            if (column < place)
              shared.system[i][column][place] = row_betas[below] * decay * key_products[block][n][value];
          }
        uint4 high, low;
        split(scores[0][0], scores[0][1], high.x, low.x);
        split(scores[1][0], scores[1][1], high.y, low.y);
        split(scores[0][2], scores[0][3], high.z, low.z);
        split(scores[1][2], scores[1][3], high.w, low.w);
        uint4* to = p.scores + (tile_of(i) * delta_triangle_blocks + triangle_block(warp, block)) * 64 + lane;
        to[0] = high;
        to[32] = low;
      }
    }
    __syncthreads();
    if (warp / 2 < here)
      invert_column(shared.system[warp / 2], shared.inverse[warp / 2], 32 * (warp % 2) + lane, warp % 2);
    __syncthreads();
    for (int item = warp; item < here * static_cast<int>(delta_triangle_blocks); item += block_threads / 32) {
      const int i = item / static_cast<int>(delta_triangle_blocks),
                block = item % static_cast<int>(delta_triangle_blocks);
      const int block_row = block < 1 ? 0 : block < 3 ? 1 : block < 6 ? 2 : 3;
      const int block_column = block - triangle_block(block_row, 0);
      const auto pair = [&](int down, int right, std::uint32_t& high, std::uint32_t& low) {
        const int row = 16 * block_row + g + 8 * down, column = 16 * block_column + 2 * t + 8 * right;
        split(shared.inverse[i][row][column] * shared.betas[i][column],
              shared.inverse[i][row][column + 1] * shared.betas[i][column + 1], high, low);
      };
      uint4 high, low;
      pair(0, 0, high.x, low.x);
      pair(0, 1, high.y, low.y);
      pair(1, 0, high.z, low.z);
      pair(1, 1, high.w, low.w);
      uint4* to = p.inverse + (tile_of(i) * delta_triangle_blocks + block) * 64 + lane;
      to[0] = high;
      to[32] = low;
    }
  }
}

bool is_triangles(const Tensor& x, std::int64_t chunks, std::int64_t heads) {
  return x.type == DType::bf16 && x.rank == 4 && x.dim(0) >= chunks && x.dim(1) == heads &&
         x.dim(2) == delta_triangle_blocks && x.dim(3) == 512;
}

}  // namespace

void delta_chunks(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor g, ConstTensor beta, DeltaHeads heads,
                  ConstTensor chunks, const DeltaChunkTiles& tiles) {
  const bool types = q.type == DType::bf16 && k.type == DType::bf16 && q.rank == 3 && is_f32(g, 2) && is_f32(beta, 2) &&
                     chunks.type == DType::i32 && chunks.rank == 2;
  const bool fits = types && same_shape(q, k) && same_shape(g, beta) && q.dim(0) == g.dim(0) && q.dim(1) > 0 &&
                    q.dim(2) == delta_chunk_key_dim && g.dim(1) > 0 && g.dim(1) % q.dim(1) == 0 && chunks.dim(1) == 4 &&
                    is_triangles(tiles.inverse, chunks.dim(0), g.dim(1)) &&
                    is_triangles(tiles.scores, chunks.dim(0), g.dim(1)) && is_f32(tiles.decays, 4) &&
                    tiles.decays.dim(0) >= chunks.dim(0) && tiles.decays.dim(1) == g.dim(1) &&
                    tiles.decays.dim(2) == 2 && tiles.decays.dim(3) == delta_chunk_tokens;
  require(fits, "delta_chunks",
          {{"q", q}, {"k", k}, {"g", g}, {"beta", beta}, {"chunks", chunks}, {"inverse", tiles.inverse}},
          "expected q, k BF16 [T, Hk, 128], g, beta F32 [T, Hv], Hv a multiple of Hk, chunks I32 [N, 4], tiles for N "
          "chunks");
  require(are_aligned({q.data, k.data, chunks.data, tiles.inverse.data, tiles.scores.data}), "delta_chunks",
          {{"q", q}, {"k", k}}, "q, k, chunks and the tiles are aligned to 16 bytes");
  if (chunks.dim(0) == 0) return;
  Arguments p{};
  p.g = floats(g);
  p.beta = floats(beta);
  p.chunks = reinterpret_cast<const int4*>(chunks.data);
  p.inverse = reinterpret_cast<uint4*>(tiles.inverse.data);
  p.scores = reinterpret_cast<uint4*>(tiles.scores.data);
  p.decays = floats(tiles.decays);
  p.key_heads = static_cast<int>(q.dim(1));
  p.value_heads = static_cast<int>(g.dim(1));
  p.group = p.value_heads / p.key_heads;
  p.tiled_heads = heads == DeltaHeads::tiled ? 1 : 0;
  const dim3 grid(static_cast<unsigned>(chunks.dim(0)), static_cast<unsigned>(p.key_heads));
  check(LAUNCH(prepare_chunks, grid, block_threads, sizeof(Shared), queue.stream(), p,
               reinterpret_cast<const gpu::bf16*>(q.data), reinterpret_cast<const gpu::bf16*>(k.data)),
        "delta_chunks");
}

}  // namespace lectern::kernels::cuda

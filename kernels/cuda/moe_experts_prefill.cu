// Plan.
//   Grouped products on tensor cores, weights as the left operand: m16n8k16 then has 16 rows of weights and 8 tokens,
//   so that the 40 rows an expert has on average (2,048 tokens, 10 of 512 experts) fill 5 of 5 columns of fragments,
//   where tokens on the left would fill 40 of 48 or 64 rows. Two launches: gate and up with silu(gate) * up, then down.
//   Warp: 16 rows of weights (8 of the gate's with the same 8 of up's, so that both halves of a product meet in one
//   thread; or 16 of down's) and up to 56 tokens: 7 fragments, 28 sums a thread (with 64 tokens the blocks of Q4_K do
//   not fit 128 registers on every card; of experts with 40 rows on average one in 150 has more than 56). Block: 8
//   warps, 64 inner (128 output) rows, the 56 tokens of a tile in shared memory.
//   Lane: weights go from memory through registers into the fragment, without a stop in shared memory: each weight is
//   needed by one warp alone. Lane (g, t) reads part 4 u + t (32 columns, 16 to 34 bytes, dequantize.cuh) of rows g and
//   g + 8; what a fragment calls columns 2t, 2t + 1, 2t + 8, 2t + 9 are four neighbouring columns of that part. The sum
//   over columns does not care, as long as the tokens follow: their fragment is a plain 16-byte load of 8 neighbouring
//   values (two steps' worth), in chunks swizzled so that 8 lanes meet 8 banks whatever the type's parts are.
//   Tokens (bf16) come by cp.async, 128 columns (14 KB) a stage, three stages, one barrier a stage. The next step's
//   weights are loaded when half of a step is multiplied: 16 warps x 16 rows x 72 bytes = 18 KB under way in Q4_K, what
//   the H100's memory asks for (7 KB on an RTX 5090).
//   Blocks stay (two a multiprocessor) and take tiles from the device's own list (moe_sort): expert by expert, rows of
//   weights, tokens innermost, so that an expert of several tiles reads its weights from the second-level cache after
//   the first, and nothing waits for the host.
//   T = 2,048: 129 GFLOP in 20,480 rows; 906 MB of weights in Q4_K, each once; 1.3 GB of tokens out of the second-level
//   cache. H100: 0.27 ms of memory, 0.13 ms of tensor cores at 989 TFLOP/s, 0.28 ms of shared memory (56 tokens x 32
//   columns are 28 cycles of 128 bytes to 14 mma), 0.23 ms of instructions that unpack (3.5 a weight): designed for 0.5
//   ms, 250 TFLOP/s. RTX 5090: 0.62 ms of tensor cores (209.5 TFLOP/s), 0.5 ms of memory: designed for 0.9 ms, 145
//   TFLOP/s, 70 %; NInfer's grouped kernel reaches 105 there (50 %).
//   Registers: 128 a thread at most (two blocks); the other types, whose steps take more of them, have one block a
//   multiprocessor. Shared memory 43 KB.
//   Dropped: tiles of dequantized weights in shared memory with ldmatrix (a write and a read of 256 bytes for each 16 x
//   8 weights, that nobody shares, and half the room for tokens).
// hot: expert_products
#include "kernels/cuda/moe_experts_prefill.h"

#include <type_traits>

#include "kernels/cuda/check.h"
#include "kernels/cuda/dequantize.cuh"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int warps = 8, block_threads = 32 * warps;
constexpr int tile_tokens = static_cast<int>(expert_tile_rows), fragments = tile_tokens / 8;
constexpr int step_columns = 128, step_chunks = step_columns / 8;  // chunks of 16 bytes, 8 values of bf16
constexpr int stages = 3, stage_bytes = tile_tokens * step_columns * 2;
constexpr std::size_t shared_bytes = stages * stage_bytes;

/// Parts of 32 columns of a row as bf16: of plain rows, read as blocks are, two runs of 16 neighbours; or of blocks.
template <class Stored>
struct Weights {
  static constexpr int run_distance = 16, words = 2 * static_cast<int>(sizeof(Stored));
  struct Raw {
    uint4 words[Weights::words];
  };
  __device__ __forceinline__ static int first_column(int part) { return part * 32; }
  __device__ __forceinline__ static Raw load(const std::byte* row, int part) {
    Raw raw;
    const auto* from = reinterpret_cast<const uint4*>(row) + part * words;
#pragma unroll
    for (int i = 0; i < words; ++i) raw.words[i] = gpu::load_streaming(from + i);
    return raw;
  }
  __device__ __forceinline__ static Raw unpack(const Raw& raw, int) {
    return raw;
  }
  /// Values 8 half to 8 half + 7 of a run.
  __device__ __forceinline__ static uint4 bf16_of(const Raw& raw, int run, int half) {
    const int eight = 2 * run + half;
    if constexpr (std::is_same_v<Stored, gpu::bf16>) {
      return raw.words[eight];
    } else if constexpr (std::is_same_v<Stored, gpu::f16>) {
      const uint4 w = raw.words[eight];
      const auto pair = [](std::uint32_t word) {
        const float2 values = gpu::unpack_f16(word);
        return gpu::pack_bf16(values.x, values.y);
      };
      return make_uint4(pair(w.x), pair(w.y), pair(w.z), pair(w.w));
    } else {
      const uint4 a = raw.words[2 * eight], b = raw.words[2 * eight + 1];
      const auto pair = [](std::uint32_t low, std::uint32_t high) {
        return gpu::pack_bf16(__uint_as_float(low), __uint_as_float(high));
      };
      return make_uint4(pair(a.x, a.y), pair(a.z, a.w), pair(b.x, b.y), pair(b.z, b.w));
    }
  }
};
template <class Block>
requires is_block<Block>
struct Weights<Block> : BlockFormat<Block> {
  __device__ __forceinline__ static uint4 bf16_of(const WeightPart& part, int run, int half) {
    return to_bf16(part, run, half);
  }
};

/// Blocks that a multiprocessor holds: as many as the registers that a step's weights take allow.
template <class Stored>
constexpr int blocks_of = std::is_same_v<Stored, BlockQ4_K> || std::is_same_v<Stored, BlockQ4_0> ||
                                  std::is_same_v<Stored, BlockQ4_1> || std::is_same_v<Stored, gpu::bf16>
                              ? 2
                              : 1;

struct Problem {
  const gpu::bf16* tokens;                    // rows of `columns`
  const std::int32_t* pairs;                  // null: the row of a place is that place; else pairs[place] / chosen
  const std::byte *first_rows, *second_rows;  // matrices: gate and up, or down twice
  const std::int32_t *offsets, *tile_offsets, *tile_experts;
  gpu::bf16* out;         // [places, rows]
  std::int64_t row_size;  // bytes of a row of weights
  int chosen, experts, rows, columns;
};

/// Where chunk `chunk` of 16 of a token's row is. The four lanes of a token read chunks that differ in bits 1 and 3, 1
/// and 2, or 2 and 3 (the types' parts), two tokens at a time: all in different banks.
__device__ __forceinline__ int chunk_place(int token, int chunk) {
  return token * step_chunks + (chunk ^ (chunk & 8 ? 6 : 0) ^ (token & 1));
}

/// One of the block's items: a tile of tokens by its rows of weights, in shared memory, so that the long loop over
/// columns need not keep it in registers.
struct Item {
  int expert, first_row, first_place, count;
  int sources[tile_tokens];  // rows of p.tokens
};

/// Copies columns `step` of the item's tokens. Rows past the last and columns past the end are zeros.
__device__ __forceinline__ void copy_tokens(const Problem& p, const Item& item, int step, unsigned char* stage) {
#pragma unroll 1  // addresses of all at once would take registers that the products need
  for (int place = static_cast<int>(threadIdx.x); place < tile_tokens * step_chunks; place += block_threads) {
    const int token = place / step_chunks, chunk = place % step_chunks, column = step * step_columns + chunk * 8;
    const bool exists = token < item.count && column < p.columns;
    const gpu::bf16* from = p.tokens;
    if (exists) from += static_cast<std::int64_t>(item.sources[token]) * p.columns + column;
    gpu::cp_async16_zfill(stage + 16 * chunk_place(token, chunk), from, exists ? 16 : 0);
  }
}

/// Item `index`: an expert's are rows of weights by tiles of tokens, these innermost. The first tile_tokens threads.
template <int BLOCK_ROWS>
__device__ __forceinline__ void find_item(const Problem& p, int index, Item& item) {
  const int thread = static_cast<int>(threadIdx.x), row_blocks = (p.rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
  const int expert = p.tile_experts[index / row_blocks], first_tile = p.tile_offsets[expert];
  const int tiles = p.tile_offsets[expert + 1] - first_tile, in_expert = index - first_tile * row_blocks;
  const int first_place = p.offsets[expert] + in_expert % tiles * tile_tokens;
  const int count = min(p.offsets[expert + 1] - first_place, tile_tokens), place = first_place + thread;
  int source = 0;
  if (thread < count) source = p.pairs != nullptr ? p.pairs[place] / p.chosen : place;
  item.sources[thread] = source;
  if (thread == 0) {
    item.expert = expert;
    item.first_row = in_expert / tiles * BLOCK_ROWS;
    item.first_place = first_place;
    item.count = count;
  }
}

/// GATED: out = silu(first row . token) * (second row . token), a warp takes 8 rows of each; else out = row . token, a
/// warp takes 16 rows.
template <class Stored, bool GATED>
__global__ void __launch_bounds__(block_threads, blocks_of<Stored>) expert_products(const Problem p) {
  using Format = Weights<Stored>;
  DYN_SHARED(shared);
  SHARED_ARRAY(Item, items, [1]);
  Item& item = items[0];
  constexpr int block_rows = GATED ? 8 * warps : 16 * warps;
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int group = lane / 4, quarter = lane % 4;
  const int steps = (p.columns + step_columns - 1) / step_columns, parts = p.columns / 32;
  gpu::wait_for_previous_grid();
  gpu::allow_next_grid();

  const int row_blocks = (p.rows + block_rows - 1) / block_rows;
  for (int index = static_cast<int>(blockIdx.x); index < p.tile_offsets[p.experts] * row_blocks;
       index += static_cast<int>(gridDim.x)) {
    __syncthreads();  // the item before is done with
    if (threadIdx.x < tile_tokens) find_item<block_rows>(p, index, item);
    __syncthreads();  // the item is there

    // Rows of weights past the last repeat it; what they give is not stored. Addresses are found anew at each step:
    // they would take registers that the products need.
    const auto row_of = [&](int i) {
      const int row = item.first_row + (GATED ? 8 * warp : 16 * warp + 8 * i) + group;
      return (i == 0 ? p.first_rows : p.second_rows) +
             (static_cast<std::int64_t>(item.expert) * p.rows + min(row, p.rows - 1)) * p.row_size;
    };
    typename Format::Raw raw[2];
    const auto load_weights = [&](int i, int step) {
      raw[i] = Format::load(row_of(i), min(4 * step + quarter, parts - 1));
    };
    load_weights(0, 0);
    load_weights(1, 0);
#pragma unroll
    for (int i = 0; i < stages - 1; ++i) {
      if (i < steps) copy_tokens(p, item, i, shared + i * stage_bytes);
      gpu::cp_async_commit();
    }

    float sums[fragments][4] = {};
    for (int step = 0; step < steps; ++step) {
      gpu::cp_async_wait<stages - 2>();
      __syncthreads();  // this step's tokens are there for all, and the step before has left its stage
      if (step + stages - 1 < steps)
        copy_tokens(p, item, step + stages - 1, shared + (step + stages - 1) % stages * stage_bytes);
      gpu::cp_async_commit();

      const int part = 4 * step + quarter, used = (item.count + 7) / 8;  // fragments that hold a token
      const auto first = Format::unpack(raw[0], part), second = Format::unpack(raw[1], part);
      const int column = Format::first_column(part) - step * step_columns;
      const unsigned char* stage = shared + step % stages * stage_bytes;
#pragma unroll
      for (int run = 0; run < 2; ++run) {
        if (run == 1) {  // the next step's weights, under way from where half of this one's registers are free
          load_weights(0, min(step + 1, steps - 1));
          load_weights(1, min(step + 1, steps - 1));
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const uint4 upper = Format::bf16_of(first, run, half), lower = Format::bf16_of(second, run, half);
          const std::uint32_t a0[4] = {upper.x, lower.x, upper.y, lower.y},
                              a1[4] = {upper.z, lower.z, upper.w, lower.w};
          const int chunk = (column + run * Format::run_distance) / 8 + half;
#pragma unroll
          for (int f = 0; f < fragments; ++f) {
            if (f >= used) continue;
            const uint4 b = *reinterpret_cast<const uint4*>(stage + 16 * chunk_place(8 * f + group, chunk));
            gpu::mma_bf16(sums[f], a0, b.x, b.y);
            gpu::mma_bf16(sums[f], a1, b.z, b.w);
          }
        }
      }
    }

    // Results by way of shared memory, so that a token's neighbouring rows are written together.
    gpu::cp_async_wait<0>();
    __syncthreads();                                       // the stages are free
    auto* results = reinterpret_cast<gpu::bf16*>(shared);  // [tile_tokens, block_rows]
#pragma unroll
    for (int f = 0; f < fragments; ++f) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        gpu::bf16* to = results + (8 * f + 2 * quarter + i) * block_rows;
        if constexpr (GATED) {
          to[8 * warp + group] = gpu::from_float<gpu::bf16>(gpu::silu(sums[f][i]) * sums[f][2 + i]);
        } else {
          to[16 * warp + group] = gpu::from_float<gpu::bf16>(sums[f][i]);
          to[16 * warp + group + 8] = gpu::from_float<gpu::bf16>(sums[f][2 + i]);
        }
      }
    }
    __syncthreads();  // all results are there
    constexpr int runs = block_rows / 8;
    for (int i = static_cast<int>(threadIdx.x); i < item.count * runs; i += block_threads) {
      const int token = i / runs, in_block = i % runs * 8;
      if (item.first_row + in_block >= p.rows) continue;
      const auto eight = gpu::Vector<gpu::bf16, 8>::load(results + token * block_rows + in_block);
      eight.store(p.out + static_cast<std::int64_t>(item.first_place + token) * p.rows + item.first_row + in_block);
    }
  }
}

bool fits(const ConstTensor& w) {
  return w.rank == 3 && w.type != DType::i32 && !w.packed && w.columns() % 32 == 0 &&
         w.columns() % block_values(w.type) == 0 && w.dim(0) >= 1 && w.dim(1) >= 1 && w.dim(2) >= 1 &&
         reinterpret_cast<std::uintptr_t>(w.data) % 16 == 0;
}

template <bool GATED>
void launch(Queue& queue, DType type, const Problem& p) {
  cudaError_t error = cudaErrorInvalidValue;
  with_stored_type(type, [&]<class Stored>() {
    const auto blocks = static_cast<unsigned>(blocks_of<Stored> * queue.device().multiprocessors);
    error = LAUNCH_DEPENDENT((expert_products<Stored, GATED>), blocks, block_threads, shared_bytes, queue.stream(), p);
  });
  check(error, "moe_experts_prefill");
}

}  // namespace

void moe_experts_prefill(Queue& queue, ConstTensor x, ConstTensor gate, ConstTensor up, ConstTensor down,
                         const ExpertOrder& order, Tensor rows) {
  const char* const operation = "moe_experts_prefill";
  require(fits(gate) && fits(up) && fits(down) && same_shape(gate, up) && gate.type == up.type &&
              down.dim(0) == gate.dim(0) && down.dim(1) == gate.dim(2) && down.dim(2) == gate.dim(1),
          operation, {{"gate", gate}, {"up", up}, {"down", down}},
          "expected gate, up [E, I, H] of one type, down [E, H, I], H and I whole blocks and multiples of 32, at "
          "multiples of 16 bytes");
  require(x.type == DType::bf16 && x.rank == 2 && x.dim(1) == gate.dim(2) && rows.type == DType::bf16 &&
              rows.rank == 2 && rows.dim(1) == x.dim(1) && order.pairs.elements() == rows.dim(0) &&
              (x.dim(0) == 0 ? rows.dim(0) == 0 : rows.dim(0) % x.dim(0) == 0 && rows.dim(0) > 0) &&
              order.offsets.elements() == gate.dim(0) + 1 && reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 &&
              reinterpret_cast<std::uintptr_t>(rows.data) % 16 == 0,
          operation, {{"x", x}, {"gate", gate}, {"pairs", order.pairs}, {"offsets", order.offsets}, {"rows", rows}},
          "expected x BF16 [T, H], rows BF16 [T * k, H] and the order of these tokens and experts");
  if (x.dim(0) == 0) return;
  const std::int64_t inner = gate.dim(1), hidden = x.dim(1);
  auto* activated = reinterpret_cast<gpu::bf16*>(queue.workspace(rows.dim(0) * inner * 2));
  Problem p = {};
  p.offsets = reinterpret_cast<const std::int32_t*>(order.offsets.data);
  p.tile_offsets = reinterpret_cast<const std::int32_t*>(order.tile_offsets.data);
  p.tile_experts = reinterpret_cast<const std::int32_t*>(order.tile_experts.data);
  p.experts = static_cast<int>(gate.dim(0));
  p.chosen = static_cast<int>(rows.dim(0) / x.dim(0));

  p.tokens = reinterpret_cast<const gpu::bf16*>(x.data);
  p.pairs = reinterpret_cast<const std::int32_t*>(order.pairs.data);
  p.first_rows = gate.data;
  p.second_rows = up.data;
  p.row_size = row_bytes(gate.type, hidden);
  p.out = activated;
  p.rows = static_cast<int>(inner);
  p.columns = static_cast<int>(hidden);
  launch<true>(queue, gate.type, p);

  p.tokens = activated;
  p.pairs = nullptr;
  p.first_rows = p.second_rows = down.data;
  p.row_size = row_bytes(down.type, inner);
  p.out = reinterpret_cast<gpu::bf16*>(rows.data);
  p.rows = static_cast<int>(hidden);
  p.columns = static_cast<int>(inner);
  launch<false>(queue, down.type, p);
}

}  // namespace lectern::kernels::cuda

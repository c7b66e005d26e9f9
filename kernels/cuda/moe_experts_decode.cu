// Plan.
//   One layer of Qwen3-Next-80B and one token: 10 of 512 experts (and a shared one) of 3 x 512 x 2048 weights: 11.8 MB
//   of gates and ups and 5.9 MB of downs in Q4_K (8.6 MB in Q6_K); 3.5 and 1.8 us of the H100's 3.35 TB/s. FLOPs: 63 M,
//   nothing. Such kernels are as long as a few latencies, and public ones reach 26 to 31 % of the bandwidth (NInfer,
//   kekzl/imp, Marlin): 1.5 to 2 waves of blocks, rows so short that a warp has little under way. So:
//   Launch 1, inner_rows: a unit is row j of an expert's gate and of its up. The units of all chosen experts stand in
//   a row, of which each block takes one even piece (two blocks a multiprocessor, all there at once: no waves; 45 KB of
//   neighbouring bytes of each matrix), each warp every 8th (or 10th: the host picks the number of warps for which the
//   rounds are fullest: 19.4 units a block on the H100 are 2 rounds of 10 warps). A lane has 2 parts (dequantize.cuh)
//   of the gate's row and 2 of the up's under way: the whole pair, 2.3 KB a warp in Q4_K, 46 KB a multiprocessor,
//   where 18 KB cover the H100's memory at 700 ns. The first unit's loads are issued before x is rounded. Blocks behind
//   those take the shared expert in the same way, and its router's row. The last step of a unit is silu(gate) * up.
//   Launch 2, output_rows: a unit is two rows of the output, half a warp each (a row of 512 values is 16 parts of 16
//   to 34 bytes; a half each, so that every lane works and each row keeps a chain of its own). The half-warp walks
//   over the chosen experts in their order, up to 6 of them under way: 8 warps x 6 x 576 bytes = 27 KB a
//   multiprocessor; one block a multiprocessor, of so many warps that all units run at once (15.5 rows on each of 132:
//   8 warps). So the weighted sum, the shared expert and the residual cost no launch and no memory. It begins while
//   launch 1 ends (programmatic dependence; the experts' table does not depend on it).
//   K is not split over warps: 5,120 and 1,024 units fill the device as they are, and a sum over warps would cost a
//   barrier at every unit. Several tokens (a draft): the experts that occur are sorted; a part of weights meets all
//   tokens that chose it. Registers: 96 a thread (2 blocks of 320) and 128. Shared memory: 2.5 bytes a rounded value:
//   5 KB a token, and 14 KB a token in launch 2.
//   Limit: memory. Designed for 50 % of it with one token (11 us for both at 3.35 TB/s with Q4_K, 1.5 us of them the
//   first launch's latency), against 26 to 31 %.
// hot: inner_rows
// hot: output_rows
#include "kernels/cuda/moe_experts_decode.h"

#include <algorithm>

#include "kernels/cuda/activations_q8.cuh"
#include "kernels/cuda/check.h"
#include "kernels/cuda/moe_choices.cuh"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int max_inner_warps = 10, max_output_warps = 12;  // 8 of inner_rows for more than one token
constexpr int row_lanes = 16;                               // of output_rows
constexpr int chosen_limit = static_cast<int>(moe_decode_chosen);

struct Matrices {  // matrix e begins at data + e * matrix_bytes
  const std::byte* data;
  std::int64_t row_size, matrix_bytes;
  DType type;
  bool quantized;

  __device__ __forceinline__ const std::byte* row(int matrix, int index) const {
    return data + matrix * matrix_bytes + index * row_size;
  }
};

struct Problem {
  const float *x, *residual, *weights;
  const std::int32_t* experts;
  std::int32_t* fault;
  float* out;
  Matrices gate, up, down, shared_gate, shared_up, shared_down, shared_router;
  float* activated;         // [T * k, I]
  float* shared_activated;  // [T, S]
  float* shared_share;      // [T]
  int tokens, chosen, count, hidden, inner, shared_inner;
  int routed_blocks;  // of inner_rows; the blocks behind them take the shared expert
};

// Products of one warp, and of half a warp
// ------------------------------------------------------------------------------------------------------------

/// Where the rows of x, or of activated values, are: rounded in shared memory, and as they were.
struct Rows {
  const unsigned char* rounded;
  const float* values;
  int columns;

  __device__ __forceinline__ RowQ8 rounded_row(int row) const {
    return {rounded + row * q8_row_bytes(columns), static_cast<int>(q8_padded_columns(columns))};
  }
};

/// What a lane has of a row at once, and how it multiplies that: part `index` (blocks) or run `index` of 16 bytes, or
/// of one value, of plain rows.
template <class Stored, bool RUNS>
struct Piece {
  static constexpr int values = RUNS ? 16 / static_cast<int>(sizeof(Stored)) : 1;
  gpu::Vector<Stored, values> raw;

  __device__ __forceinline__ static int count(int columns) { return columns / values; }
  __device__ __forceinline__ void load(const std::byte* row, int index) {
    raw = gpu::Vector<Stored, values>::load_streaming(reinterpret_cast<const Stored*>(row) + index * values);
  }
  /// sums[m] += piece m . the same columns of row `row` of x, which are read once.
  template <int N>
  __device__ __forceinline__ static void add_products(float (&sums)[N], const Piece (&pieces)[N], const Rows& x,
                                                      int row, int index) {
    const float* from = x.values + static_cast<std::int64_t>(row) * x.columns + index * values;
    constexpr int part = values < 4 ? values : 4;
#pragma unroll
    for (int i = 0; i < values; i += part) {
      const auto run = gpu::Vector<float, part>::load(from + i);
#pragma unroll
      for (int m = 0; m < N; ++m)
#pragma unroll
        for (int j = 0; j < part; ++j)
          sums[m] = __fmaf_rn(gpu::to_float(pieces[m].raw.values[i + j]), run.values[j], sums[m]);
    }
  }
};
template <class Block>
requires is_block<Block>
struct Piece<Block, true> {
  typename BlockFormat<Block>::Raw raw;

  __device__ __forceinline__ static int count(int columns) { return columns / 32; }
  __device__ __forceinline__ void load(const std::byte* row, int index) { raw = BlockFormat<Block>::load(row, index); }
  template <int N>
  __device__ __forceinline__ static void add_products(float (&sums)[N], const Piece (&pieces)[N], const Rows& x,
                                                      int row, int index) {
    WeightPart parts[N];
#pragma unroll
    for (int m = 0; m < N; ++m) parts[m] = BlockFormat<Block>::unpack(pieces[m].raw, index);
    cuda::add_products<Block>(sums, parts, x.rounded_row(row), index);
  }
};

/// Calls body.template operator()<Piece>() for rows of `columns` values of this type. Uniform over a warp.
template <class Body>
__device__ __forceinline__ void with_piece(DType type, int columns, Body body) {
  with_stored_type(type, [&]<class Stored>() {
    if constexpr (is_block<Stored>) {
      body.template operator()<Piece<Stored, true>>();
    } else {
      if (columns % (16 / static_cast<int>(sizeof(Stored))) == 0)
        body.template operator()<Piece<Stored, true>>();
      else
        body.template operator()<Piece<Stored, false>>();
    }
  });
}

/// The pieces of a row that a lane has are index = lane, lane + LANES, ...; AHEAD of them, of each of the MATRICES, are
/// under way at once. sums[t][m] += row m . x of token t's row row_of(t), where that is not negative.
template <class Piece, int MATRICES, int TOKENS, class RowOf>
__device__ __forceinline__ void add_rows(float (&sums)[TOKENS][MATRICES], const std::byte* const (&rows)[MATRICES],
                                         const Rows& x, int lane, RowOf row_of) {
  constexpr int ahead = 4 / MATRICES;
  const int count = Piece::count(x.columns);
  for (int first = lane; first < count; first += 32 * ahead) {
    Piece pieces[ahead][MATRICES];
#pragma unroll
    for (int i = 0; i < ahead; ++i)
#pragma unroll
      for (int m = 0; m < MATRICES; ++m) pieces[i][m].load(rows[m], min(first + 32 * i, count - 1));
#pragma unroll
    for (int i = 0; i < ahead; ++i) {
      if (first + 32 * i >= count) break;
#pragma unroll
      for (int t = 0; t < TOKENS; ++t) {
        const int row = row_of(t);
        if (row >= 0) Piece::add_products(sums[t], pieces[i], x, row, first + 32 * i);
      }
    }
  }
}

// Launch 1: the inner rows
// ------------------------------------------------------------------------------------------------------------

/// Units [first, last) of this block: matrix unit / inner, its row unit % inner.
template <int TOKENS, class Expert, class RowOf, class Store>
__device__ __forceinline__ void activate(const Matrices& gate, const Matrices& up, int inner, std::int64_t first,
                                         std::int64_t last, const Rows& x, Expert expert_of, RowOf row_of,
                                         Store store) {
  const int lane = static_cast<int>(threadIdx.x % 32), warps = static_cast<int>(blockDim.x / 32);
  with_piece(gate.type, x.columns, [&]<class Piece>() {
    for (std::int64_t unit = first + threadIdx.x / 32; unit < last; unit += warps) {
      const int place = static_cast<int>(unit / inner), row = static_cast<int>(unit % inner), expert = expert_of(place);
      const std::byte* const rows[2] = {gate.row(expert, row), up.row(expert, row)};
      float sums[TOKENS][2] = {};
      add_rows<Piece>(sums, rows, x, lane, [&](int t) { return row_of(place, t); });
#pragma unroll
      for (int t = 0; t < TOKENS; ++t) {
        if (row_of(place, t) < 0) continue;
        const float gated = gpu::warp_sum(sums[t][0]), raised = gpu::warp_sum(sums[t][1]);
        if (lane == 0) store(place, t, row, gpu::silu(gated) * raised);
      }
    }
  });
}

template <int TOKENS>
__global__ void __launch_bounds__(TOKENS == 1 ? 32 * max_inner_warps : 256, TOKENS <= 2 ? 2 : 1)
    inner_rows(const Problem p) {
  DYN_SHARED(rounded);
  using Table = Choices<TOKENS, chosen_limit>;
  SHARED_ARRAY(Table, choices, [1]);
  SHARED_ARRAY(float, sizes, [TOKENS]);
  gpu::wait_for_previous_grid();
  gpu::allow_next_grid();
  const int block = static_cast<int>(blockIdx.x), shared_blocks = static_cast<int>(gridDim.x) - p.routed_blocks;
  const bool routed = block < p.routed_blocks;
  const Rows x = {rounded, p.x, p.hidden};
  const bool is_router_block = !routed && block == static_cast<int>(gridDim.x) - 1;
  if ((routed ? p.gate : p.shared_gate).quantized || (is_router_block && p.shared_router.quantized))
    round_rows_by_warps(p.x, p.tokens, p.hidden, rounded, sizes);
  if (routed) {
    const int different = gather_choices(choices[0], p.experts, p.weights, p.tokens, p.chosen, p.count, p.fault);
    const std::int64_t units = static_cast<std::int64_t>(different) * p.inner;
    activate<TOKENS>(
        p.gate, p.up, p.inner, units * block / p.routed_blocks, units * (block + 1) / p.routed_blocks, x,
        [&](int place) { return choices[0].experts[place]; },
        [&](int place, int t) { return t < p.tokens && choices[0].pair[place][t] >= 0 ? t : -1; },
        [&](int place, int t, int row, float value) {
          p.activated[static_cast<std::int64_t>(choices[0].pair[place][t]) * p.inner + row] = value;
        });
    return;
  }
  const auto row_of = [&](int, int t) { return t < p.tokens ? t : -1; };
  const int mine = block - p.routed_blocks;
  activate<TOKENS>(
      p.shared_gate, p.shared_up, p.shared_inner, static_cast<std::int64_t>(p.shared_inner) * mine / shared_blocks,
      static_cast<std::int64_t>(p.shared_inner) * (mine + 1) / shared_blocks, x, [](int) { return 0; }, row_of,
      [&](int, int t, int row, float value) {
        p.shared_activated[static_cast<std::int64_t>(t) * p.shared_inner + row] = value;
      });
  if (!is_router_block || threadIdx.x / 32 != blockDim.x / 32 - 1) return;
  with_piece(p.shared_router.type, p.hidden, [&]<class Piece>() {
    const std::byte* const rows[1] = {p.shared_router.row(0, 0)};
    float sums[TOKENS][1] = {};
    add_rows<Piece>(sums, rows, x, static_cast<int>(threadIdx.x % 32), [&](int t) { return row_of(0, t); });
#pragma unroll
    for (int t = 0; t < TOKENS; ++t) {
      if (t >= p.tokens) continue;
      const float logit = gpu::warp_sum(sums[t][0]);
      if (threadIdx.x % 32 == 0) p.shared_share[t] = gpu::sigmoid(logit);
    }
  });
}

// Launch 2: the rows of the output
// ------------------------------------------------------------------------------------------------------------

/// The activated rows that a token meets, in order: matrix expert_of(i) meets row row_of(i, t) with weight share(i, t).
/// sums[t] += share * row of the matrix . activated row, i ascending. A half-warp has a row; a lane its pieces lane,
/// lane + 16, ...
template <int TOKENS, class Expert, class RowOf, class Share>
__device__ __forceinline__ void add_outputs(float (&sums)[TOKENS], const Matrices& down, int matrices, int row,
                                            const Rows& activated, Expert expert_of, RowOf row_of, Share share) {
  const int lane = static_cast<int>(threadIdx.x) % row_lanes;
  with_piece(down.type, activated.columns, [&]<class Piece>() {
    constexpr int ahead = sizeof(Piece) <= 48 ? 6 : 4;
    const int count = Piece::count(activated.columns), steps = (count + row_lanes - 1) / row_lanes;
    for (int first = 0; first < matrices * steps; first += ahead) {
      Piece pieces[ahead][1];
#pragma unroll
      for (int i = 0; i < ahead; ++i) {
        const int step = min(first + i, matrices * steps - 1);
        pieces[i][0].load(down.row(expert_of(step / steps), row), min(step % steps * row_lanes + lane, count - 1));
      }
#pragma unroll
      for (int i = 0; i < ahead; ++i) {
        const int step = first + i, place = step / steps, index = step % steps * row_lanes + lane;
        if (step >= matrices * steps) break;
        if (index >= count) continue;
#pragma unroll
        for (int t = 0; t < TOKENS; ++t) {
          const int from = row_of(place, t);
          if (from < 0) continue;
          float product[1] = {};
          Piece::add_products(product, pieces[i], activated, from, index);
          sums[t] = __fmaf_rn(share(place, t), product[0], sums[t]);
        }
      }
    }
  });
}

template <int TOKENS>
__global__ void __launch_bounds__(32 * max_output_warps) output_rows(const Problem p) {
  DYN_SHARED(memory);
  using Table = Choices<TOKENS, chosen_limit>;
  SHARED_ARRAY(Table, choices, [1]);
  SHARED_ARRAY(float, sizes, [TOKENS * (chosen_limit + 1)]);
  const int different = gather_choices(choices[0], p.experts, p.weights, p.tokens, p.chosen, p.count, p.fault);
  gpu::wait_for_previous_grid();
  gpu::allow_next_grid();
  const bool has_shared = p.shared_inner > 0;
  unsigned char* shared_rounded = memory;
  const int pairs = p.tokens * p.chosen;
  if (p.down.quantized) {
    shared_rounded += pairs * q8_row_bytes(p.inner);
    round_rows_by_warps(p.activated, pairs, p.inner, memory, sizes);
  }
  if (has_shared && p.shared_down.quantized)
    round_rows_by_warps(p.shared_activated, p.tokens, p.shared_inner, shared_rounded, sizes);

  const Rows activated = {memory, p.activated, p.inner};
  const Rows shared_activated = {shared_rounded, p.shared_activated, p.shared_inner};
  const int half = static_cast<int>(threadIdx.x % 32) / row_lanes, warps = static_cast<int>(blockDim.x / 32);
  const std::int64_t units = (p.hidden + 1) / 2, blocks = gridDim.x, block = blockIdx.x;
  for (std::int64_t unit = units * block / blocks + threadIdx.x / 32; unit < units * (block + 1) / blocks;
       unit += warps) {
    const auto place = static_cast<int>(2 * unit) + half;
    const int row = min(place, p.hidden - 1);  // the last row twice where H is odd
    float sums[TOKENS] = {};
    add_outputs<TOKENS>(
        sums, p.down, different, row, activated, [&](int i) { return choices[0].experts[i]; },
        [&](int i, int t) { return t < p.tokens ? choices[0].pair[i][t] : -1; },
        [&](int i, int t) { return choices[0].share[i][t]; });
    if (has_shared)
      add_outputs<TOKENS>(
          sums, p.shared_down, 1, row, shared_activated, [](int) { return 0; },
          [&](int, int t) { return t < p.tokens ? t : -1; }, [&](int, int t) { return p.shared_share[t]; });
#pragma unroll
    for (int t = 0; t < TOKENS; ++t) {
      if (t >= p.tokens) continue;
      const float sum = gpu::warp_sum<row_lanes>(sums[t]);
      const std::int64_t at = static_cast<std::int64_t>(t) * p.hidden + row;
      if (threadIdx.x % row_lanes == 0 && place == row) p.out[at] = p.residual != nullptr ? p.residual[at] + sum : sum;
    }
  }
}

// Host
// ------------------------------------------------------------------------------------------------------------

Matrices matrices(const ConstTensor& w) {
  if (!w) return {};
  const std::int64_t row = row_bytes(w.type, w.columns());
  return {w.data, row, row * w.dim(w.rank - 2), w.type, is_quantized(w.type)};
}

bool fits_type(const ConstTensor& w) {
  return w.type != DType::i32 && w.data != nullptr && !w.packed && reinterpret_cast<std::uintptr_t>(w.data) % 16 == 0 &&
         w.columns() % block_values(w.type) == 0;
}

void require_shapes(const ConstTensor& x, const ConstTensor& gate, const ConstTensor& up, const ConstTensor& down,
                    const ConstTensor& experts, const ConstTensor& weights, const SharedExpert& shared,
                    const ConstTensor& residual, const Tensor& out, const Tensor& fault) {
  const char* const operation = "moe_experts_decode";
  require(is_f32(x, 2) && is_f32(out, 2) && same_shape(x, out) && x.dim(1) >= 1 && x.dim(0) <= moe_decode_tokens &&
              reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 &&
              (!residual || (is_f32(residual) && same_shape(x, residual))),
          operation, {{"x", x}, {"residual", residual}, {"out", out}},
          "expected F32 [T, H], T at most 8, x at a multiple of 16 bytes");
  require(gate.rank == 3 && up.rank == 3 && down.rank == 3 && same_shape(gate, up) && gate.type == up.type &&
              down.dim(0) == gate.dim(0) && gate.dim(2) == x.dim(1) && down.dim(1) == x.dim(1) &&
              down.dim(2) == gate.dim(1) && gate.dim(0) >= 1 && gate.dim(1) >= 1,
          operation, {{"x", x}, {"gate", gate}, {"up", up}, {"down", down}},
          "expected gate, up [E, I, H] of one type, down [E, H, I]");
  require(experts.type == DType::i32 && experts.rank == 2 && is_f32(weights, 2) && same_shape(experts, weights) &&
              experts.dim(0) == x.dim(0) && experts.dim(1) >= 1 && experts.dim(1) <= moe_decode_chosen,
          operation, {{"experts", experts}, {"weights", weights}},
          "expected experts I32 and weights F32 [T, k], k from 1 to 32");
  require(fault.type == DType::i32 && fault.elements() == 1, operation, {{"fault", fault}}, "expected fault I32 [1]");
  for (const ConstTensor& w : {gate, up, down})
    require(fits_type(w), operation, {{"weights", w}},
            "rows are whole blocks, matrices begin at multiples of 16 bytes");
  if (!shared) return;
  require(shared.gate.rank == 2 && same_shape(shared.gate, shared.up) && shared.gate.type == shared.up.type &&
              shared.down.rank == 2 && shared.gate.dim(1) == x.dim(1) && shared.down.dim(0) == x.dim(1) &&
              shared.down.dim(1) == shared.gate.dim(0) && shared.gate.dim(0) >= 1 && shared.router.rank == 2 &&
              shared.router.dim(0) == 1 && shared.router.dim(1) == x.dim(1),
          operation, {{"gate", shared.gate}, {"up", shared.up}, {"down", shared.down}, {"router", shared.router}},
          "expected the shared expert's gate, up [S, H] of one type, down [H, S], router [1, H]");
  for (const ConstTensor& w : {shared.gate, shared.up, shared.down, shared.router})
    require(fits_type(w), operation, {{"weights", w}},
            "rows are whole blocks, matrices begin at multiples of 16 bytes");
}

/// Blocks and warps for `units`, a warp's work each: one piece a block, as full rounds as warps from `least` to `most`
/// give.
struct Shape {
  unsigned blocks;
  int warps;
};
Shape shape_of(std::int64_t units, std::int64_t blocks, int least, int most) {
  blocks = std::max<std::int64_t>(1, std::min(blocks, units));
  const std::int64_t each = (units + blocks - 1) / blocks, rounds = (each + most - 1) / most;
  const auto warps = static_cast<int>(std::max<std::int64_t>(least, (each + rounds - 1) / rounds));
  return {static_cast<unsigned>(blocks), std::min(warps, most)};
}

template <int TOKENS>
void launch(Queue& queue, Problem p, std::int64_t inner_bytes, std::int64_t output_bytes) {
  const std::int64_t multiprocessors = queue.device().multiprocessors;
  const int inner_warps = TOKENS == 1 ? max_inner_warps : 8;
  const std::int64_t units = static_cast<std::int64_t>(p.tokens) * p.chosen * p.inner;
  // The pairs of several tokens are an upper bound of the experts; the pieces are cut on the device.
  std::int64_t shared_blocks = 0, routed_blocks = 2 * multiprocessors;
  if (p.shared_inner > 0) {
    const double routed = static_cast<double>(units) * static_cast<double>(p.gate.row_size);
    const double shared = static_cast<double>(p.shared_inner) * static_cast<double>(p.shared_gate.row_size);
    shared_blocks = std::clamp<std::int64_t>(
        static_cast<std::int64_t>(static_cast<double>(routed_blocks) * shared / (routed + shared) + 0.5), 1,
        std::min<std::int64_t>(p.shared_inner, routed_blocks / 2));
    routed_blocks = std::max<std::int64_t>(1, routed_blocks - shared_blocks);
  }
  const Shape inner = shape_of(units, routed_blocks, 4, inner_warps);
  p.routed_blocks = static_cast<int>(inner.blocks);
  // The table of choices takes one thread a pair.
  const int table_warps = (p.tokens * p.chosen + 31) / 32;
  check(LAUNCH_DEPENDENT((inner_rows<TOKENS>), inner.blocks + static_cast<unsigned>(shared_blocks),
                         32 * std::max(inner.warps, table_warps), static_cast<std::size_t>(inner_bytes), queue.stream(),
                         p),
        "moe_experts_decode");
  const Shape output = shape_of((p.hidden + 1) / 2, multiprocessors, 4, max_output_warps);
  check(LAUNCH_DEPENDENT((output_rows<TOKENS>), output.blocks, 32 * std::max(output.warps, table_warps),
                         static_cast<std::size_t>(output_bytes), queue.stream(), p),
        "moe_experts_decode");
}

}  // namespace

void moe_experts_decode(Queue& queue, ConstTensor x, ConstTensor gate, ConstTensor up, ConstTensor down,
                        ConstTensor experts, ConstTensor weights, const SharedExpert& shared, ConstTensor residual,
                        Tensor out, Tensor fault) {
  require_shapes(x, gate, up, down, experts, weights, shared, residual, out, fault);
  const std::int64_t tokens = x.dim(0), hidden = x.dim(1), inner = gate.dim(1), chosen = experts.dim(1);
  const std::int64_t shared_inner = shared ? shared.gate.dim(0) : 0;
  if (tokens == 0) return;

  // Shared memory: rounded rows of x, or of activated values, for as many tokens as fit beside the tables.
  const bool rounds_x =
      is_quantized(gate.type) || (shared && (is_quantized(shared.gate.type) || is_quantized(shared.router.type)));
  const std::int64_t inner_bytes = rounds_x ? q8_row_bytes(hidden) : 0;
  const std::int64_t output_bytes = (is_quantized(down.type) ? chosen * q8_row_bytes(inner) : 0) +
                                    (shared && is_quantized(shared.down.type) ? q8_row_bytes(shared_inner) : 0);
  std::int64_t at_once = tokens;
  const auto fits = [&](std::int64_t count) {
    const std::int64_t table = count <= 1   ? sizeof(Choices<1, chosen_limit>)
                               : count <= 2 ? sizeof(Choices<2, chosen_limit>)
                               : count <= 4 ? sizeof(Choices<4, chosen_limit>)
                                            : sizeof(Choices<8, chosen_limit>);
    constexpr std::int64_t sizes = 4 * moe_decode_tokens * (moe_decode_chosen + 1) + 256;
    return count * std::max(inner_bytes, output_bytes) + table + sizes <= queue.device().shared_bytes_per_block;
  };
  while (at_once > 1 && !fits(at_once)) --at_once;
  require(fits(1), "moe_experts_decode", {{"gate", gate}, {"down", down}},
          "one token's rounded rows do not fit the device's shared memory");

  const auto round_up = [](std::int64_t count) { return (count + 63) / 64 * 64; };
  const std::int64_t activated = round_up(at_once * chosen * inner), shared_values = round_up(at_once * shared_inner);
  auto* memory = reinterpret_cast<float*>(
      queue.workspace((activated + shared_values + round_up(at_once)) * static_cast<std::int64_t>(sizeof(float))));
  for (std::int64_t first = 0; first < tokens; first += at_once) {
    const std::int64_t count = std::min(at_once, tokens - first);
    Problem p = {};
    p.x = reinterpret_cast<const float*>(x.data) + first * hidden;
    p.residual = residual ? reinterpret_cast<const float*>(residual.data) + first * hidden : nullptr;
    p.out = reinterpret_cast<float*>(out.data) + first * hidden;
    p.experts = reinterpret_cast<const std::int32_t*>(experts.data) + first * chosen;
    p.weights = reinterpret_cast<const float*>(weights.data) + first * chosen;
    p.fault = reinterpret_cast<std::int32_t*>(fault.data);
    p.gate = matrices(gate);
    p.up = matrices(up);
    p.down = matrices(down);
    p.shared_gate = matrices(shared.gate);
    p.shared_up = matrices(shared.up);
    p.shared_down = matrices(shared.down);
    p.shared_router = matrices(shared.router);
    p.activated = memory;
    p.shared_activated = memory + activated;
    p.shared_share = memory + activated + shared_values;
    p.tokens = static_cast<int>(count);
    p.chosen = static_cast<int>(chosen);
    p.count = static_cast<int>(gate.dim(0));
    p.hidden = static_cast<int>(hidden);
    p.inner = static_cast<int>(inner);
    p.shared_inner = static_cast<int>(shared_inner);
    if (count == 1)
      launch<1>(queue, p, count * inner_bytes, count * output_bytes);
    else if (count == 2)
      launch<2>(queue, p, count * inner_bytes, count * output_bytes);
    else if (count <= 4)
      launch<4>(queue, p, count * inner_bytes, count * output_bytes);
    else
      launch<8>(queue, p, count * inner_bytes, count * output_bytes);
  }
}

}  // namespace lectern::kernels::cuda

// Plan (flash-decoding over pages).
//   Columns: the rows of a sequence times the query heads of a KV head, 8 NT of them to a block (1 row at Qwen3-Next:
//   8; 8 rows: 64); all share what is read of keys and values.
//   Block: D / 64 warps; pieces of the sequence (attention_pieces.h), tile by tile of 16 slots a warp (64 at D = 256).
//   Sᵀ = K Qᵀ by mma.m16n8k16, keys as the operand of 16 rows: 8 columns waste nothing. A warp multiplies its 16
//   slots; maxima and weights go through shared memory; for Oᵀ += Vᵀ Pᵀ a warp takes its 64 dimensions of all slots.
//   So every key and value is wanted by one lane of one warp alone: each lane copies by cp.async exactly what it will
//   read, to a queue of its own (attention_queue.h). Data needs no barrier, no ldmatrix and meets no bank conflict;
//   two barriers a tile serve maxima and weights. Values are paired up slot by slot with byte_perm.
//   The queue goes on from piece to piece: 64 KB (64 columns: 32 KB) are under way at any time, two blocks a
//   multiprocessor on an H100: well above the 18 KB that 3.35 TB/s and 700 ns ask for.
//   Rows of different slot counts in one block: tiles behind a row's last slot change nothing (weights 0, factor 1);
//   where its pieces are smaller than the block's, its state is put away and started anew at their ends.
//   Registers: 100 for 8 columns, 250 for 64, whose maxima and factors therefore live in shared memory.
//   Merge: one block for 64 dimensions of a row and head, pieces in order in four interleaved sums.
//   Bytes at Qwen3-Next-80B, one row at 262,144 slots: 537 MB (int8: 273 MB), and 8.5 MB of results written and read
//   (from the second-level cache on most cards): 160 us at the H100's 3.35 TB/s, 300 us at a 5090's 1.79. FLOPs: 4.3 G.
//   Instructions: about 300 a warp and tile of 64 KB, 75 cycles of the 4,500 that memory takes on an H100; 8 rows about
//   2,000, 500 cycles.
//   Limit: memory; designed for 92 % of copy bandwidth at 262,144 slots (NInfer on a 5090: 98 %, int8 88 %). Below
//   8,192 slots (8 MB) it is latency, one tile a block; blocks without a piece end at once, and there are never more
//   than two a multiprocessor.
// hot: attention_decode_pieces
// hot: attention_decode_merge
#include "kernels/cuda/attention_decode.h"

#include <algorithm>

#include "kernels/cuda/attention_output.h"
#include "kernels/cuda/attention_pieces.h"
#include "kernels/cuda/attention_prefill.h"
#include "kernels/cuda/attention_queue.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/kv_device.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

struct DecodeRows {
  QueryRows q;
  const std::int32_t* slots;
  PieceResults results;
  int rows_per_sequence, query_heads, group;  // group: query heads of one KV head
  float scale_log2;                           // scale * log2(e)
};

/// Maximum or sum over the eight lanes that have other slots of the same columns.
__device__ __forceinline__ float column_max(float x) {
#pragma unroll
  for (int step = 4; step < 32; step *= 2) x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, step));
  return x;
}
__device__ __forceinline__ float column_sum(float x) {
#pragma unroll
  for (int step = 4; step < 32; step *= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, step);
  return x;
}

// Two blocks a multiprocessor; where that is the limit of the registers anyway (0), ptxas does better left alone.
template <int D, int NT, class Value>
__global__ void __launch_bounds__(DecodeSizes<D, NT, Value>::threads, NT == 8 ? 0 : 2)
    attention_decode_pieces(DecodeRows in, KvView view) {
  using S = DecodeSizes<D, NT, Value>;
  DYN_SHARED(shared);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32, g = lane / 4, t = lane % 4;
  const int kv_head = static_cast<int>(blockIdx.y) % view.heads, sequence = static_cast<int>(blockIdx.z);
  const int first_column = static_cast<int>(blockIdx.y) / view.heads * S::columns;
  const int first_row = sequence * in.rows_per_sequence;
  DecodeColumn* columns = reinterpret_cast<DecodeColumn*>(shared + S::columns_at);
  // Fewest slots of a row in use; its pieces' slots less one. Registers are short where there are 64 columns.
  int* bounds = reinterpret_cast<int*>(columns + S::columns);
  float* warp_largest = reinterpret_cast<float*>(shared + S::warp_values_at);
  float* warp_sums = warp_largest + S::warps * S::columns;
  float* factors = warp_sums + S::warps * S::columns;
  float* maxima = factors + S::columns;
  gpu::bf16* weights = reinterpret_cast<gpu::bf16*>(shared + S::weights_at);
  const uint4* queries = reinterpret_cast<const uint4*>(shared + S::queries_at) + lane;

  for (int i = thread; i < S::columns; i += S::threads) {
    const int row = (first_column + i) / in.group, head = (first_column + i) % in.group;
    int count = 0;
    if (row < in.rows_per_sequence) {
      count = in.slots[first_row + row];
      const int window = view.table_pages * static_cast<int>(kv_page_tokens);
      if (count < 0 || count > window) {
        view.report(kv_fault_beyond_table);
        count = count < 0 ? 0 : window;
      }
    }
    maxima[i] = minus_infinity();
    columns[i] = {count, 31 - __clz(piece_slots(count)),
                  (first_row + row) * in.query_heads + kv_head * in.group + head};
  }
  __syncthreads();
  int most = 0, least = INT32_MAX;  // slots of any row; of any row in use
  for (int i = 0; i < S::columns; ++i) {
    const int count = columns[i].slots;
    most = max(most, count);
    if (count > 0) least = min(least, count);
  }
  const PieceWalk start(piece_slots(most), most);
  if (start.is_done()) return;
  if (thread == 0) bounds[0] = least, bounds[1] = piece_slots(least) - 1;

  // Queries as operands: for 32 dimensions and 8 columns, lane (g, t) has dimensions 8 t to 8 t + 7 of column g.
  for (int i = thread; i < NT * (D / 32) * 32; i += S::threads) {
    const int column = first_column + i / 32 / (D / 32) * 8 + i % 32 / 4;
    const int dim = i / 32 % (D / 32) * 32 + i % 4 * 8;
    uint4 eight = make_uint4(0, 0, 0, 0);
    if (column / in.group < in.rows_per_sequence) {
      const std::int64_t row = first_row + column / in.group;
      eight = in.q.eight((row * in.query_heads + kv_head * in.group + column % in.group) * D + dim);
    }
    reinterpret_cast<uint4*>(shared + S::queries_at)[i] = eight;
  }
  __syncthreads();

  LaneQueue<D, NT, Value> queue(shared, view, sequence, kv_head, start);
  float sum[NT][2];   // of columns 2 t and 2 t + 1 of each eight, over the lane's slots alone
  float o[4][NT][4];  // dimensions 8 g + 2 m and (elements 2 and 3) + 1 of the warp's 64; columns 2 t, 2 t + 1
#pragma unroll
  for (int n = 0; n < NT; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) sum[n][i] = 0.0f;
#pragma unroll
    for (int m = 0; m < 4; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) o[m][n][i] = 0.0f;
  }

  int page = -1;
  bool present = true;
  float* largest = maxima;  // so far
  for (PieceWalk walk = start; !walk.is_done(); walk.next(S::tile)) {
    float s[NT][4];  // slots g (elements 0, 1) and g + 8 of the warp's 16; columns 2 t, 2 t + 1
#pragma unroll
    for (int n = 0; n < NT; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) s[n][i] = 0.0f;
#pragma unroll(NT == 8 ? 1 : S::parts)
    for (int part = 0; part < S::parts; ++part) {
      queue.turn();
#pragma unroll(NT == 8 ? 1 : S::units / 2)
      for (int j = 0; j < S::units / 2; ++j) {
        std::uint32_t low[4], high[4];  // slots g and g + 8
        widen(queue.unit(2 * j), low);
        widen(queue.unit(2 * j + 1), high);
        const std::uint32_t first[4] = {low[0], high[0], low[1], high[1]},
                            second[4] = {low[2], high[2], low[3], high[3]};
#pragma unroll
        for (int n = 0; n < NT; ++n) {
          const uint4 q = queries[(n * (D / 32) + part * (S::units / 2) + j) * 32];
          gpu::mma_bf16(s[n], first, q.x, q.y);
          gpu::mma_bf16(s[n], second, q.z, q.w);
        }
      }
    }
    if constexpr (!S::is_wide) {
      const float4 scales = queue.scales();
#pragma unroll
      for (int n = 0; n < NT; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) s[n][i] *= i < 2 ? scales.x : scales.y;
    }
    if (walk.tile / static_cast<int>(kv_page_tokens) != page) {
      page = walk.tile / static_cast<int>(kv_page_tokens);
      present = view.number(sequence, page) >= 0;
    }
    if (!present || walk.tile + S::tile > bounds[0]) {
#pragma unroll
      for (int n = 0; n < NT; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (!present || walk.tile + 16 * warp + g + i / 2 * 8 >= columns[8 * n + 2 * t + i % 2].slots)
            s[n][i] = minus_infinity();
    }

    // Maxima of the tile over all warps, then weights.
#pragma unroll
    for (int n = 0; n < NT; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float of_warp = column_max(fmaxf(s[n][i], s[n][i + 2]));
        if (g == 0) warp_largest[warp * S::columns + 8 * n + 2 * t + i] = of_warp;
      }
    __syncthreads();  // the maxima are there, and nobody reads the weights of the tile before any more
    float* next_largest = largest == maxima ? maxima + S::columns : maxima;
    bool has_moved = false;
#pragma unroll
    for (int n = 0; n < NT; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int column = 8 * n + 2 * t + i;
        float now = largest[column];
#pragma unroll
        for (int w = 0; w < S::warps; ++w) now = fmaxf(now, warp_largest[w * S::columns + column]);
        const float base = now == minus_infinity() ? 0.0f : now;
        const float factor = gpu::ex2((largest[column] - base) * in.scale_log2);
        has_moved = has_moved || factor != 1.0f;
        if (warp == 0 && g == 0) factors[column] = factor, next_largest[column] = now;
        float low = gpu::ex2((s[n][i] - base) * in.scale_log2), high = gpu::ex2((s[n][i + 2] - base) * in.scale_log2);
        sum[n][i] = fmaf(sum[n][i], factor, low + high);
        if constexpr (!S::is_wide) {
          const float4 scales = queue.scales();
          low *= scales.z;
          high *= scales.w;
        }
        gpu::bf16* of_column = weights + column * S::weight_stride + 16 * warp + g;
        of_column[0] = gpu::from_float<gpu::bf16>(low);
        of_column[8] = gpu::from_float<gpu::bf16>(high);
      }
    }
    __syncthreads();  // the weights are there, and nobody reads the maxima any more
    largest = next_largest;
    if (__any_sync(0xFFFFFFFFu, has_moved)) {
#pragma unroll
      for (int n = 0; n < NT; ++n) {
        const auto pair = gpu::Vector<float, 2>::load(factors + 8 * n + 2 * t);
#pragma unroll
        for (int m = 0; m < 4; ++m)
#pragma unroll
          for (int i = 0; i < 4; ++i) o[m][n][i] *= pair.values[i % 2];
      }
    }
#pragma unroll(NT == 8 ? 1 : S::parts)
    for (int part = 0; part < S::parts; ++part) {
      queue.turn();
#pragma unroll
      for (int k = 0; k < S::units / 4; ++k) {
        std::uint32_t a[4][4];
        pair_slots(queue.unit(4 * k), queue.unit(4 * k + 1), queue.unit(4 * k + 2), queue.unit(4 * k + 3), a);
        const int first_slot = 16 * (part * (S::units / 4) + k) + 2 * t;
#pragma unroll
        for (int n = 0; n < NT; ++n) {
          const auto* of_column =
              reinterpret_cast<const std::uint32_t*>(weights + (8 * n + g) * S::weight_stride + first_slot);
          const std::uint32_t low = of_column[0], high = of_column[4];
#pragma unroll
          for (int m = 0; m < 4; ++m) gpu::mma_bf16(o[m][n], a[m], low, high);
        }
      }
    }

    // Where pieces end, their results are put away.
    const int end = walk.tile + S::tile;
    const bool is_last = end >= walk.piece_end();
    if (!is_last && (end & bounds[1]) != 0) continue;
#pragma unroll
    for (int n = 0; n < NT; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float of_warp = column_sum(sum[n][i]);
        if (g == 0) warp_sums[warp * S::columns + 8 * n + 2 * t + i] = of_warp;
      }
    __syncthreads();  // all sums are there
#pragma unroll
    for (int n = 0; n < NT; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int at_column = 8 * n + 2 * t + i;
        const DecodeColumn column = columns[at_column];
        const int piece = walk.tile >> column.piece_shift;
        const bool ends = (end >> column.piece_shift) != piece || is_last;
        if (ends && piece << column.piece_shift < column.slots) {
          const std::int64_t at = static_cast<std::int64_t>(column.head_row) * in.results.pieces + piece;
          float* values = in.results.values + at * D + 64 * warp + 8 * g;
#pragma unroll
          for (int m = 0; m < 4; m += 2) {
            gpu::Vector<float, 4> four{o[m][n][i], o[m][n][i + 2], o[m + 1][n][i], o[m + 1][n][i + 2]};
            four.store(values + 2 * m);
          }
          if (warp == 0 && g == 0) {
            float total = 0.0f;
#pragma unroll
            for (int w = 0; w < S::warps; ++w) total += warp_sums[w * S::columns + at_column];
            in.results.states[at] = make_float2(largest[at_column], total);
          }
        }
        if (ends && warp == 0 && g == 0) largest[at_column] = minus_infinity();
        sum[n][i] = ends ? 0.0f : sum[n][i];
#pragma unroll
        for (int m = 0; m < 4; ++m) {
          o[m][n][i] = ends ? 0.0f : o[m][n][i];
          o[m][n][i + 2] = ends ? 0.0f : o[m][n][i + 2];
        }
      }
  }
}

constexpr int merge_threads = 256;
constexpr int merge_dims = 64;  // of a block
constexpr int merge_sums = merge_threads / merge_dims;
constexpr int largest_pieces = 512;

template <int D>
__global__ void __launch_bounds__(merge_threads)
    attention_decode_merge(PieceResults results, const std::int32_t* slots, GatedRows out, int query_heads, int window,
                           float scale_log2) {
  SHARED_ARRAY(float, weights, [largest_pieces]);
  SHARED_ARRAY(float, part, [merge_threads / 32]);
  SHARED_ARRAY(float2, sums, [merge_sums][merge_dims]);
  gpu::wait_for_previous_grid();
  const int thread = static_cast<int>(threadIdx.x);
  const int first_dim = static_cast<int>(blockIdx.x) % (D / merge_dims) * merge_dims;
  const int head = static_cast<int>(blockIdx.x) / (D / merge_dims);
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * query_heads + head;
  const int count = max(0, min(slots[blockIdx.y], window)), piece = piece_slots(count);
  const int pieces = (count + piece - 1) / piece;
  const float2* states = results.states + row * results.pieces;

  float largest = minus_infinity();
  for (int i = thread; i < pieces; i += merge_threads) largest = fmaxf(largest, states[i].x);
  largest = gpu::warp_max(largest);
  if (thread % 32 == 0) part[thread / 32] = largest;
  __syncthreads();  // maxima of the warps
#pragma unroll
  for (int w = 0; w < merge_threads / 32; ++w) largest = fmaxf(largest, part[w]);
  const float base = largest == minus_infinity() ? 0.0f : largest;
  for (int i = thread; i < pieces; i += merge_threads) weights[i] = gpu::ex2((states[i].x - base) * scale_log2);
  __syncthreads();  // weights of the pieces

  const float* values = results.values + row * results.pieces * D + first_dim + thread % merge_dims;
  float value = 0.0f, sum = 0.0f;
#pragma unroll 4
  for (int i = thread / merge_dims; i < pieces; i += merge_sums) {
    value = fmaf(weights[i], values[static_cast<std::int64_t>(i) * D], value);
    sum = fmaf(weights[i], states[i].y, sum);
  }
  sums[thread / merge_dims][thread % merge_dims] = make_float2(value, sum);
  __syncthreads();  // sums of every fourth piece
  if (thread >= merge_dims / 2) return;
  float pair[2], totals[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    pair[i] = totals[i] = 0.0f;
#pragma unroll
    for (int k = 0; k < merge_sums; ++k) {
      pair[i] += sums[k][2 * thread + i].x;
      totals[i] += sums[k][2 * thread + i].y;
    }
  }
  // A row that is not in use has no weights at all.
  out.store(row, D, first_dim + 2 * thread, count > 0 ? pair[0] / totals[0] : 0.0f,
            count > 0 ? pair[1] / totals[1] : 0.0f);
}

}  // namespace

std::int64_t attention_decode_workspace(std::int64_t rows, std::int64_t query_heads, const KvPages& pages) {
  return rows * query_heads * most_pieces(pages.window()) * (pages.layout.head_dim + 2) * 4;
}

void attention_decode(Queue& queue, ConstTensor q, const KvPages& pages, ConstTensor slots, float scale,
                      ConstTensor gate, Tensor out) {
  const char* name = "attention_decode";
  require_attention(name, q, pages, scale, gate, out);
  const std::int64_t rows = q.dim(0), query_heads = q.dim(1), dim = pages.layout.head_dim;
  require(slots.type == DType::i32 && slots.rank == 1 && slots.dim(0) == rows && rows > 0 &&
              rows <= attention_decode_rows && rows % pages.sequences() == 0,
          name, {{"q", q}, {"slots", slots}, {"tables", pages.tables}},
          "expected 1 to 64 rows, as many for each sequence, and slots [T] of I32");
  const int pieces = most_pieces(pages.window());
  const std::int64_t value_bytes = rows * query_heads * pieces * dim * 4;
  std::byte* workspace = queue.workspace(attention_decode_workspace(rows, query_heads, pages));
  const PieceResults results{reinterpret_cast<float*>(workspace), reinterpret_cast<float2*>(workspace + value_bytes),
                             pieces};
  const float scale_log2 = scale * 1.4426950408889634f;
  const auto* counts = reinterpret_cast<const std::int32_t*>(slots.data);
  const std::int64_t group = query_heads / pages.layout.heads, columns = rows / pages.sequences() * group;
  const DecodeRows in{QueryRows(q),
                      counts,
                      results,
                      static_cast<int>(rows / pages.sequences()),
                      static_cast<int>(query_heads),
                      static_cast<int>(group),
                      scale_log2};
  const auto launch = [&]<int D, int NT, class Value>() {
    using S = DecodeSizes<D, NT, Value>;
    const std::int64_t groups = (columns + S::columns - 1) / S::columns;
    const std::int64_t beside = pages.layout.heads * groups * pages.sequences();
    const std::int64_t wanted = (2 * queue.device().multiprocessors + beside - 1) / beside;
    const dim3 grid(static_cast<unsigned>(std::min<std::int64_t>(pieces, wanted)),
                    static_cast<unsigned>(pages.layout.heads * groups), static_cast<unsigned>(pages.sequences()));
    return LAUNCH((attention_decode_pieces<D, NT, Value>), grid, S::threads, static_cast<std::size_t>(S::shared_bytes),
                  queue.stream(), in, KvView(pages));
  };
  const auto of_columns = [&]<int D, class Value>() {
    if (columns <= 8) return launch.template operator()<D, 1, Value>();
    if constexpr (D == 256) {  // the hot size has one for drafts of any width; others share the keys of 4 eights
      if (columns <= 16) return launch.template operator()<D, 2, Value>();
      if (columns > 32) return launch.template operator()<D, 8, Value>();
    }
    return launch.template operator()<D, 4, Value>();
  };
  const auto run = [&]<int D>() {
    check(pages.layout.kind == KvKind::bf16 ? of_columns.template operator()<D, Kv16>()
                                            : of_columns.template operator()<D, Kv8>(),
          name);
    const dim3 grid(static_cast<unsigned>(query_heads * (D / merge_dims)), static_cast<unsigned>(rows));
    check(LAUNCH_DEPENDENT((attention_decode_merge<D>), grid, merge_threads, 0, queue.stream(), results, counts,
                           GatedRows(out, gate), static_cast<int>(query_heads), static_cast<int>(pages.window()),
                           scale_log2),
          name);
  };
  if (dim == 256)
    run.template operator()<256>();
  else if (dim == 128)
    run.template operator()<128>();
  else
    run.template operator()<64>();
}

}  // namespace lectern::kernels::cuda

// Plan (FlashAttention-2, arXiv 2307.08691, over pages).
//   Block: 4 warps, 64 rows of one KV head. A row is one query head of one token; the heads of the group lie side by
//   side (8 at Qwen3-Next: a block is 8 tokens), so all 64 rows share the keys and little is wasted above the diagonal.
//   The block walks the tiles of 32 slots (64 where D < 256) from slot 0 to its last row's.
//   Warp: 16 rows. S = Q Kᵀ by mma.m16n8k16 (q from shared memory each time: its 64 registers are needed), scaled,
//   masked and exponentiated in registers; the accumulators of S are the operand P of P V as they lie. The output is
//   128 registers a lane at D = 256. It is rescaled only when a maximum moved (a factor of 1 changes no bit).
//   Lane: rows g and g + 8 of the warp, two columns in eight; row maxima and sums by shuffles among four lanes.
//   Copies: K and V of the next tile come by cp.async while this one is multiplied; one barrier a tile says both "it
//   has arrived" and "the other stage is free". 16-byte runs are swizzled by row, so ldmatrix meets no conflicts.
//   int8 pages: the bytes arrive in a stage of their own and are widened (exactly) to bf16 tiles, a second barrier a
//   tile; scales of keys multiply scores, those of values the weights before they are rounded.
//   Shared memory at D = 256: q 32 KB + 2 x (16 + 16) KB = 96 KB (int8: 32 + 32 + 16.25 KB); registers: 128 output,
//   16 scores, 8 weights, so about 250 of 255; 1 block a multiprocessor in 99 KiB, 2 in the H100's 227.
//   FLOPs at Qwen3-Next-80B, 2,048 tokens behind 30,720: 4 x 256 x 16 x 2,048 x 31.7 K = 1.06 TFLOP a layer; bytes: KV
//   from the second-level cache, 64 MB x 256 blocks' reuse: arithmetic is the limit. Shared memory gives 288 KB a tile
//   of 64 x 64 x 256: 2,300 cycles, against 8,200 of the tensor cores of a 5090 (209.5 TFLOP/s) and 980 of an H100: so
//   designed for 70 % of a 5090's peak (FlashAttention-2 there: 72.8 %) and 300 TFLOP/s on an H100 (FlashAttention-2:
//   298; FlashAttention-3's 642 take wgmma).
// hot: attention_prefill_tiles
#include "kernels/cuda/attention_prefill.h"

#include "kernels/cuda/attention_output.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/kv_device.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int warps = 4;
constexpr int block_threads = 32 * warps;
constexpr int block_rows = 16 * warps;

struct Rows {
  QueryRows q;
  GatedRows out;
  const std::int32_t* first_slot;
  int tokens, query_heads, group;  // group: query heads of one KV head
  float scale_log2;                // scale * log2(e)
};

/// Byte address of 16-byte run `run` of row `row` in a bf16 tile of D columns.
template <int D>
__device__ __forceinline__ int swizzled(int row, int run) {
  return row * (2 * D) + (run ^ (row & 7)) * 16;
}

/// The sizes of a tile of keys (or values) and where everything lies in shared memory.
template <int D, class Value>
struct Layout {
  static constexpr bool is_wide = sizeof(Value) == 2;  // bf16: tiles are multiplied as they arrive
  static constexpr int slots = D == 256 ? 32 : 64;
  static constexpr int tile_bytes = slots * D * 2;
  static constexpr int stage_bytes = 2 * tile_bytes;  // K and V
  static constexpr int stages = is_wide ? 2 : 1;
  static constexpr int scale_bytes = 2 * slots * 4;
  static constexpr int tiles_at = block_rows * D * 2;
  // int8: the scales of the tiles above; then the bytes that arrive, and their scales.
  static constexpr int scales_at = tiles_at + stages * stage_bytes;
  static constexpr int arriving_at = scales_at + scale_bytes;
  static constexpr int shared_bytes = is_wide ? scales_at : arriving_at + 2 * slots * D + scale_bytes;
};

/// Finds the strips of a sequence's pages one page ahead of their use, so that nobody waits for the table.
struct StripWalk {
  std::byte* now = nullptr;
  std::byte* next = nullptr;
  int last_page = 0;

  __device__ StripWalk(const KvView& view, int last) : last_page(last) {
    now = view.strip(0, 0);
    if (last_page >= 1) next = view.strip(0, 1);
  }
  __device__ __forceinline__ void turn_to(const KvView& view, int page) {
    now = next;
    if (page + 1 <= last_page) next = view.strip(0, page + 1);
  }
};

/// Starts the copies of tile `tile` to `stage` (bf16) or to where int8 tiles arrive. Slots behind `last_slot` and slots
/// without a page become zeros and are not read.
template <int D, class Value>
__device__ __forceinline__ void begin_copy(const KvView& view, const std::byte* strip, int kv_head, int tile,
                                           int last_slot, unsigned char* shared, int stage) {
  using L = Layout<D, Value>;
  constexpr int runs = D * static_cast<int>(sizeof(Value)) / 16;  // of a row
  const int thread = static_cast<int>(threadIdx.x);
  const int first_slot = tile * L::slots, in_page = first_slot % static_cast<int>(kv_page_tokens);
  const std::byte* source = strip != nullptr ? strip : view.strips;
  const int present = strip != nullptr ? min(L::slots, last_slot + 1 - first_slot) : 0;
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    const std::byte* rows = source + view.row(part, kv_head, in_page) * D * static_cast<int>(sizeof(Value));
    unsigned char* to = L::is_wide ? shared + L::tiles_at + stage * L::stage_bytes + part * L::tile_bytes
                                   : shared + L::arriving_at + part * L::slots * D;
#pragma unroll
    for (int i = 0; i < L::slots * runs / block_threads; ++i) {
      const int at = thread + i * block_threads, row = at / runs, run = at % runs;
      gpu::cp_async16_zfill(to + (L::is_wide ? swizzled<D>(row, run) : at * 16), rows + at * 16,
                            row < present ? 16 : 0);
    }
  }
  if constexpr (!L::is_wide) {
    float* scales = reinterpret_cast<float*>(shared + L::arriving_at + 2 * L::slots * D);
    if (thread < 2 * L::slots) {
      const int part = thread / L::slots, row = thread % L::slots;
      if (row < present)
        gpu::cp_async4(scales + thread, view.scale(strip, view.row(part, kv_head, in_page + row)));
      else
        scales[thread] = 0.0f;
    }
  }
  gpu::cp_async_commit();
}

/// Widens the int8 tiles that have arrived to bf16 tiles, and takes over their scales.
template <int D>
__device__ __forceinline__ void widen(unsigned char* shared) {
  using L = Layout<D, Kv8>;
  constexpr int runs = D / 16;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < 2 * L::slots)
    reinterpret_cast<float*>(shared + L::scales_at)[thread] =
        reinterpret_cast<const float*>(shared + L::arriving_at + 2 * L::slots * D)[thread];
#pragma unroll 2  // all at once would take the registers of the output
  for (int i = 0; i < 2 * L::slots * runs / block_threads; ++i) {
    const int at = thread + i * block_threads;
    const int part = at / (L::slots * runs), row = at / runs % L::slots, run = at % runs;
    const uint4 bytes = *reinterpret_cast<const uint4*>(shared + L::arriving_at + at * 16);
    unsigned char* tile = shared + L::tiles_at + part * L::tile_bytes;
    *reinterpret_cast<uint4*>(tile + swizzled<D>(row, 2 * run)) =
        make_uint4(bf16_of_bytes<0, 1>(bytes.x), bf16_of_bytes<2, 3>(bytes.x), bf16_of_bytes<0, 1>(bytes.y),
                   bf16_of_bytes<2, 3>(bytes.y));
    *reinterpret_cast<uint4*>(tile + swizzled<D>(row, 2 * run + 1)) =
        make_uint4(bf16_of_bytes<0, 1>(bytes.z), bf16_of_bytes<2, 3>(bytes.z), bf16_of_bytes<0, 1>(bytes.w),
                   bf16_of_bytes<2, 3>(bytes.w));
  }
}

/// s = Q Kᵀ for the warp's 16 rows.
template <int D, int SLOTS>
__device__ __forceinline__ void multiply_keys(const unsigned char* q, const unsigned char* keys,
                                              float (&s)[SLOTS / 8][4]) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
#pragma unroll
  for (int n = 0; n < SLOTS / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) s[n][i] = 0.0f;
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    std::uint32_t a[4];
    gpu::ldmatrix_x4(a, q + swizzled<D>(16 * warp + lane % 16, 2 * k + lane / 16));
#pragma unroll
    for (int n = 0; n < SLOTS / 16; ++n) {
      std::uint32_t b[4];
      gpu::ldmatrix_x4(b, keys + swizzled<D>(16 * n + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
      gpu::mma_bf16(s[2 * n], a, b[0], b[1]);
      gpu::mma_bf16(s[2 * n + 1], a, b[2], b[3]);
    }
  }
}

/// o += P V.
template <int D, int SLOTS>
__device__ __forceinline__ void multiply_values(const std::uint32_t (&p)[SLOTS / 16][4], const unsigned char* values,
                                                float (&o)[D / 8][4]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int k = 0; k < SLOTS / 16; ++k) {
#pragma unroll
    for (int n = 0; n < D / 16; ++n) {
      std::uint32_t b[4];
      gpu::ldmatrix_x4_trans(b, values + swizzled<D>(16 * k + lane % 16, 2 * n + lane / 16));
      gpu::mma_bf16(o[2 * n], p[k], b[0], b[1]);
      gpu::mma_bf16(o[2 * n + 1], p[k], b[2], b[3]);
    }
  }
}

/// Multiplies the columns (slots) by their scales.
template <int SLOTS>
__device__ __forceinline__ void scale_columns(const unsigned char* scales, float (&s)[SLOTS / 8][4]) {
  const float* of_lane = reinterpret_cast<const float*>(scales) + 2 * (threadIdx.x % 4);
#pragma unroll
  for (int n = 0; n < SLOTS / 8; ++n) {
    const auto two = gpu::Vector<float, 2>::load(of_lane + 8 * n);
#pragma unroll
    for (int i = 0; i < 4; ++i) s[n][i] *= two.values[i % 2];
  }
}

/// The maximum and the sum of a row so far; the sum over this lane's columns alone.
struct RowState {
  float largest = minus_infinity();
  float sum = 0.0f;
};

/// Turns scores into weights 2^(scale_log2 * (s - maximum)), rounds them into p, and gives the factor that what was
/// added up before has to be multiplied with. HALF 0: rows g (elements 0 and 1 of the accumulators), 1: rows g + 8.
template <int HALF, int SLOTS>
__device__ __forceinline__ float soften(float (&s)[SLOTS / 8][4], float scale_log2, RowState& row) {
  float largest = row.largest;
#pragma unroll
  for (int n = 0; n < SLOTS / 8; ++n) largest = fmaxf(largest, fmaxf(s[n][2 * HALF], s[n][2 * HALF + 1]));
  largest = gpu::warp_max<4>(largest);
  // A row that has seen no slot yet: every weight is 2^-infinity. The difference is taken before the scale is applied:
  // a maximum that stays gives a factor of exactly 1, whatever its size.
  const float base = largest == minus_infinity() ? 0.0f : largest;
  const float factor = gpu::ex2((row.largest - base) * scale_log2);
  float sum = 0.0f;
#pragma unroll
  for (int n = 0; n < SLOTS / 8; ++n) {
#pragma unroll
    for (int i = 2 * HALF; i < 2 * HALF + 2; ++i) {
      s[n][i] = gpu::ex2((s[n][i] - base) * scale_log2);
      sum += s[n][i];
    }
  }
  row.largest = largest;
  row.sum = fmaf(row.sum, factor, sum);
  return factor;
}

// Two blocks a multiprocessor; where that is the limit of the registers anyway (0), ptxas does better left alone.
template <int D, class Value>
__global__ void __launch_bounds__(block_threads, D == 256 ? 0 : 2) attention_prefill_tiles(Rows in, KvView view) {
  using L = Layout<D, Value>;
  constexpr int slots = L::slots;
  DYN_SHARED(shared);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int kv_head = static_cast<int>(blockIdx.y);
  // The longest rows first: the last blocks to run are the short ones.
  const int first_row = static_cast<int>(gridDim.x - 1 - blockIdx.x) * block_rows;
  const int rows = in.tokens * in.group;
  const int window = view.table_pages * static_cast<int>(kv_page_tokens);
  const int start = max(-1, min(in.first_slot[0], window));
  int last_slot = start + min(rows - 1, first_row + block_rows - 1) / in.group;
  if (start < 0 || last_slot >= window) {
    view.report(kv_fault_beyond_table);
    last_slot = start < 0 ? -1 : window - 1;
  }

  // Queries to shared memory.
#pragma unroll
  for (int i = 0; i < block_rows * (D / 8) / block_threads; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * block_threads, row = at / (D / 8), run = at % (D / 8);
    uint4 eight = make_uint4(0, 0, 0, 0);
    if (first_row + row < rows) {
      const std::int64_t token = (first_row + row) / in.group;
      const int head = kv_head * in.group + (first_row + row) % in.group;
      eight = in.q.eight((token * in.query_heads + head) * D + 8 * run);
    }
    *reinterpret_cast<uint4*>(shared + swizzled<D>(row, run)) = eight;
  }

  int limit[2];  // the last slot of rows g and g + 8
#pragma unroll
  for (int half = 0; half < 2; ++half) limit[half] = start + (first_row + 16 * warp + 8 * half + lane / 4) / in.group;
  const int full_until = start + first_row / in.group;  // no row of the block is masked up to here
  RowState state[2];
  float o[D / 8][4];
#pragma unroll
  for (int n = 0; n < D / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) o[n][i] = 0.0f;

  const int tiles = last_slot / slots + (last_slot >= 0 ? 1 : 0);
  constexpr int tiles_per_page = static_cast<int>(kv_page_tokens) / slots;
  StripWalk walk(view, last_slot >= 0 ? last_slot / static_cast<int>(kv_page_tokens) : -1);
  bool present = walk.now != nullptr, next_present = present;
  if (tiles > 0) begin_copy<D, Value>(view, walk.now, kv_head, 0, last_slot, shared, 0);
  for (int tile = 0; tile < tiles; ++tile) {
    const auto begin_next = [&] {
      if (tile + 1 >= tiles) return;
      if ((tile + 1) % tiles_per_page == 0) walk.turn_to(view, (tile + 1) / tiles_per_page);
      next_present = walk.now != nullptr;
      begin_copy<D, Value>(view, walk.now, kv_head, tile + 1, last_slot, shared, (tile + 1) % L::stages);
    };
    present = next_present;
    gpu::cp_async_wait<0>();
    __syncthreads();  // this tile has arrived, and nobody reads the stage of the one before any more
    if constexpr (!L::is_wide) {
      widen<D>(shared);
      __syncthreads();  // the bf16 tiles are complete, and where the next bytes arrive is free
    }
    begin_next();

    const unsigned char* keys = shared + L::tiles_at + tile % L::stages * L::stage_bytes;
    float s[slots / 8][4];
    multiply_keys<D, slots>(shared, keys, s);
    if constexpr (!L::is_wide) scale_columns<slots>(shared + L::scales_at, s);
    if (!present || (tile + 1) * slots - 1 > full_until) {
#pragma unroll
      for (int n = 0; n < slots / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (!present || tile * slots + 8 * n + 2 * (lane % 4) + i % 2 > min(limit[i / 2], last_slot))
            s[n][i] = minus_infinity();
    }
    const float factor[2] = {soften<0, slots>(s, in.scale_log2, state[0]),
                             soften<1, slots>(s, in.scale_log2, state[1])};
    if (__any_sync(0xFFFFFFFFu, factor[0] != 1.0f || factor[1] != 1.0f)) {
#pragma unroll
      for (int n = 0; n < D / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) o[n][i] *= factor[i / 2];
    }
    if constexpr (!L::is_wide) scale_columns<slots>(shared + L::scales_at + slots * 4, s);
    std::uint32_t p[slots / 16][4];
#pragma unroll
    for (int n = 0; n < slots / 8; ++n) {
      p[n / 2][n % 2 * 2] = gpu::pack_bf16(s[n][0], s[n][1]);
      p[n / 2][n % 2 * 2 + 1] = gpu::pack_bf16(s[n][2], s[n][3]);
    }
    multiply_values<D, slots>(p, keys + L::tile_bytes, o);
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float inverse = 1.0f / gpu::warp_sum<4>(state[half].sum);
    const int row = first_row + 16 * warp + 8 * half + lane / 4;
    if (row >= rows) continue;
    const std::int64_t token = row / in.group;
    const std::int64_t out_row = token * in.query_heads + kv_head * in.group + row % in.group;
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
      in.out.store(out_row, D, 8 * n + 2 * (lane % 4), o[n][2 * half] * inverse, o[n][2 * half + 1] * inverse);
  }
}

bool is_aligned(const std::byte* address) {
  return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
}

}  // namespace

void require_attention(const char* operation, ConstTensor q, const KvPages& pages, float scale, ConstTensor gate,
                       ConstTensor out) {
  require_pages(operation, pages);
  const std::int64_t heads = pages.layout.heads, dim = pages.layout.head_dim;
  const auto is_float = [](const ConstTensor& x) { return x.type == DType::f32 || x.type == DType::bf16; };
  require(
      is_float(q) && is_float(out) && q.rank == 3 && same_shape(q, out) && is_aligned(q.data) && is_aligned(out.data),
      operation, {{"q", q}, {"out", out}}, "expected one shape [T, Hq, D], F32 or BF16, aligned to 16 bytes");
  require(q.dim(2) == dim && q.dim(1) > 0 && q.dim(1) % heads == 0, operation, {{"q", q}},
          "does not fit " + std::to_string(heads) + " KV heads of " + std::to_string(dim));
  require(dim == 64 || dim == 128 || dim == 256, operation, {{"q", q}}, "expected heads of 64, 128 or 256");
  require(!gate || (is_f32(gate, 3) && gate.dim(0) == q.dim(0) && gate.dim(1) == q.dim(1) &&
                    (gate.dim(2) == dim || gate.dim(2) == 2 * dim) && is_aligned(gate.data)),
          operation, {{"q", q}, {"gate", gate}}, "expected a gate [T, Hq, D] or [T, Hq, 2D], aligned to 16 bytes");
  require(scale > 0, operation, {{"q", q}}, "expected a scale above 0");
}

void attention_prefill(Queue& queue, ConstTensor q, const KvPages& pages, ConstTensor first_slot, float scale,
                       ConstTensor gate, Tensor out) {
  require_attention("attention_prefill", q, pages, scale, gate, out);
  const std::int64_t tokens = q.dim(0), group = q.dim(1) / pages.layout.heads;
  require(first_slot.type == DType::i32 && first_slot.rank == 1 && first_slot.dim(0) == 1 && pages.sequences() == 1,
          "attention_prefill", {{"first_slot", first_slot}, {"tables", pages.tables}},
          "expected one sequence and first_slot [1] of I32");
  require(tokens <= pages.window() && tokens * group <= INT32_MAX - block_rows, "attention_prefill", {{"q", q}},
          "more tokens than the table has slots");
  if (tokens == 0) return;
  const Rows rows{QueryRows(q),
                  GatedRows(out, gate),
                  reinterpret_cast<const std::int32_t*>(first_slot.data),
                  static_cast<int>(tokens),
                  static_cast<int>(q.dim(1)),
                  static_cast<int>(group),
                  scale * 1.4426950408889634f};
  const dim3 grid(static_cast<unsigned>((tokens * group + block_rows - 1) / block_rows),
                  static_cast<unsigned>(pages.layout.heads));
  const auto launch = [&]<int D, class Value>() {
    return LAUNCH((attention_prefill_tiles<D, Value>), grid, block_threads,
                  static_cast<std::size_t>(Layout<D, Value>::shared_bytes), queue.stream(), rows, KvView(pages));
  };
  const auto of_kind = [&]<int D>() {
    return pages.layout.kind == KvKind::bf16 ? launch.template operator()<D, Kv16>()
                                             : launch.template operator()<D, Kv8>();
  };
  const std::int64_t dim = pages.layout.head_dim;
  check(dim == 256   ? of_kind.template operator()<256>()
        : dim == 128 ? of_kind.template operator()<128>()
                     : of_kind.template operator()<64>(),
        "attention_prefill");
}

}  // namespace lectern::kernels::cuda

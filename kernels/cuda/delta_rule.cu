// Plan.
//   Everything that does not need the state is computed for all chunks at once (delta_chunks). What is left per chunk:
//     D = inverse (V - diag(e^G) K S),   O = diag(e^G) Q S + scores D,   S <- e^G64 S + Kᵀ diag(e^(G64 - G)) D
//   Against the usual form with w and u (D = u - w S) this costs 2 of 8 products less, keeps K exact in bf16, and
//   forms the update from a difference instead of subtracting two large products.
//   Columns of the state never meet, and everything is computed transposed, so Sᵀ (16 columns of the head's values by
//   key dimensions) lives in the accumulators of a warp from the first chunk to the last: accumulators of one product
//   are the left factor of the next (Sᵀ Kᵀ, Sᵀ Qᵀ, Rᵀ inverseᵀ, Dᵀ scoresᵀ, Dᵀ K), with no way through shared memory.
//   Block: 32 columns of one head, 4 warps: two groups of 16 columns, and in each two warps that halve the key
//   dimensions of the state. A pair meets twice a chunk: to add its halves of Sᵀ Kᵀ and Sᵀ Qᵀ, and to exchange D, of
//   which each computes half the tokens (blocks of 16 tokens 0 and 3, or 1 and 2: equal work under the diagonal).
//   So 512 warps work on one sequence at Qwen3-Next-80B (32 heads of 128), one for each of the H100's 528 tensor cores.
//   f32 factors are split in two bf16; products of two such take three products of the tensor cores, others two.
//   Copies of the next chunk's tiles (keys twice, all else as soon as its last reader is done) run behind the products;
//   the two meetings of the pairs are the barriers that free the tiles. 97 KB of shared memory: one block an SM on
//   8.6, 8.9 and 12.0 (99 KB), two on 8.0 and 9.0.
//   Chunk after chunk is a chain, so a chunk's time is what counts: 252 products m16n8k16 a warp, 1,640 cycles at 6.5
//   cycles each (the rate that mma.sync reaches on the H100), and 400 for barriers, splits and the chain of three
//   products: 1.2 us at 1.75 GHz. 32,768 tokens: 0.6 ms, and 0.11 ms for delta_chunks: 270 TFLOP/s in the usual count
//   (5.85 MFLOP a token and layer); designed for half of that, 135. FLA reaches 102, FlashInfer 124, FlashQLA 219
//   (H200). Bytes of a chunk and head: 104 KB in memory without any cache (1.7 GB for 32,768 tokens: 0.5 ms, behind the
//   products), 250 KB from the second-level cache.
//   The sequence is split over blocks as far as bits allow: a scan over pieces of it would give a state bits that
//   depend on where pieces begin, and dropping decayed states (FlashQLA) bits that depend on the data in front.
//   Chunks go in groups of 64 so that what delta_chunks leaves for a group stays in the second-level cache (43 MB).
// hot: scan_chunks
#include "kernels/cuda/delta_rule.h"

#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/delta_step.h"
#include "kernels/cuda/delta_tiles.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/state_snapshots.h"
#include "kernels/cuda/tensor_access.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 128;
constexpr int block_columns = 32;  // of the values of one head
constexpr int value_pieces = block_columns * 2 / 16;
constexpr std::int64_t group_chunks = 64;

/// A chunk's tokens, and the snapshots to be taken behind it; I32 [N, 4] on the device.
struct Chunk {
  std::int32_t first = 0, count = 0, first_snapshot = 0, snapshots = 0;
};

struct Arguments {
  const int4* chunks;
  float* const* snapshots;
  const uint4 *inverse, *scores;
  const float* decays;
  float *state, *out;
  int chunk_count, key_heads, value_heads, value_dim, group, tiled_heads;  // `group` value heads share a key head
};

struct Shared {
  unsigned char keys[2][key_tile_bytes];  // of this chunk and the next
  unsigned char queries[key_tile_bytes];
  unsigned char values[chunk_tokens * block_columns * 2];
  uint4 inverse[triangle_bytes / 16];
  uint4 scores[triangle_bytes / 16];
  float decays[2][2][chunk_tokens];
  // Between the two warps of a pair; a lane reads what the same lane of the other wrote.
  float4 recalled[4][8][32];  // [warp]: its half of Sᵀ Kᵀ; then [warp]: the other warp's D, four values each
  float4 answered[4][4][32];  // [warp]: its half of Sᵀ Qᵀ for the other's tokens
};
static_assert(sizeof(Shared) <= 99 * 1024, "what devices of compute capability 8.6, 8.9 and 12.0 have");

__device__ __forceinline__ unsigned char* value_tile(unsigned char* tile, int row, int piece) {
  return tile + (row * value_pieces + (piece ^ (row >> 1 & 3))) * 16;
}
__device__ __forceinline__ float4 vector_of(const float (&x)[4]) {
  return make_float4(x[0], x[1], x[2], x[3]);
}
__device__ __forceinline__ void add_to(float (&x)[4], const float4& y) {
  x[0] += y.x;
  x[1] += y.y;
  x[2] += y.z;
  x[3] += y.w;
}

/// c += a b with a = high + low, b exact: two neighbouring accumulators [16, 8], products of one apart from each other.
template <int TILES>
__device__ __forceinline__ void multiply(float (&c)[TILES][4], const std::uint32_t (&a)[4],
                                         const std::uint32_t (*b)[4]) {
#pragma unroll
  for (int n = 0; n < TILES; ++n) gpu::mma_bf16(c[n], a, b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
}

/// A lane's part of the columns of Sᵀ that its warp owns: accumulator i of tile n is column g + 8 (i / 2), key
/// dimension 64 half + 8 n + 2 t + i % 2.
template <class Body>
__device__ __forceinline__ void for_state(float (&s)[8][4], std::int64_t value_dim, int half, Body body) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int n = 0; n < 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::int64_t row = 64 * half + 8 * n + 2 * (lane % 4) + i % 2;
      body(s[n][i], row * value_dim + lane / 4 + 8 * (i / 2));
    }
}

__global__ void __launch_bounds__(block_threads)
    scan_chunks(Arguments p, const gpu::bf16* __restrict__ q, const gpu::bf16* __restrict__ k,
                const gpu::bf16* __restrict__ v) {
  DYN_SHARED(bytes);
  Shared& shared = *reinterpret_cast<Shared*>(bytes);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32, t = lane % 4;
  const int half = warp % 2, other = warp ^ 1;  // of the key dimensions, and the warp that has the rest
  const int blocks[2] = {half, 3 - half};       // of 16 tokens whose D and O this warp computes
  const int head = static_cast<int>(blockIdx.y);
  const int key_head = p.tiled_heads ? head % p.key_heads : head / p.group;
  const int column = static_cast<int>(blockIdx.x) * block_columns;  // the block's first
  const int own_column = column + warp / 2 * 16;                    // the warp's first
  const std::int64_t key_stride = static_cast<std::int64_t>(p.key_heads) * chunk_key_dim;
  const std::int64_t value_stride = static_cast<std::int64_t>(p.value_heads) * p.value_dim;
  const std::int64_t head_values = static_cast<std::int64_t>(head) * p.value_dim;
  const std::int64_t state_offset = head_values * chunk_key_dim + own_column;

  const auto load_keys = [&](int c) {
    const int4 chunk = p.chunks[c];
    load_key_tile<block_threads>(shared.keys[c & 1], k + chunk.x * key_stride + key_head * chunk_key_dim, key_stride,
                                 chunk.y);
    constexpr int pieces = 2 * chunk_tokens / 4;
    if (thread < pieces)
      gpu::cp_async16(&shared.decays[c & 1][0][0] + 4 * thread,
                      p.decays + (static_cast<std::int64_t>(c) * p.value_heads + head) * 2 * chunk_tokens + 4 * thread);
  };
  const auto load_queries = [&](int c) {
    const int4 chunk = p.chunks[c];
    load_key_tile<block_threads>(shared.queries, q + chunk.x * key_stride + key_head * chunk_key_dim, key_stride,
                                 chunk.y);
  };
  const auto load_triangle = [&](uint4* to, const uint4* triangles, int c) {
    const uint4* from = triangles + (static_cast<std::int64_t>(c) * p.value_heads + head) * (triangle_bytes / 16);
#pragma unroll
    for (int i = thread; i < triangle_bytes / 16; i += block_threads) gpu::cp_async16(to + i, from + i);
  };
  const auto load_values = [&](int c) {
    const int4 chunk = p.chunks[c];
#pragma unroll
    for (int i = 0; i < chunk_tokens * value_pieces / block_threads; ++i) {
      const int index = thread + block_threads * i, row = index / value_pieces, piece = index % value_pieces;
      const bool exists = row < chunk.y;
      gpu::cp_async16_zfill(value_tile(shared.values, row, piece),
                            v + (chunk.x + (exists ? row : 0)) * value_stride + head_values + column + piece * 8,
                            exists ? 16 : 0);
    }
    load_triangle(shared.inverse, p.inverse, c);
  };

  float s[8][4];
  for_state(s, p.value_dim, half, [&](float& value, std::int64_t at) { value = p.state[state_offset + at]; });
  load_keys(0);
  load_queries(0);
  gpu::cp_async_commit();
  load_values(0);
  gpu::cp_async_commit();

  for (int c = 0; c < p.chunk_count; ++c) {
    const int4 chunk = p.chunks[c];
    const bool has_next = c + 1 < p.chunk_count;
    unsigned char* keys = shared.keys[c & 1];
    const float *from_start = shared.decays[c & 1][0], *to_end = shared.decays[c & 1][1];
    gpu::cp_async_wait<1>();  // this chunk's keys and queries; its values may be on their way
    __syncthreads();
    load_triangle(shared.scores, p.scores, c);
    if (has_next) load_keys(c + 1);
    gpu::cp_async_commit();

    // Sᵀ Kᵀ and Sᵀ Qᵀ over this warp's key dimensions: 16 columns by 64 tokens each.
    float recalled[8][4] = {}, answered[8][4] = {};
    // Fragments are loaded a step ahead: there is no other warp to compute while this one waits.
    std::uint32_t key_rows[2][4][4], query_rows[2][4][4];
    const auto load_step = [&](int step) {
#pragma unroll
      for (int block = 0; block < 4; ++block) {
        load_right_by_dimension(key_rows[step % 2][block], keys, 16 * block, 8 * half + 2 * step);
        load_right_by_dimension(query_rows[step % 2][block], shared.queries, 16 * block, 8 * half + 2 * step);
      }
    };
    load_step(0);
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      if (step + 1 < 4) load_step(step + 1);
      std::uint32_t high[4], low[4];
      split_left(s[2 * step], s[2 * step + 1], high, low);
      multiply(recalled, high, key_rows[step % 2]);
      multiply(answered, high, query_rows[step % 2]);
      multiply(recalled, low, key_rows[step % 2]);
      multiply(answered, low, query_rows[step % 2]);
    }
    // Half 0 answers for blocks 0 and 3, half 1 for 1 and 2.
    float out[2][2][4];
#pragma unroll
    for (int n = 0; n < 8; ++n) shared.recalled[warp][n][lane] = vector_of(recalled[n]);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        out[0][n][i] = half == 0 ? answered[n][i] : answered[2 + n][i];
        out[1][n][i] = half == 0 ? answered[6 + n][i] : answered[4 + n][i];
      }
      shared.answered[warp][n][lane] = half == 0 ? vector_of(answered[2 + n]) : vector_of(answered[n]);
      shared.answered[warp][2 + n][lane] = half == 0 ? vector_of(answered[4 + n]) : vector_of(answered[6 + n]);
    }
    gpu::cp_async_wait<1>();  // this chunk's values and inverse
    __syncthreads();
    if (has_next) load_queries(c + 1);
    gpu::cp_async_commit();

    // Dᵀ = (V - diag(e^G) K S)ᵀ inverseᵀ for this warp's tokens. Products of high halves apart from the others: more
    // chains that do not wait for each other.
    float updates[2][2][4] = {}, rests[2][2][4] = {};
#pragma unroll
    for (int block = 0; block < 4; ++block) {
      std::uint32_t value_rows[4], high[4], low[4];
      gpu::ldmatrix_x4_trans(
          value_rows, value_tile(shared.values, 16 * block + lane / 16 * 8 + lane % 8, warp / 2 * 2 + lane / 8 % 2));
      float difference[2][4];
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        add_to(recalled[2 * block + n], shared.recalled[other][2 * block + n][lane]);
        const int token = 16 * block + 8 * n + 2 * t;
        const float decays[2] = {from_start[token], from_start[token + 1]};
#pragma unroll
        for (int below = 0; below < 2; ++below) {
          const float2 values = gpu::unpack_bf16(value_rows[2 * n + below]);
          difference[n][2 * below] = fmaf(-decays[0], recalled[2 * block + n][2 * below], values.x);
          difference[n][2 * below + 1] = fmaf(-decays[1], recalled[2 * block + n][2 * below + 1], values.y);
        }
      }
      split_left(difference[0], difference[1], high, low);
#pragma unroll
      for (int own = 0; own < 2; ++own) {
        if (block > blocks[own]) continue;
        const uint4* inverse = shared.inverse + triangle_block(blocks[own], block) * 64 + lane;
        const uint4 inverse_high = inverse[0], inverse_low = inverse[32];
        gpu::mma_bf16(updates[own][0], high, inverse_high.x, inverse_high.y);
        gpu::mma_bf16(updates[own][1], high, inverse_high.z, inverse_high.w);
        gpu::mma_bf16(rests[own][0], low, inverse_high.x, inverse_high.y);
        gpu::mma_bf16(rests[own][1], low, inverse_high.z, inverse_high.w);
        gpu::mma_bf16(rests[own][0], high, inverse_low.x, inverse_low.y);
        gpu::mma_bf16(rests[own][1], high, inverse_low.z, inverse_low.w);
      }
    }
    // To where only this warp has read: the other's half of Sᵀ Kᵀ.
#pragma unroll
    for (int own = 0; own < 2; ++own)
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) updates[own][n][i] += rests[own][n][i];
        shared.recalled[other][2 * own + n][lane] = vector_of(updates[own][n]);
        add_to(out[own][n], shared.answered[other][2 * own + n][lane]);
        const int token = 16 * blocks[own] + 8 * n + 2 * t;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          out[own][n][i] *= from_start[token + i % 2];
          rests[own][n][i] = 0.0f;
        }
      }
    const auto load_keys_of = [&](int block) {
#pragma unroll
      for (int n = 0; n < 4; ++n) load_right_by_token(key_rows[block % 2][n], keys, 16 * block, 8 * half + 2 * n);
    };
    load_keys_of(0);
    gpu::cp_async_wait<1>();  // this chunk's scores, the next one's keys
    __syncthreads();
    if (has_next) load_values(c + 1);
    gpu::cp_async_commit();

    // O += scores D for this warp's tokens; S <- e^G64 S + Kᵀ diag(e^(G64 - G)) D for its key dimensions.
    const float chunk_decay = from_start[chunk_tokens - 1];
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) s[n][i] *= chunk_decay;
#pragma unroll
    for (int block = 0; block < 4; ++block) {
      std::uint32_t high[4], low[4];
      if (block + 1 < 4) load_keys_of(block + 1);
      // Block 0 and 3 are those of half 0, which put them where half 1's products were.
      const int from = warp / 2 * 2 + (block == 0 || block == 3 ? 1 : 0);
      float d[2][4];
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const float4 values = shared.recalled[from][block / 2 * 2 + n][lane];
        d[n][0] = values.x;
        d[n][1] = values.y;
        d[n][2] = values.z;
        d[n][3] = values.w;
      }
      split_left(d[0], d[1], high, low);
#pragma unroll
      for (int own = 0; own < 2; ++own) {
        if (block > blocks[own]) continue;
        const uint4* scores = shared.scores + triangle_block(blocks[own], block) * 64 + lane;
        const uint4 scores_high = scores[0], scores_low = scores[32];
        gpu::mma_bf16(out[own][0], high, scores_high.x, scores_high.y);
        gpu::mma_bf16(out[own][1], high, scores_high.z, scores_high.w);
        gpu::mma_bf16(rests[own][0], low, scores_high.x, scores_high.y);
        gpu::mma_bf16(rests[own][1], low, scores_high.z, scores_high.w);
        gpu::mma_bf16(rests[own][0], high, scores_low.x, scores_low.y);
        gpu::mma_bf16(rests[own][1], high, scores_low.z, scores_low.w);
      }
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) d[n][i] *= to_end[16 * block + 8 * n + 2 * t + i % 2];
      split_left(d[0], d[1], high, low);
      multiply(s, high, key_rows[block % 2]);
      multiply(s, low, key_rows[block % 2]);
    }
#pragma unroll
    for (int own = 0; own < 2; ++own)
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int token = 16 * blocks[own] + 8 * n + 2 * t + i % 2;
          if (token < chunk.y)
            p.out[(chunk.x + token) * value_stride + head_values + own_column + lane / 4 + 8 * (i / 2)] =
                out[own][n][i] + rests[own][n][i];
        }
    for (int i = 0; i < chunk.w; ++i) {
      float* snapshot = p.snapshots[chunk.z + i] + state_offset;
      for_state(s, p.value_dim, half, [&](float& value, std::int64_t at) { snapshot[at] = value; });
    }
  }
  for_state(s, p.value_dim, half, [&](float& value, std::int64_t at) { p.state[state_offset + at] = value; });
}

constexpr std::int64_t tile_bytes = 2 * triangle_bytes + 2 * chunk_tokens * 4;  // of a chunk and value head

std::int64_t whole_chunks(std::int64_t tokens) {
  return (tokens + chunk_tokens - 1) / chunk_tokens;
}
std::int64_t aligned(std::int64_t size_bytes) {
  return (size_bytes + 255) / 256 * 256;
}
std::int64_t workspace_for(std::int64_t chunks, std::int64_t snapshots, std::int64_t value_heads) {
  return aligned(chunks * static_cast<std::int64_t>(sizeof(Chunk))) +
         aligned(snapshots * static_cast<std::int64_t>(sizeof(float*))) +
         std::min(chunks, group_chunks) * value_heads * tile_bytes;
}

/// The grid of chunks, with the snapshots at their ends.
std::vector<Chunk> chunk_grid(std::int64_t tokens, std::span<const std::int64_t> segment_starts,
                              std::span<const std::int64_t> snapshot_offsets, const ConstTensor& q) {
  std::vector<Chunk> chunks;
  std::size_t next_start = 0, next_snapshot = 0;
  for (std::int64_t first = 0; first < tokens;) {
    while (next_start < segment_starts.size() && segment_starts[next_start] <= first) ++next_start;
    std::int64_t end = std::min(first + chunk_tokens, tokens);
    if (next_start < segment_starts.size()) end = std::min(end, segment_starts[next_start]);
    Chunk chunk;
    chunk.first = static_cast<std::int32_t>(first);
    chunk.count = static_cast<std::int32_t>(end - first);
    chunk.first_snapshot = static_cast<std::int32_t>(next_snapshot);
    for (; next_snapshot < snapshot_offsets.size() && snapshot_offsets[next_snapshot] <= end; ++next_snapshot)
      require(snapshot_offsets[next_snapshot] == end, "delta_rule", {{"q", q}},
              "snapshot offset " + std::to_string(snapshot_offsets[next_snapshot]) + " is not at the end of a chunk");
    chunk.snapshots = static_cast<std::int32_t>(next_snapshot) - chunk.first_snapshot;
    chunks.push_back(chunk);
    first = end;
  }
  return chunks;
}

/// `count` rows of the first axis from `first` on.
ConstTensor rows(ConstTensor x, std::int64_t first, std::int64_t count) {
  x.data += x.size_bytes() / x.dim(0) * first;
  x.shape[0] = count;
  return x;
}

/// Shapes that the chunked form does not take: the recurrent one, in one pass up to each snapshot.
void run_recurrent(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                   DeltaHeads heads, Tensor state, std::span<const std::int64_t> snapshot_offsets,
                   std::span<const Tensor> snapshots, Tensor out) {
  const auto run = [&](std::int64_t first, std::int64_t last) {
    if (first == last) return;
    Tensor part = out;
    part.data += out.size_bytes() / out.dim(0) * first;
    part.shape[0] = last - first;
    delta_step(queue, rows(q, first, last - first), rows(k, first, last - first), rows(v, first, last - first),
               rows(g, first, last - first), rows(beta, first, last - first), heads, state, part);
  };
  std::int64_t done = 0;
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    run(done, snapshot_offsets[i]);
    done = snapshot_offsets[i];
    copy_on_device(queue, snapshots[i].data, state.data, state.size_bytes());
  }
  run(done, q.dim(0));
}

void run_chunked(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                 DeltaHeads heads, const std::vector<Chunk>& chunks, Tensor state, std::span<const Tensor> snapshots,
                 Tensor out) {
  const auto count = static_cast<std::int64_t>(chunks.size());
  const auto snapshot_count = static_cast<std::int64_t>(snapshots.size());
  const std::int64_t value_heads = v.dim(1), group = std::min(count, group_chunks);
  std::byte* place = queue.workspace(workspace_for(count, snapshot_count, value_heads));
  const auto take = [&](std::int64_t size_bytes) {
    std::byte* taken = place;
    place += aligned(size_bytes);
    return taken;
  };
  std::byte* grid_data = take(count * static_cast<std::int64_t>(sizeof(Chunk)));
  std::byte* snapshot_data = take(snapshot_count * static_cast<std::int64_t>(sizeof(float*)));
  const DeltaChunkTiles tiles{
      Tensor(take(group * value_heads * triangle_bytes), DType::bf16, {group, value_heads, delta_triangle_blocks, 512}),
      Tensor(take(group * value_heads * triangle_bytes), DType::bf16, {group, value_heads, delta_triangle_blocks, 512}),
      Tensor(take(group * value_heads * 2 * chunk_tokens * 4), DType::f32, {group, value_heads, 2, chunk_tokens})};
  copy_to_device(queue, grid_data, chunks.data(), count * static_cast<std::int64_t>(sizeof(Chunk)));
  std::vector<float*> addresses;
  for (const Tensor& snapshot : snapshots) addresses.push_back(floats(snapshot));
  if (snapshot_count > 0)
    copy_to_device(queue, snapshot_data, addresses.data(), snapshot_count * static_cast<std::int64_t>(sizeof(float*)));

  Arguments p{};
  p.snapshots = reinterpret_cast<float* const*>(snapshot_data);
  p.inverse = reinterpret_cast<const uint4*>(tiles.inverse.data);
  p.scores = reinterpret_cast<const uint4*>(tiles.scores.data);
  p.decays = floats(tiles.decays);
  p.state = floats(state);
  p.out = floats(out);
  p.key_heads = static_cast<int>(q.dim(1));
  p.value_heads = static_cast<int>(value_heads);
  p.value_dim = static_cast<int>(v.dim(2));
  p.group = p.value_heads / p.key_heads;
  p.tiled_heads = heads == DeltaHeads::tiled ? 1 : 0;
  const dim3 grid(static_cast<unsigned>(p.value_dim / block_columns), static_cast<unsigned>(p.value_heads));
  const auto data = [](const ConstTensor& x) { return reinterpret_cast<const gpu::bf16*>(x.data); };
  for (std::int64_t first = 0; first < count; first += group) {
    const std::int64_t here = std::min(group, count - first);
    const ConstTensor these(grid_data + first * static_cast<std::int64_t>(sizeof(Chunk)), DType::i32, {here, 4});
    delta_chunks(queue, q, k, g, beta, heads, these, tiles);
    p.chunks = reinterpret_cast<const int4*>(these.data);
    p.chunk_count = static_cast<int>(here);
    check(LAUNCH(scan_chunks, grid, block_threads, sizeof(Shared), queue.stream(), p, data(q), data(k), data(v)),
          "delta_rule");
  }
}

}  // namespace

std::int64_t delta_rule_workspace(std::int64_t tokens, std::int64_t value_heads) {
  return workspace_for(whole_chunks(tokens), 0, value_heads) + 512;
}

void delta_rule(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                DeltaHeads heads, std::span<const std::int64_t> segment_starts, Tensor state,
                std::span<const std::int64_t> snapshot_offsets, std::span<const Tensor> snapshots, Tensor out) {
  const bool types = q.type == DType::bf16 && k.type == DType::bf16 && v.type == DType::bf16 && q.rank == 3 &&
                     v.rank == 3 && is_f32(out, 3) && is_f32(g, 2) && is_f32(beta, 2) && is_f32(state, 3);
  const bool fits = types && same_shape(q, k) && same_shape(v, out) && same_shape(g, beta) && q.dim(0) == v.dim(0) &&
                    g.dim(0) == v.dim(0) && g.dim(1) == v.dim(1) && q.dim(1) > 0 && v.dim(1) % q.dim(1) == 0 &&
                    state.dim(0) == v.dim(1) && state.dim(1) == q.dim(2) && state.dim(2) == v.dim(2) &&
                    state.elements() > 0 && q.dim(0) < (std::int64_t{1} << 31);
  require(fits, "delta_rule", {{"q", q}, {"k", k}, {"v", v}, {"g", g}, {"beta", beta}, {"state", state}, {"out", out}},
          "expected q, k BF16 [T, Hk, Dk], v BF16 [T, Hv, Dv], out F32 [T, Hv, Dv], g, beta F32 [T, Hv], state F32 "
          "[Hv, Dk, Dv], Hv a multiple of Hk");
  const std::int64_t tokens = q.dim(0);
  std::int64_t before = 0;
  for (const std::int64_t start : segment_starts) {
    require(start >= before && start < tokens, "delta_rule", {{"q", q}},
            "segment start " + std::to_string(start) + " is out of order or outside the tokens");
    before = start;
  }
  require_snapshots("delta_rule", tokens, state, snapshot_offsets, snapshots);
  const std::vector<Chunk> chunks = chunk_grid(tokens, segment_starts, snapshot_offsets, q);
  if (tokens == 0) return;
  if (q.dim(2) != delta_chunk_key_dim || v.dim(2) % block_columns != 0)
    return run_recurrent(queue, q, k, v, g, beta, heads, state, snapshot_offsets, snapshots, out);
  require(are_aligned({q.data, k.data, v.data}), "delta_rule", {{"q", q}, {"k", k}, {"v", v}},
          "q, k and v are aligned to 16 bytes");
  run_chunked(queue, q, k, v, g, beta, heads, chunks, state, snapshots, out);
}

}  // namespace lectern::kernels::cuda

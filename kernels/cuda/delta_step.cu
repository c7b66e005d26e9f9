// Plan.
//   A warp owns eight columns of one head's state, all Dk rows of them, in registers from the first token to the last:
//   lane l has rows l % 16 + 16 i of four columns, so a load of a warp takes sixteen pieces of 32 bytes. Columns never
//   meet, so warps never wait for each other; a block is two warps, 16 columns, and the barrier in it is only for the
//   vectors that both stage in shared memory (k, q, v, decays, up to eight tokens at once).
//   For a token: Sᵀk and Sᵀq of the old state in one pass over the registers, one sum over the 16 lanes of a column
//   group for both (eight values, halved with each exchange: 8 shuffles, not 32), then
//     d = beta (v - e^g Sᵀk),  o = e^g Sᵀq + (k·q) d,  S <- e^g S + k dᵀ,
//   so the chain from token to token is one reduction, 4 broadcasts and one pass of multiply-adds: about 300 cycles.
//   With a ring the accepted rows of the last pass go first (S <- e^g S + k dᵀ: the same operations, hence the same
//   bits) and the state is written in between: one read and one write of the state a pass, whatever was accepted.
//   Bytes at Qwen3-Next-80B (32 heads of 128 x 128): 2.1 MB read and 2.1 MB written a layer: 1.25 us at the H100's
//   3.35 TB/s, 2.3 us on an RTX 5090; the vectors are 33 KB a token. FLOPs: 4 a state value and token, nothing at one
//   token; at eight tokens the chain (8 x 300 cycles, 1.4 us) is as long as the transfer.
//   512 warps for one sequence, four on each of the H100's SMs, each with 4 KB of loads in flight: 16 KB an SM are
//   what the latency asks for. Designed for 65 % of the limit; llama.cpp reaches 8 to 10 %, FlashInfer 3.5 to 4 us on
//   a B200 (13 %).
// hot: run_columns
#include "kernels/cuda/delta_step.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/tensor_access.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 64;
constexpr int row_lanes = 16;    // lanes that share a column group's rows
constexpr int lane_columns = 4;  // columns of a lane
constexpr int block_columns = 2 * (32 / row_lanes) * lane_columns;
constexpr int staged_tokens = 8;
constexpr std::int64_t longest_key = 256;
constexpr std::int64_t ring_rows = 16, ring_pass_tokens = 8;

struct Arguments {  // without padding, which would carry whatever lay on the stack
  const float *g, *beta;
  float *state, *out;
  std::int64_t tokens;
  int key_heads, value_heads, key_dim, value_dim;
  int tiled_heads, ring_size;
  float *ring_k, *ring_d, *ring_decay;  // null without a ring
  const std::int32_t* positions;
};

using Columns = gpu::Vector<float, lane_columns>;

/// Four columns from a row; those at `count` and beyond, which lie outside the matrix, as zeros.
template <bool WHOLE, class In>
__device__ __forceinline__ Columns load_columns(const In* row, int count) {
  Columns columns;
  if constexpr (WHOLE) {
    gpu::to_floats(gpu::Vector<In, lane_columns>::load(row), columns.values);
  } else {
#pragma unroll
    for (int i = 0; i < lane_columns; ++i) columns.values[i] = i < count ? gpu::to_float(row[i]) : 0.0f;
  }
  return columns;
}
template <bool WHOLE>
__device__ __forceinline__ void store_columns(float* row, const Columns& columns, int count) {
  if constexpr (WHOLE) {
    columns.store(row);
  } else {
#pragma unroll
    for (int i = 0; i < lane_columns; ++i)
      if (i < count) row[i] = columns.values[i];
  }
}

/// Sum of eight values over groups of 16 lanes. Lane l gets that of value 4 (l >> 3 & 1) + 2 (l >> 2 & 1) + (l >> 1 &
/// 1).
__device__ __forceinline__ float sum_of_eight(float (&values)[8]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int step = 8, half = 4; half > 0; step /= 2, half /= 2) {
    const bool upper = lane & step;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float keep = upper ? values[half + i] : values[i], give = upper ? values[i] : values[half + i];
      values[i] = keep + __shfl_xor_sync(0xFFFFFFFFu, give, step);
    }
  }
  return values[0] + __shfl_xor_sync(0xFFFFFFFFu, values[0], 1);
}

/// ROWS * 16 is at least Dk. WHOLE: Dv is a multiple of 16 and all rows are aligned to four values.
template <int ROWS, bool WHOLE, class In>
__global__ void __launch_bounds__(block_threads, 4)  // there are two blocks an SM: registers need not be saved
    run_columns(Arguments p, const In* __restrict__ q, const In* __restrict__ k, const In* __restrict__ v) {
  SHARED_ARRAY(float, keys, [staged_tokens][ROWS * row_lanes]);
  SHARED_ARRAY(float, queries, [staged_tokens][ROWS * row_lanes]);
  SHARED_ARRAY(float, values, [staged_tokens][block_columns]);  // v, or d of a replay
  SHARED_ARRAY(float, decays, [staged_tokens]);
  SHARED_ARRAY(float, betas, [staged_tokens]);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, row_lane = lane % row_lanes;
  const int head = static_cast<int>(blockIdx.y);
  const int group = p.value_heads / p.key_heads;
  const int key_head = p.tiled_heads ? head % p.key_heads : head / group;
  const bool writes_keys = blockIdx.x == 0 && (p.tiled_heads ? head < p.key_heads : head % group == 0);
  const int block_column = static_cast<int>(blockIdx.x) * block_columns;
  const int local_column = thread / row_lanes * lane_columns;                      // within the block
  const int column = block_column + local_column, columns = p.value_dim - column;  // to the end of the matrix
  float* state = p.state + static_cast<std::int64_t>(head) * p.key_dim * p.value_dim + column;

  Columns s[ROWS];
#pragma unroll
  for (int i = 0; i < ROWS; ++i) {
    const int row = row_lane + row_lanes * i;
    s[i] = Columns{};
    if (row < p.key_dim) s[i] = load_columns<WHOLE>(state + static_cast<std::int64_t>(row) * p.value_dim, columns);
  }
  const auto write_state = [&] {
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
      const int row = row_lane + row_lanes * i;
      if (row < p.key_dim) store_columns<WHOLE>(state + static_cast<std::int64_t>(row) * p.value_dim, s[i], columns);
    }
  };
  const auto update = [&](int t, float decay, const float(&d)[lane_columns]) {
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
      const float key = keys[t][row_lane + row_lanes * i];
#pragma unroll
      for (int c = 0; c < lane_columns; ++c) s[i].values[c] = fmaf(key, d[c], decay * s[i].values[c]);
    }
  };

  const std::int64_t key_stride = static_cast<std::int64_t>(p.key_heads) * p.key_dim;
  const std::int64_t value_stride = static_cast<std::int64_t>(p.value_heads) * p.value_dim;
  const auto ring_row = [&](int position) { return static_cast<std::int64_t>(position % p.ring_size); };
  int position = 0;
  if (p.positions) {
    position = p.positions[1];
    const int base = p.positions[0], accepted = max(0, min(position - base, staged_tokens));
    for (int i = thread; i < accepted * ROWS * row_lanes; i += block_threads) {
      const int t = i / (ROWS * row_lanes), row = i % (ROWS * row_lanes);
      keys[t][row] = row < p.key_dim ? p.ring_k[ring_row(base + t) * key_stride + key_head * p.key_dim + row] : 0.0f;
    }
    for (int i = thread; i < accepted * block_columns; i += block_threads) {
      const int t = i / block_columns, c = i % block_columns;
      const bool exists = block_column + c < p.value_dim;
      values[t][c] =
          exists ? p.ring_d[ring_row(base + t) * value_stride + head * p.value_dim + block_column + c] : 0.0f;
    }
    if (thread < accepted) decays[thread] = p.ring_decay[ring_row(base + thread) * p.value_heads + head];
    __syncthreads();
    for (int t = 0; t < accepted; ++t) {
      float d[lane_columns];
#pragma unroll
      for (int c = 0; c < lane_columns; ++c) d[c] = values[t][local_column + c];
      update(t, decays[t], d);
    }
    if (accepted > 0) write_state();
    __syncthreads();
  }

  for (std::int64_t first = 0; first < p.tokens; first += staged_tokens) {
    const int count = static_cast<int>(min(p.tokens - first, std::int64_t{staged_tokens}));
    if (first > 0) __syncthreads();  // both warps have done with what is staged
    for (int i = thread; i < count * ROWS * row_lanes; i += block_threads) {
      const int t = i / (ROWS * row_lanes), row = i % (ROWS * row_lanes);
      const std::int64_t at = (first + t) * key_stride + static_cast<std::int64_t>(key_head) * p.key_dim + row;
      keys[t][row] = row < p.key_dim ? gpu::to_float(k[at]) : 0.0f;
      queries[t][row] = row < p.key_dim ? gpu::to_float(q[at]) : 0.0f;
      if (p.ring_k && writes_keys && row < p.key_dim)
        p.ring_k[ring_row(position + t) * key_stride + key_head * p.key_dim + row] = keys[t][row];
    }
    for (int i = thread; i < count * block_columns; i += block_threads) {
      const int t = i / block_columns, c = i % block_columns;
      const bool exists = block_column + c < p.value_dim;
      values[t][c] =
          exists ? gpu::to_float(
                       v[(first + t) * value_stride + static_cast<std::int64_t>(head) * p.value_dim + block_column + c])
                 : 0.0f;
    }
    if (thread < count) {
      decays[thread] = expf(p.g[(first + thread) * p.value_heads + head]);
      betas[thread] = p.beta[(first + thread) * p.value_heads + head];
      if (p.ring_decay && blockIdx.x == 0)
        p.ring_decay[ring_row(position + thread) * p.value_heads + head] = decays[thread];
    }
    __syncthreads();
    for (int t = 0; t < count; ++t) {
      const float decay = decays[t];
      float sums[8] = {};  // Sᵀk of four columns, Sᵀq of the same
      float key_query = 0.0f;
#pragma unroll
      for (int i = 0; i < ROWS; ++i) {
        const float key = keys[t][row_lane + row_lanes * i], query = queries[t][row_lane + row_lanes * i];
        key_query = fmaf(key, query, key_query);
#pragma unroll
        for (int c = 0; c < lane_columns; ++c) {
          sums[c] = fmaf(key, s[i].values[c], sums[c]);
          sums[lane_columns + c] = fmaf(query, s[i].values[c], sums[lane_columns + c]);
        }
      }
      key_query = gpu::warp_sum<row_lanes>(key_query);
      const float sum = sum_of_eight(sums);
      Columns d;
#pragma unroll
      for (int c = 0; c < lane_columns; ++c) {
        const float recalled = __shfl_sync(0xFFFFFFFFu, sum, lane / row_lanes * row_lanes + 2 * c);
        d.values[c] = betas[t] * (values[t][local_column + c] - decay * recalled);
      }
      update(t, decay, d.values);
      const std::int64_t at = (first + t) * value_stride + static_cast<std::int64_t>(head) * p.value_dim + column;
      // Lanes 8, 10, 12 and 14 of a group hold Sᵀq of its columns.
      const int own = row_lane / 2 - lane_columns;
      if (own >= 0 && row_lane % 2 == 0 && own < columns) {
        float update_of_own = d.values[0];
#pragma unroll
        for (int c = 1; c < lane_columns; ++c)
          if (own == c) update_of_own = d.values[c];
        p.out[at + own] = fmaf(key_query, update_of_own, decay * sum);
      }
      if (p.ring_d && row_lane == 0)
        store_columns<WHOLE>(
            p.ring_d + ring_row(position + t) * value_stride + static_cast<std::int64_t>(head) * p.value_dim + column,
            d, columns);
    }
  }
  if (!p.positions) write_state();
}

void launch_columns(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor v, const Arguments& p,
                    std::initializer_list<const std::byte*> addresses, const char* operation) {
  const dim3 grid(static_cast<unsigned>((p.value_dim + block_columns - 1) / block_columns),
                  static_cast<unsigned>(p.value_heads));
  const bool whole = p.value_dim % block_columns == 0 && are_aligned(addresses);
  const auto with = [&]<int ROWS, bool WHOLE, class In>() {
    const auto data = [](const ConstTensor& x) { return reinterpret_cast<const In*>(x.data); };
    return LAUNCH((run_columns<ROWS, WHOLE, In>), grid, block_threads, 0, queue.stream(), p, data(q), data(k), data(v));
  };
  const auto with_type = [&]<class In>() {
    if (p.key_dim > 128) return with.template operator()<16, false, In>();
    return whole ? with.template operator()<8, true, In>() : with.template operator()<8, false, In>();
  };
  check(q.type == DType::bf16 ? with_type.operator()<gpu::bf16>() : with_type.operator()<float>(), operation);
}

Arguments arguments_of(const Tensor& state, std::int64_t key_heads, DeltaHeads heads) {
  Arguments p{};
  p.state = floats(state);
  p.key_heads = static_cast<int>(key_heads);
  p.value_heads = static_cast<int>(state.dim(0));
  p.key_dim = static_cast<int>(state.dim(1));
  p.value_dim = static_cast<int>(state.dim(2));
  p.tiled_heads = heads == DeltaHeads::tiled ? 1 : 0;
  return p;
}

void add_ring(Arguments& p, const DeltaRing& ring, const Tensor& state, std::int64_t key_heads, const char* operation) {
  const bool fits = is_f32(ring.k, 3) && is_f32(ring.d, 3) && is_f32(ring.decay, 2) && ring.k.dim(0) >= ring_rows &&
                    ring.d.dim(0) == ring.k.dim(0) && ring.decay.dim(0) == ring.k.dim(0) &&
                    ring.k.dim(1) == key_heads && ring.k.dim(2) == state.dim(1) && ring.d.dim(1) == state.dim(0) &&
                    ring.d.dim(2) == state.dim(2) && ring.decay.dim(1) == state.dim(0) &&
                    ring.positions.type == DType::i32 && ring.positions.rank == 1 && ring.positions.dim(0) == 2;
  require(fits, operation,
          {{"k", ring.k}, {"d", ring.d}, {"decay", ring.decay}, {"positions", ring.positions}, {"state", state}},
          "expected the ring's k [R, Hk, Dk], d [R, Hv, Dv], decay [R, Hv], R at least 16, positions I32 [2]");
  p.ring_k = floats(ring.k);
  p.ring_d = floats(ring.d);
  p.ring_decay = floats(ring.decay);
  p.positions = integers(ring.positions);
  p.ring_size = static_cast<int>(ring.k.dim(0));
}

void check_step(ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta, const Tensor& state,
                const Tensor& out, const char* operation) {
  const bool types = (q.type == DType::f32 || q.type == DType::bf16) && k.type == q.type && v.type == q.type &&
                     q.rank == 3 && v.rank == 3 && is_f32(out, 3) && is_f32(g, 2) && is_f32(beta, 2) &&
                     is_f32(state, 3);
  const bool fits = types && same_shape(q, k) && same_shape(v, out) && same_shape(g, beta) && q.dim(0) == v.dim(0) &&
                    g.dim(0) == v.dim(0) && g.dim(1) == v.dim(1) && q.dim(1) > 0 && v.dim(1) % q.dim(1) == 0 &&
                    state.dim(0) == v.dim(1) && state.dim(1) == q.dim(2) && state.dim(2) == v.dim(2) &&
                    state.elements() > 0 && q.dim(2) <= longest_key;
  require(fits, operation, {{"q", q}, {"k", k}, {"v", v}, {"g", g}, {"beta", beta}, {"state", state}, {"out", out}},
          "expected q, k [T, Hk, Dk], v [T, Hv, Dv], all three F32 or BF16, out [T, Hv, Dv], g, beta [T, Hv], state "
          "[Hv, Dk, Dv], Hv a multiple of Hk, Dk at most 256");
}

}  // namespace

void delta_step(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                DeltaHeads heads, Tensor state, Tensor out) {
  check_step(q, k, v, g, beta, state, out, "delta_step");
  if (q.dim(0) == 0) return;
  Arguments p = arguments_of(state, q.dim(1), heads);
  p.g = floats(g);
  p.beta = floats(beta);
  p.out = floats(out);
  p.tokens = q.dim(0);
  launch_columns(queue, q, k, v, p, {state.data}, "delta_step");
}

void delta_verify(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                  DeltaHeads heads, const DeltaRing& ring, Tensor state, Tensor out) {
  check_step(q, k, v, g, beta, state, out, "delta_verify");
  require(q.dim(0) <= ring_pass_tokens, "delta_verify", {{"q", q}}, "a ring takes at most 8 tokens at once");
  Arguments p = arguments_of(state, q.dim(1), heads);
  add_ring(p, ring, state, q.dim(1), "delta_verify");
  if (q.dim(0) == 0) return;
  p.g = floats(g);
  p.beta = floats(beta);
  p.out = floats(out);
  p.tokens = q.dim(0);
  launch_columns(queue, q, k, v, p, {state.data, ring.d.data}, "delta_verify");
}

void delta_replay(Queue& queue, const DeltaRing& ring, DeltaHeads heads, Tensor state) {
  require(is_f32(state, 3) && state.elements() > 0 && ring.k.rank == 3 && ring.k.dim(1) > 0 &&
              state.dim(0) % ring.k.dim(1) == 0 && state.dim(1) <= longest_key,
          "delta_replay", {{"k", ring.k}, {"state", state}},
          "expected state [Hv, Dk, Dv], Hv a multiple of the ring's Hk, Dk at most 256");
  Arguments p = arguments_of(state, ring.k.dim(1), heads);
  add_ring(p, ring, state, ring.k.dim(1), "delta_replay");
  launch_columns(queue, {}, {}, {}, p, {state.data, ring.d.data}, "delta_replay");
}

}  // namespace lectern::kernels::cuda

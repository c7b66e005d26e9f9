// Plan.
//   A warp takes one head (of q, k or v: neighbouring channels) and up to 32 tokens. A lane owns four channels in a row
//   (dimension 128; other sizes: every 32nd channel, up to 8), with the convolution's window and weights in registers.
//   For each token: one row read, convolution and SiLU, the head's sum of squares over the warp (q and k), one row
//   written. One more warp for each 32 tokens computes the gates of all value heads. Two warps a block.
//   The convolution's state is read by the first tile of tokens and written by the last: with up to 32 tokens by the
//   lane that owns the channel, else by convolution_states. With a ring the lane reads the rows in front of the pass
//   and writes the pass's rows, which lie elsewhere.
//   Bytes at Qwen3-Next-80B (C = 8,192, K = 4), bf16 results: 32 KB read and 16 KB written a token, 100 MB for 2,048
//   tokens, 30 us at the H100's 3.35 TB/s; separate kernels (convolution, split, two norms, gates) move three times as
//   much. One token: 64 warps, 240 KB with the weights: a launch's latency. Limit: memory; designed for 75 % of it.
//   Public peers: vLLM and SGLang run causal_conv1d, a split, l2norm and the gates as four to six kernels in prefill.
// hot: prepare_heads
#include "kernels/cuda/delta_inputs.h"

#include "kernels/cuda/causal_conv1d.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/convolution_window.h"
#include "kernels/cuda/delta_gate.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/state_snapshots.h"
#include "kernels/cuda/tensor_access.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 64;
constexpr int tile_tokens = 32;
constexpr int width = 4;  // of the window; narrower convolutions have zeros in it
constexpr std::int64_t widest_head = 256;

struct Arguments {
  const float *m, *a, *b, *conv, *decay, *dt_bias;
  float* state;  // or a ring:
  float* ring;
  const std::int32_t* positions;
  float *g, *beta;
  std::int64_t tokens;
  int channels, taps, key_heads, value_heads, key_dim, value_dim, ring_size;
  float eps, q_scale;
  int updates_state;
};

/// Row of a ring for a position that may lie before the sequence (its rows are zeros of the state).
__device__ __forceinline__ int ring_row(int position, int size) {
  const int row = position % size;
  return row < 0 ? row + size : row;
}

__device__ void compute_gates(const Arguments& p, std::int64_t first, std::int64_t last) {
  for (std::int64_t i = first * p.value_heads + threadIdx.x % 32; i < last * p.value_heads; i += 32) {
    const auto head = static_cast<int>(i % p.value_heads);
    p.g[i] = delta_decay_gate(p.a[i], p.decay[head], p.dt_bias[head]);
    p.beta[i] = delta_write_gate(p.b[i]);
  }
}

/// RUNS runs of RUN channels a lane.
template <int RUN, int RUNS, class Out>
__global__ void __launch_bounds__(block_threads) prepare_heads(Arguments p, Out* q, Out* k, Out* v) {
  using Window = ConvolutionWindow<width, RUN>;
  using Row = typename Window::Row;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int unit = static_cast<int>(blockIdx.y * (block_threads / 32) + threadIdx.x / 32);
  const int heads = 2 * p.key_heads + p.value_heads;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * tile_tokens;
  const std::int64_t last = min(first + tile_tokens, p.tokens);
  if (unit >= heads) {
    if (unit == heads) compute_gates(p, first, last);
    return;
  }
  // Which head, where its channels begin, and where its values go.
  const bool is_value = unit >= 2 * p.key_heads, is_query = unit < p.key_heads;
  const int head = is_value ? unit - 2 * p.key_heads : is_query ? unit : unit - p.key_heads;
  const int dim = is_value ? p.value_dim : p.key_dim;
  const int channel = is_value ? 2 * p.key_heads * p.key_dim + head * p.value_dim : unit * p.key_dim;
  const std::int64_t stride = static_cast<std::int64_t>(is_value ? p.value_heads : p.key_heads) * dim;
  Out* to = (is_value ? v : is_query ? q : k) + static_cast<std::int64_t>(head) * dim;

  Window windows[RUNS];
  const int position = p.ring ? p.positions[1] : 0;
  const auto own = [&](int run) { return RUN * (lane + 32 * run); };
#pragma unroll
  for (int run = 0; run < RUNS; ++run) {
    const int at = channel + own(run);
    if (own(run) >= dim) continue;
    windows[run].load_weights(p.conv + static_cast<std::int64_t>(at) * p.taps, p.taps);
    windows[run].load_history(p.taps, [&](int age) {
      const std::int64_t row = first - age;
      const float* rows = row >= 0 ? p.m + row * p.channels
                          : p.ring
                              ? p.ring + static_cast<std::int64_t>(ring_row(position - age, p.ring_size)) * p.channels
                              : p.state + (p.taps - 1 + row) * p.channels;
      return Row::load(rows + at);
    });
  }
  for (std::int64_t t = first; t < last; ++t) {
    Row u[RUNS] = {};
    float squares = 0.0f;
#pragma unroll
    for (int run = 0; run < RUNS; ++run) {
      if (own(run) >= dim) continue;
      const int at = channel + own(run);
      const Row now = Row::load(p.m + t * p.channels + at);
      if (p.ring)
        now.store(p.ring +
                  static_cast<std::int64_t>(ring_row(position + static_cast<int>(t), p.ring_size)) * p.channels + at);
      u[run] = windows[run].step(now);
#pragma unroll
      for (int i = 0; i < RUN; ++i) squares += u[run].values[i] * u[run].values[i];
    }
    float factor = 1.0f;
    if (!is_value) factor = (is_query ? p.q_scale : 1.0f) / sqrtf(gpu::warp_sum(squares) + p.eps);
#pragma unroll
    for (int run = 0; run < RUNS; ++run) {
      if (own(run) >= dim) continue;
      float y[RUN];
#pragma unroll
      for (int i = 0; i < RUN; ++i) y[i] = u[run].values[i] * factor;
      gpu::from_floats<Out>(y).store(to + t * stride + own(run));
    }
  }
  if (!p.updates_state) return;
#pragma unroll
  for (int run = 0; run < RUNS; ++run)
    if (own(run) < dim)
      windows[run].keep_history(p.taps, [&](int age, const Row& row) {
        row.store(p.state + static_cast<std::int64_t>(p.taps - 1 - age) * p.channels + channel + own(run));
      });
}

/// Copies the `count` rows in front of positions[1] between a state and a ring.
__global__ void copy_ring_rows(float* ring, int ring_size, const std::int32_t* positions, const float* from_state,
                               float* to_state, int count, int channels) {
  const int channel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (channel >= channels) return;
  for (int row = 0; row < count; ++row) {
    float* kept =
        ring + static_cast<std::int64_t>(ring_row(positions[1] - count + row, ring_size)) * channels + channel;
    const std::int64_t at = static_cast<std::int64_t>(row) * channels + channel;
    if (to_state)
      to_state[at] = *kept;
    else
      *kept = from_state[at];
  }
}

bool is_ring(const ConvolutionRing& ring, std::int64_t channels) {
  return is_f32(ring.rows, 2) && ring.rows.dim(0) >= ring_rows && ring.rows.dim(1) == channels &&
         ring.positions.type == DType::i32 && ring.positions.rank == 1 && ring.positions.dim(0) == 2;
}
constexpr const char* ring_rule = "expected the ring's rows [R, C], R at least 16, positions I32 [2]";

void check_inputs(const DeltaProjections& from, const DeltaInputWeights& weights, const DeltaInputs& to) {
  const ConstTensor &m = from.m, &q = to.q, &k = to.k, &v = to.v, &w = weights.conv;
  const bool types = is_f32(m, 2) && is_f32(from.a, 2) && is_f32(from.b, 2) && is_f32(w, 2) &&
                     is_f32(weights.decay, 1) && is_f32(weights.dt_bias, 1) && is_f32(to.g, 2) && is_f32(to.beta, 2) &&
                     (q.type == DType::f32 || q.type == DType::bf16) && k.type == q.type && v.type == q.type &&
                     q.rank == 3 && v.rank == 3;
  const bool shapes = types && same_shape(q, k) && q.dim(0) == m.dim(0) && v.dim(0) == m.dim(0) && q.dim(1) > 0 &&
                      q.dim(2) > 0 && v.dim(1) > 0 && v.dim(2) > 0 &&
                      m.dim(1) == 2 * q.dim(1) * q.dim(2) + v.dim(1) * v.dim(2) && w.dim(0) == m.dim(1) &&
                      w.dim(1) >= 1 && w.dim(1) <= width && same_shape(from.a, from.b) && same_shape(from.a, to.g) &&
                      same_shape(from.a, to.beta) && from.a.dim(0) == m.dim(0) && from.a.dim(1) == v.dim(1) &&
                      weights.decay.dim(0) == v.dim(1) && weights.dt_bias.dim(0) == v.dim(1);
  require(shapes && q.dim(2) <= widest_head && v.dim(2) <= widest_head, "delta_inputs",
          {{"m", m}, {"a", from.a}, {"b", from.b}, {"conv", w}, {"q", q}, {"k", k}, {"v", v}, {"g", to.g}},
          "expected m [T, C], a, b, g, beta [T, Hv], conv [C, K], K at most 4, q, k [T, Hk, Dk], v [T, Hv, Dv], all "
          "three F32 or BF16, C = 2 Hk Dk + Hv Dv, Dk and Dv at most 256");
}

void launch_heads(Queue& queue, const DeltaProjections& from, const DeltaInputWeights& weights,
                  const DeltaInputScales& scales, const DeltaInputs& to, Arguments p) {
  p.m = floats(from.m);
  p.a = floats(from.a);
  p.b = floats(from.b);
  p.conv = floats(weights.conv);
  p.decay = floats(weights.decay);
  p.dt_bias = floats(weights.dt_bias);
  p.g = floats(to.g);
  p.beta = floats(to.beta);
  p.tokens = from.m.dim(0);
  p.channels = static_cast<int>(from.m.dim(1));
  p.taps = static_cast<int>(weights.conv.dim(1));
  p.key_heads = static_cast<int>(to.q.dim(1));
  p.value_heads = static_cast<int>(to.v.dim(1));
  p.key_dim = static_cast<int>(to.q.dim(2));
  p.value_dim = static_cast<int>(to.v.dim(2));
  p.eps = scales.eps;
  p.q_scale = scales.q;
  const int units = 2 * p.key_heads + p.value_heads + 1, warps = block_threads / 32;
  const dim3 grid(static_cast<unsigned>((p.tokens + tile_tokens - 1) / tile_tokens),
                  static_cast<unsigned>((units + warps - 1) / warps));
  const bool runs =
      p.key_dim % 4 == 0 && p.value_dim % 4 == 0 && p.key_dim <= 128 && p.value_dim <= 128 &&
      are_aligned({from.m.data, weights.conv.data, to.q.data, to.k.data, to.v.data,
                   reinterpret_cast<const std::byte*>(p.state), reinterpret_cast<const std::byte*>(p.ring)});
  const auto with = [&]<int RUN, int RUNS, class Out>(Out* q, Out* k, Out* v) {
    return LAUNCH((prepare_heads<RUN, RUNS, Out>), grid, block_threads, 0, queue.stream(), p, q, k, v);
  };
  const auto with_type = [&]<class Out>(const Tensor& q) {
    const auto data = [](const Tensor& x) { return reinterpret_cast<Out*>(x.data); };
    return runs ? with.template operator()<4, 1>(data(q), data(to.k), data(to.v))
                : with.template operator()<1, 8>(data(q), data(to.k), data(to.v));
  };
  check(to.q.type == DType::f32 ? with_type.operator()<float>(to.q) : with_type.operator()<gpu::bf16>(to.q),
        "delta_inputs");
}

void copy_rows(Queue& queue, const ConvolutionRing& ring, ConstTensor from, Tensor to, const ConstTensor& state,
               const char* operation) {
  require(is_f32(state, 2) && is_ring(ring, state.dim(1)) && state.dim(0) <= ring_rows, operation,
          {{"state", state}, {"rows", ring.rows}, {"positions", ring.positions}}, ring_rule);
  if (state.elements() == 0) return;
  constexpr int threads = 128;
  check(LAUNCH(copy_ring_rows, static_cast<unsigned>((state.dim(1) + threads - 1) / threads), threads, 0,
               queue.stream(), floats(ring.rows), static_cast<int>(ring.rows.dim(0)), integers(ring.positions),
               floats(from), floats(to), static_cast<int>(state.dim(0)), static_cast<int>(state.dim(1))),
        operation);
}

}  // namespace

void delta_inputs(Queue& queue, const DeltaProjections& from, const DeltaInputWeights& weights,
                  const DeltaInputScales& scales, Tensor state, std::span<const std::int64_t> snapshot_offsets,
                  std::span<const Tensor> snapshots, const DeltaInputs& to) {
  check_inputs(from, weights, to);
  require(is_f32(state, 2) && state.dim(0) == weights.conv.dim(1) - 1 && state.dim(1) == from.m.dim(1), "delta_inputs",
          {{"m", from.m}, {"conv", weights.conv}, {"state", state}}, "expected state [K-1, C]");
  require_snapshots("delta_inputs", from.m.dim(0), state, snapshot_offsets, snapshots);
  if (from.m.dim(0) == 0) return;
  Arguments p{};
  p.state = floats(state);
  p.updates_state = from.m.dim(0) <= tile_tokens && snapshots.empty() ? 1 : 0;
  launch_heads(queue, from, weights, scales, to, p);
  if (!p.updates_state) convolution_states(queue, from.m, state, snapshot_offsets, snapshots);
}

void delta_inputs(Queue& queue, const DeltaProjections& from, const DeltaInputWeights& weights,
                  const DeltaInputScales& scales, const ConvolutionRing& ring, const DeltaInputs& to) {
  check_inputs(from, weights, to);
  require(is_ring(ring, from.m.dim(1)), "delta_inputs",
          {{"m", from.m}, {"rows", ring.rows}, {"positions", ring.positions}}, ring_rule);
  require(from.m.dim(0) <= ring_pass_tokens, "delta_inputs", {{"m", from.m}}, "a ring takes at most 8 tokens at once");
  if (from.m.dim(0) == 0) return;
  Arguments p{};
  p.ring = floats(ring.rows);
  p.ring_size = static_cast<int>(ring.rows.dim(0));
  p.positions = integers(ring.positions);
  launch_heads(queue, from, weights, scales, to, p);
}

void convolution_ring_load(Queue& queue, ConstTensor state, const ConvolutionRing& ring) {
  copy_rows(queue, ring, state, {}, state, "convolution_ring_load");
}

void convolution_ring_store(Queue& queue, const ConvolutionRing& ring, Tensor state) {
  copy_rows(queue, ring, {}, state, state, "convolution_ring_store");
}

}  // namespace lectern::kernels::cuda

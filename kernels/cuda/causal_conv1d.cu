// Plan.
//   A thread owns four neighbouring channels (one, where rows are not runs of four) and up to 32 tokens: weights and
//   the last K - 1 rows in registers, one row read and one written a token. A block has 128 threads; blocks of one tile
//   of tokens lie side by side, so that they read whole rows. The state is read by the first tile and written by the
//   last. Where both are one thread's (up to 32 tokens, hence all decode steps) it writes the state itself; else a
//   second kernel does, which also copies the snapshots. Bytes at Qwen3-Next-80B (C = 8,192, K = 4): 32 KB read and
//   written a token, and 3 of 32 rows read again, mostly from the second-level cache: 134 MB for 2,048 tokens, 40 us at
//   the H100's 3.35 TB/s. FLOPs: 8 a value and the SiLU. Limit: memory. Designed for 80 % of it: 16 bytes a load, 48
//   registers, 16 blocks an SM. One token: 64 KB of rows and state, 128 KB of weights; a launch's latency is all.
//   Public peers: causal-conv1d (Dao-AILab) is the same scheme.
// hot: convolve_channels
#include "kernels/cuda/causal_conv1d.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/convolution_window.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/state_snapshots.h"
#include "kernels/cuda/tensor_access.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 128;
constexpr std::int64_t tile_tokens = 32;
constexpr int widest = 16;
constexpr int snapshots_per_launch = 8;

template <int WIDTH, int RUN>
__global__ void __launch_bounds__(block_threads)
    convolve_channels(const float* __restrict__ x, const float* __restrict__ w, int width, float* state,
                      std::int64_t tokens, int channels, bool updates_state, float* __restrict__ out) {
  const int channel = static_cast<int>(blockIdx.y * block_threads + threadIdx.x) * RUN;
  if (channel >= channels) return;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * tile_tokens;
  const std::int64_t last = min(first + tile_tokens, tokens);
  using Window = ConvolutionWindow<WIDTH, RUN>;
  using Row = typename Window::Row;
  Window window;
  window.load_weights(w + static_cast<std::int64_t>(channel) * width, width);
  window.load_history(width, [&](int age) {
    const std::int64_t row = first - age;
    return Row::load((row < 0 ? state + (width - 1 + row) * channels : x + row * channels) + channel);
  });
  for (std::int64_t t = first; t < last; ++t)
    window.step(Row::load(x + t * channels + channel)).store(out + t * channels + channel);
  if (updates_state)
    window.keep_history(width, [&](int age, const Row& row) {
      row.store(state + static_cast<std::int64_t>(width - 1 - age) * channels + channel);
    });
}

/// State after `offsets[i]` tokens to rows[i].
struct KeptStates {
  std::int64_t count = 0;
  std::int64_t offsets[snapshots_per_launch] = {};
  float* rows[snapshots_per_launch] = {};
};

__global__ void __launch_bounds__(block_threads)
    keep_states(const float* __restrict__ x, float* state, int rows, std::int64_t tokens, int channels, KeptStates kept,
                bool updates_state) {
  const int channel = static_cast<int>(blockIdx.x * block_threads + threadIdx.x);
  if (channel >= channels) return;
  const auto row_after = [&](std::int64_t offset, int row) {
    const std::int64_t token = offset - rows + row;
    return token < 0 ? state[(rows + token) * channels + channel] : x[token * channels + channel];
  };
  for (std::int64_t i = 0; i < kept.count; ++i)
    for (int row = 0; row < rows; ++row) kept.rows[i][row * channels + channel] = row_after(kept.offsets[i], row);
  // In place: row j takes a later row of the old state, or one of x, so oldest first.
  if (updates_state)
    for (int row = 0; row < rows; ++row) state[row * channels + channel] = row_after(tokens, row);
}

}  // namespace

void convolution_states(Queue& queue, ConstTensor x, Tensor state, std::span<const std::int64_t> snapshot_offsets,
                        std::span<const Tensor> snapshots) {
  const char* operation = "convolution_states";
  require(is_f32(x, 2) && is_f32(state, 2) && state.dim(1) == x.dim(1), operation, {{"x", x}, {"state", state}},
          "expected x [T, C], state [K-1, C]");
  require_snapshots(operation, x.dim(0), state, snapshot_offsets, snapshots);
  if (x.elements() == 0 || state.elements() == 0) return;
  const auto blocks = static_cast<unsigned>((x.dim(1) + block_threads - 1) / block_threads);
  std::size_t next = 0;
  do {
    KeptStates kept;
    for (; next < snapshots.size() && kept.count < snapshots_per_launch; ++next, ++kept.count) {
      kept.offsets[kept.count] = snapshot_offsets[next];
      kept.rows[kept.count] = floats(snapshots[next]);
    }
    check(LAUNCH(keep_states, blocks, block_threads, 0, queue.stream(), floats(x), floats(state),
                 static_cast<int>(state.dim(0)), x.dim(0), static_cast<int>(x.dim(1)), kept, next == snapshots.size()),
          operation);
  } while (next < snapshots.size());
}

void causal_conv1d(Queue& queue, ConstTensor x, ConstTensor w, Tensor state,
                   std::span<const std::int64_t> snapshot_offsets, std::span<const Tensor> snapshots, Tensor out) {
  require(is_f32(x, 2) && is_f32(w, 2) && is_f32(out, 2) && same_shape(x, out) && is_f32(state, 2) &&
              w.dim(0) == x.dim(1) && w.dim(1) >= 1 && w.dim(1) <= widest && state.dim(0) == w.dim(1) - 1 &&
              state.dim(1) == x.dim(1),
          "causal_conv1d", {{"x", x}, {"w", w}, {"state", state}, {"out", out}},
          "expected x and out [T, C], w [C, K], state [K-1, C], K at most 16");
  require_snapshots("causal_conv1d", x.dim(0), state, snapshot_offsets, snapshots);
  if (x.elements() == 0) return;
  const std::int64_t tokens = x.dim(0), channels = x.dim(1);
  const bool narrow = w.dim(1) <= 4;
  const bool runs = narrow && channels % 4 == 0 && are_aligned({x.data, w.data, state.data, out.data});
  const std::int64_t threads = runs ? channels / 4 : channels;
  const dim3 grid(static_cast<unsigned>((tokens + tile_tokens - 1) / tile_tokens),
                  static_cast<unsigned>((threads + block_threads - 1) / block_threads));
  const bool in_one = tokens <= tile_tokens && snapshots.empty();
  const auto with = [&]<int WIDTH, int RUN>() {
    return LAUNCH((convolve_channels<WIDTH, RUN>), grid, block_threads, 0, queue.stream(), floats(x), floats(w),
                  static_cast<int>(w.dim(1)), floats(state), tokens, static_cast<int>(channels), in_one, floats(out));
  };
  check(runs     ? with.operator()<4, 4>()
        : narrow ? with.operator()<4, 1>()
                 : with.operator()<widest, 1>(),
        "causal_conv1d");
  if (!in_one) convolution_states(queue, x, state, snapshot_offsets, snapshots);
}

}  // namespace lectern::kernels::cuda

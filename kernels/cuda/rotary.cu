// Plan.
//   Block: 128 threads, one token. Its threads form the token's cosines and sines once, in shared memory (2 KB), then
//   turn the pairs of all heads, neighbours taking neighbouring pairs.
//   Bytes at Qwen3-Next-80B: 16 + 2 heads, 64 of 256 dimensions: 4.6 KB read and written a token, 18.9 MB for 2,048
//   tokens: 5.6 us at the H100's 3.35 TB/s. Turns: 32 a token, about 30 instructions each (integer product, split,
//   two polynomials), 1 per 18 pairs turned: a twentieth of the time. Angles in f64 would take 6 operations each,
//   0.4 M for 2,048 tokens: 1,200 cycles on a card with 2 a cycle and multiprocessor, as much as the memory takes.
//   Limit: memory; designed for 70 % of it. Decode and prefill of models with norms on heads use norm_rotary_write
//   instead, which reads q and k once for everything that is done to them.
#include "kernels/cuda/rotary.h"

#include <cmath>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/rotary_device.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 128;

template <bool ADJACENT>
__global__ void __launch_bounds__(block_threads)
    rotary_tokens(float* x, const std::int32_t* __restrict__ positions, const std::uint64_t* __restrict__ parts,
                  int pairs, int heads, int dim, float magnitude) {
  SHARED_ARRAY(Turn, turns, [RotaryFrequencies::most_pairs]);
  const std::int64_t token = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < pairs; i += block_threads) turns[i] = turn_of(positions[token], parts[i], magnitude);
  __syncthreads();
  for (int at = thread; at < heads * pairs; at += block_threads) {
    const int head = at / pairs, i = at - head * pairs;
    turn_pair(x + (token * heads + head) * dim, place_of_pair<ADJACENT>(i, pairs), turns[i]);
  }
}

}  // namespace

RotaryFrequencies::RotaryFrequencies(Queue& queue, std::span<const double> frequencies)
    : pairs_(std::ssize(frequencies)) {
  require(pairs_ > 0 && pairs_ <= most_pairs, "rotary", {}, "expected 1 to 256 frequencies");
  std::vector<std::uint64_t> parts;
  for (const double frequency : frequencies) {
    const double turns = frequency / 6.283185307179586477;
    parts.push_back(static_cast<std::uint64_t>(std::ldexp(turns - std::floor(turns), 64)));
  }
  turns_ = DeviceBuffer(pairs_ * static_cast<std::int64_t>(sizeof(std::uint64_t)));
  copy_to_device(queue, turns_.data(), parts.data(), turns_.size_bytes());
}

void rotary(Queue& queue, Tensor x, ConstTensor positions, const RotaryFrequencies& frequencies, float magnitude,
            RotaryPairs pairs) {
  require(is_f32(x, 3) && positions.type == DType::i32 && positions.rank == 1 && positions.dim(0) == x.dim(0) &&
              2 * frequencies.pairs() <= x.dim(2),
          "rotary", {{"x", x}, {"positions", positions}},
          "expected x [T, heads, D], positions [T] of I32 and at most D / 2 frequencies, got " +
              std::to_string(frequencies.pairs()));
  if (x.elements() == 0) return;
  const auto launch = [&](auto kernel) {
    check(LAUNCH(kernel, static_cast<unsigned>(x.dim(0)), block_threads, 0, queue.stream(),
                 reinterpret_cast<float*>(x.data), reinterpret_cast<const std::int32_t*>(positions.data),
                 frequencies.turns(), static_cast<int>(frequencies.pairs()), static_cast<int>(x.dim(1)),
                 static_cast<int>(x.dim(2)), magnitude),
          "rotary");
  };
  if (pairs == RotaryPairs::adjacent)
    launch(rotary_tokens<true>);
  else
    launch(rotary_tokens<false>);
}

}  // namespace lectern::kernels::cuda

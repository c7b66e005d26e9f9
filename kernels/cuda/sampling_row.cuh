// One row of logits, for sampling.cu: its candidates in order, their weights, and sums over a block in a fixed order.
#pragma once

#include "kernels/cuda/gpu.h"

namespace lectern::kernels::cuda::sampling {

using Word64 = unsigned long long;

constexpr int block_threads = 512;
constexpr int block_warps = block_threads / 32;
constexpr int piece_values = 256;   // consecutive ids, looked at by one warp
constexpr int pieces_limit = 1024;  // of a row
constexpr int list_limit = 4096;    // candidates that are sorted in shared memory
constexpr Word64 none = ~Word64{0};

/// A candidate as a number: the better one has the smaller. The upper half is the logit, turned so that integers
/// compare as the numbers do, from the highest down; the lower half the id. -0 and 0 are one logit.
__device__ __forceinline__ Word64 candidate(float logit, int id) {
  const std::uint32_t bits = __float_as_uint(logit + 0.0f);
  const std::uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<Word64>(~ascending) << 32 | static_cast<std::uint32_t>(id);
}
__device__ __forceinline__ float logit_of(Word64 candidate) {
  const std::uint32_t ascending = ~static_cast<std::uint32_t>(candidate >> 32);
  return __uint_as_float(ascending & 0x80000000u ? ascending & 0x7FFFFFFFu : ~ascending);
}
__device__ __forceinline__ int id_of(Word64 candidate) {
  return static_cast<int>(static_cast<std::uint32_t>(candidate));
}
/// No finite logit gives it, and it is better than all.
constexpr Word64 not_finite = 0;

/// e^x for x <= 0, as inference/sampler.cpp computes it: x = n ln 2 + r, Taylor to r^13.
__device__ __forceinline__ double exponential(double x) {
  if (!(x >= -700.0)) return 0.0;
  const double n = rint(x * 1.4426950408889634);
  const double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  double sum = 1.0;
#pragma unroll
  for (int k = 13; k >= 1; --k) sum = 1.0 + sum * (r * (1.0 / k));
  return sum * __longlong_as_double((static_cast<long long>(n) + 1023) << 52);
}

/// What the blocks of a row leave for the last of them: the best candidate of each piece, and the piece's weights
/// summed, relative to that one.
struct Piece {
  Word64 best;
  double mass;
};

struct Row {
  const float* logits;
  int usable;
  const Piece* pieces;
  int piece_count;
  Word64 best;
  double temperature;

  /// Relative to the best candidate.
  __device__ __forceinline__ double distance(float logit) const {
    return (static_cast<double>(logit) - static_cast<double>(logit_of(best))) / temperature;
  }
  __device__ __forceinline__ double weight(float logit) const { return exponential(distance(logit)); }
};

/// Shared memory of the block that finishes a row.
struct Shared {
  Word64* list;    // [list_limit] candidates; bins of the wide selection
  Word64* pieces;  // [pieces_limit] the best of each piece
  double* parts;   // [block_warps]
  Word64* words;   // [4] results that one thread tells the others
};

/// Sorts `count` (a power of two) numbers in shared memory, the smallest first: a bitonic network.
__device__ inline void sort(Word64* values, int count) {
  for (int run = 2; run <= count; run *= 2)
    for (int step = run / 2; step > 0; step /= 2) {
      for (int i = static_cast<int>(threadIdx.x); i < count / 2; i += block_threads) {
        const int low = 2 * step * (i / step) + i % step, high = low + step;
        const Word64 a = values[low], b = values[high];
        const bool ascending = (low & run) == 0;
        if ((a > b) == ascending) {
          values[low] = b;
          values[high] = a;
        }
      }
      __syncthreads();
    }
}

/// Fills values[count] up to the power of two at or above it, which is returned, with numbers that sort behind all.
__device__ inline int pad(Word64* values, int count) {
  int padded = 1;
  while (padded < count) padded *= 2;
  for (int i = count + static_cast<int>(threadIdx.x); i < padded; i += block_threads) values[i] = none;
  __syncthreads();
  return padded;
}

__device__ inline Word64 block_min(Word64 value, Shared shared) {
  value = gpu::warp_min(value);
  if (threadIdx.x % 32 == 0) shared.list[threadIdx.x / 32] = value;
  __syncthreads();
  for (int warp = 0; warp < block_warps; ++warp) value = min(value, shared.list[warp]);
  __syncthreads();
  return value;
}

struct Walk {
  int index;       // the first that stopped; the count if none did
  double running;  // the sum of the weights up to it, it included
};

/// Walks along 0, 1, ... count - 1, adding weight(i), until stop(i, sum so far). Every thread has a stretch of them, so
/// the order of the additions is fixed by `count`.
template <class Weight, class Stop>
__device__ inline Walk walk(int count, Shared shared, Weight weight, Stop stop) {
  const int thread = static_cast<int>(threadIdx.x), stretch = (count + block_threads - 1) / block_threads;
  const int first = min(thread * stretch, count), last = min(first + stretch, count);
  double own = 0.0;
  for (int i = first; i < last; ++i) own += weight(i);

  const double inclusive = gpu::warp_inclusive_sum(own);
  const double below = __shfl_up_sync(0xFFFFFFFFu, inclusive, 1);
  if (thread % 32 == 31) shared.parts[thread / 32] = inclusive;
  if (thread == 0) shared.words[0] = static_cast<Word64>(count);
  __syncthreads();
  double running = 0.0, total = 0.0;
  for (int warp = 0; warp < block_warps; ++warp) {
    if (warp == thread / 32) running = total;
    total += shared.parts[warp];
  }
  if (thread % 32 > 0) running += below;

  int found = count;
  for (int i = first; i < last; ++i) {
    running += weight(i);
    if (stop(i, running)) {
      found = i;
      break;
    }
  }
  if (found < count) atomicMin(&shared.words[0], static_cast<Word64>(found));
  __syncthreads();
  const int index = static_cast<int>(shared.words[0]);
  if (index == found && index < count) shared.words[1] = static_cast<Word64>(__double_as_longlong(running));
  __syncthreads();
  // No barrier: whoever uses the shared memory next writes words[1] behind one of its own.
  return {index, index < count ? __longlong_as_double(static_cast<long long>(shared.words[1])) : total};
}

}  // namespace lectern::kernels::cuda::sampling

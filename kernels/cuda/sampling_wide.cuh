// The draw from more candidates than fit into shared memory, for sampling.cu: radix selection over the whole row.
// Weights are integers here, so that atomic additions give the same sums in any order.
#pragma once

#include "kernels/cuda/sampling_row.cuh"

namespace lectern::kernels::cuda::sampling {

/// e^x 2^44 for x <= 0, to 24 bits: at most 2^18 of them fit into 64 bits. The reduction is in double, the rest in
/// single precision, which consumer cards have sixty-four times more of.
__device__ __forceinline__ Word64 fixed_weight(double x) {
  if (!(x > -40.0)) return 0;
  const double n = rint(x * 1.4426950408889634);
  const Word64 mantissa = __float2uint_rn(expf(static_cast<float>(x - n * 0.6931471805599453)) * 8388608.0f);
  const int shift = 44 - 23 + static_cast<int>(n);
  return shift >= 0 ? mantissa << shift : mantissa >> -shift;
}

enum class By { rank, id };

/// Sum of measure(logit) over the candidates up to `limit`.
template <class Measure>
__device__ inline Word64 sum_up_to(const Row& row, Word64 limit, Shared shared, Measure measure) {
  if (threadIdx.x == 0) shared.words[0] = 0;
  __syncthreads();
  Word64 own = 0;
  for (int id = static_cast<int>(threadIdx.x); id < row.usable; id += block_threads)
    if (candidate(row.logits[id], id) <= limit) own += measure(row.logits[id]);
  own = gpu::warp_sum(own);
  if (threadIdx.x % 32 == 0) atomicAdd(&shared.words[0], own);
  __syncthreads();
  const Word64 sum = shared.words[0];
  __syncthreads();
  return sum;
}

/// Goes along the candidates up to `limit`, by rank or by id, and returns the first at which the sum of the measures is
/// above `target` (as a candidate, or as an id); `none` if it stays below. Eight bits of the number at a time: the
/// measures of each of 256 continuations are summed, and one of them contains the place.
template <class Measure>
__device__ inline Word64 first_above(const Row& row, By by, Word64 limit, Word64 target, Shared shared,
                                     Measure measure) {
  Word64 prefix = 0;
  for (int shift = by == By::rank ? 56 : 16; shift >= 0; shift -= 8) {
    for (int bin = static_cast<int>(threadIdx.x); bin < 256; bin += block_threads) shared.list[bin] = 0;
    __syncthreads();
    int last_bin = 0;
    Word64 gathered = 0;  // for last_bin: neighbours in a thread often share a bin, above all where logits are equal
    for (int id = static_cast<int>(threadIdx.x); id < row.usable; id += block_threads) {
      const float logit = row.logits[id];
      const Word64 rank = candidate(logit, id), number = by == By::rank ? rank : static_cast<Word64>(id);
      if (rank > limit || (shift < 56 && number >> (shift + 8) != prefix)) continue;
      const int bin = static_cast<int>(number >> shift & 255);
      if (bin != last_bin) {
        if (gathered != 0) atomicAdd(&shared.list[last_bin], gathered);
        last_bin = bin;
        gathered = 0;
      }
      gathered += measure(logit);
    }
    if (gathered != 0) atomicAdd(&shared.list[last_bin], gathered);
    __syncthreads();
    if (threadIdx.x == 0) {
      Word64 bin = 0, rest = target;
      for (; bin < 256 && shared.list[bin] <= rest; ++bin) rest -= shared.list[bin];
      shared.words[0] = bin;
      shared.words[1] = rest;
    }
    __syncthreads();
    const Word64 bin = shared.words[0];
    target = shared.words[1];
    __syncthreads();
    if (bin == 256) return none;
    prefix = prefix << 8 | bin;
  }
  return prefix;
}

__device__ inline int draw_wide(const Row& row, int top_k, double top_p, double min_p, double uniform, Shared shared) {
  Word64 limit = none;
  if (top_k < row.usable)
    limit = first_above(row, By::rank, limit, static_cast<Word64>(top_k - 1), shared, [](float) { return Word64{1}; });
  const auto plain = [&](float logit) { return fixed_weight(row.distance(logit)); };
  const auto least = static_cast<Word64>(min_p * 0x1p44);
  const auto weight = [&](float logit) {
    const Word64 w = plain(logit);
    return w < least ? Word64{0} : w;
  };
  if (top_p < 1.0) {
    const double enough = top_p * static_cast<double>(sum_up_to(row, limit, shared, plain));
    const Word64 end =
        first_above(row, By::rank, limit, max(static_cast<Word64>(ceil(enough)), Word64{1}) - 1, shared, weight);
    if (end != none) limit = end;
  }
  const Word64 kept = sum_up_to(row, limit, shared, weight);
  const auto target = min(static_cast<Word64>(uniform * static_cast<double>(kept)), kept - 1);
  const bool cuts = top_p < 1.0 || min_p > 0.0;
  const Word64 chosen = first_above(row, cuts ? By::rank : By::id, limit, target, shared, weight);
  return static_cast<int>(static_cast<std::uint32_t>(chosen));
}

}  // namespace lectern::kernels::cuda::sampling

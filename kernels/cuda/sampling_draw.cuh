// The draw from one row, for sampling.cu: a whole block, the same result in every thread.
#pragma once

#include "kernels/cuda/sampling_row.cuh"
#include "kernels/cuda/sampling_wide.cuh"

namespace lectern::kernels::cuda::sampling {

/// No filter at all: by the sums of the pieces, in the order of ids, then within one piece.
__device__ inline int draw_from_all(const Row& row, double uniform, Shared shared) {
  const auto mass = [&](int piece) { return row.pieces[piece].mass * row.weight(logit_of(row.pieces[piece].best)); };
  const double total = walk(row.piece_count, shared, mass, [](int, double) { return false; }).running;
  const double target = uniform * total;
  const Walk piece = walk(row.piece_count, shared, mass, [&](int, double sum) { return target < sum; });
  if (piece.index == row.piece_count) return id_of(row.best);  // rounding: target reached the total
  if (threadIdx.x < 32) {
    const double rest = target - (piece.running - mass(piece.index));
    int chosen = id_of(row.pieces[piece.index].best);  // rounding: rest reached the piece's sum
    double before = 0.0;
    for (int i = 0; i < piece_values / 32; ++i) {
      const int id = piece.index * piece_values + 32 * i + static_cast<int>(threadIdx.x);
      const double weight = id < row.usable ? row.weight(row.logits[id]) : 0.0;
      const double sum = before + gpu::warp_inclusive_sum(weight);
      const unsigned above = __ballot_sync(0xFFFFFFFFu, rest < sum);
      if (above != 0) {
        chosen = id - static_cast<int>(threadIdx.x) + __ffs(static_cast<int>(above)) - 1;
        break;
      }
      before = __shfl_sync(0xFFFFFFFFu, sum, 31);
    }
    if (threadIdx.x == 0) shared.words[0] = static_cast<Word64>(chosen);
  }
  __syncthreads();
  return static_cast<int>(shared.words[0]);
}

/// Puts all candidates up to `threshold` into the list, sorted, and returns how many there are; more than list_limit:
/// there is no list. They stand in the first `pieces` of the pieces' bests, which are sorted.
__device__ inline int gather(const Row& row, int pieces, Word64 threshold, Shared shared) {
  if (threadIdx.x == 0) shared.words[0] = 0;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x / 32); i < pieces; i += block_warps) {
    const int first = id_of(shared.pieces[i]) / piece_values * piece_values;
    for (int id = first + static_cast<int>(threadIdx.x % 32); id < min(first + piece_values, row.usable); id += 32) {
      const Word64 value = candidate(row.logits[id], id);
      if (value > threshold) continue;
      const Word64 slot = atomicAdd(&shared.words[0], Word64{1});
      if (slot < list_limit) shared.list[slot] = value;
    }
  }
  __syncthreads();
  const int count = static_cast<int>(shared.words[0]);
  __syncthreads();
  if (count <= list_limit) sort(shared.list, pad(shared.list, count));
  return count;
}

/// Draws from the first `count` of the list in the order of their ids.
__device__ inline int draw_by_id(const Row& row, int count, double uniform, Shared shared) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += block_threads)
    shared.list[i] = shared.list[i] << 32 | shared.list[i] >> 32;
  const int padded = pad(shared.list, count);
  sort(shared.list, padded);
  const auto weight = [&](int i) { return row.weight(logit_of(shared.list[i] << 32 | shared.list[i] >> 32)); };
  const double target = uniform * walk(count, shared, weight, [](int, double) { return false; }).running;
  const Walk chosen = walk(count, shared, weight, [&](int, double sum) { return target < sum; });
  return chosen.index < count ? static_cast<int>(shared.list[chosen.index] >> 32) : id_of(row.best);
}

struct Filters {
  int top_k;  // at most all
  double top_p, min_p;
  __device__ bool cuts() const { return top_p < 1.0 || min_p > 0.0; }
};

/// What the list decides: a token, or -1 if the candidates that pass the filters go on behind it.
__device__ inline int draw_from_list(const Row& row, Filters filters, int listed, double total, double uniform,
                                     Shared shared) {
  const bool is_complete = filters.top_k <= listed || listed == row.usable;
  const int count = min(filters.top_k, listed);
  if (filters.top_k < row.usable && !is_complete) return -1;
  if (!filters.cuts()) return is_complete ? draw_by_id(row, count, uniform, shared) : -1;

  const auto plain = [&](int i) { return row.weight(logit_of(shared.list[i])); };
  if (filters.top_k < row.usable) total = walk(count, shared, plain, [](int, double) { return false; }).running;
  const double enough = filters.top_p < 1.0 ? filters.top_p * total : 2.0 * total;
  // From the first on that min-p refuses, nothing weighs anything; the best always counts.
  const auto refused = [&](int i) { return i > 0 && plain(i) < filters.min_p; };
  const auto weight = [&](int i) { return refused(i) ? 0.0 : plain(i); };
  const Walk end = walk(count, shared, weight, [&](int i, double sum) { return sum >= enough || refused(i); });
  if (end.index == count && !is_complete) return -1;
  const int kept = end.index == count || refused(end.index) ? end.index : end.index + 1;
  const double target = uniform * end.running;
  const Walk chosen = walk(kept, shared, weight, [&](int, double sum) { return target < sum; });
  return id_of(shared.list[min(chosen.index, kept - 1)]);
}

/// Most draws look at few candidates. Whoever is among the k best lies in one of the k pieces with the best bests, at
/// or above the k-th of them: so many pieces are read, and what is that good is sorted. Top-p without top-k begins with
/// 64 pieces and takes more if they do not reach it.
__device__ inline int draw(const Row& row, Filters filters, double uniform, Shared shared) {
  if (filters.top_k == row.usable && !filters.cuts()) return draw_from_all(row, uniform, shared);
  double total = 0.0;
  if (filters.top_k == row.usable) {
    const auto mass = [&](int piece) { return row.pieces[piece].mass * row.weight(logit_of(row.pieces[piece].best)); };
    total = walk(row.piece_count, shared, mass, [](int, double) { return false; }).running;
  }
  for (int i = static_cast<int>(threadIdx.x); i < row.piece_count; i += block_threads)
    shared.pieces[i] = row.pieces[i].best;
  sort(shared.pieces, pad(shared.pieces, row.piece_count));

  int pieces = min(filters.top_k < row.usable ? filters.top_k : 64, row.piece_count);
  for (;;) {
    const int listed = gather(row, pieces, shared.pieces[pieces - 1], shared);
    if (listed > list_limit) break;
    const int chosen = draw_from_list(row, filters, listed, total, uniform, shared);
    if (chosen >= 0) return chosen;
    __syncthreads();
    if (pieces == row.piece_count) break;
    pieces = min(8 * pieces, row.piece_count);
  }
  if (row.usable <= list_limit) {
    const int listed = gather(row, row.piece_count, none, shared);
    return draw_from_list(row, filters, listed, total, uniform, shared);
  }
  return draw_wide(row, filters.top_k, filters.top_p, filters.min_p, uniform, shared);
}

}  // namespace lectern::kernels::cuda::sampling

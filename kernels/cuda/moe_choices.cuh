// The experts that a few tokens chose, put together in shared memory by the threads of a block: every block of a
// decode kernel does so for itself, as that takes less than a launch.
#pragma once

#include <cstdint>

#include "kernels/cuda/gpu.h"

namespace lectern::kernels::cuda {

/// Pairs are (token, choice), counted through: token * chosen + choice.
template <int TOKENS, int CHOSEN>
struct Choices {
  static constexpr int pairs = TOKENS * CHOSEN;
  static constexpr int absent = -1, unknown = 0x7FFFFFFF;
  int given[pairs];            // the experts as given; `unknown` if there is no such one
  int experts[pairs];          // each once, ascending
  int pair[pairs][TOKENS];     // of expert (its place in `experts`) and token; `absent` if the token did not choose it
  float share[pairs][TOKENS];  // the weights of that token's pairs with this expert
  int firsts[pairs];           // 1 if no pair in front has the same expert
};

/// Fills `choices` with T <= TOKENS rows of `chosen` <= CHOSEN experts; returns how many different ones there are. All
/// threads of the block call it, at least one per pair; ends with a barrier. Sets *fault if an expert does not exist.
template <int TOKENS, int CHOSEN>
__device__ __forceinline__ int gather_choices(Choices<TOKENS, CHOSEN>& choices, const std::int32_t* experts,
                                              const float* weights, int tokens, int chosen, int expert_count,
                                              std::int32_t* fault) {
  using Table = Choices<TOKENS, CHOSEN>;
  const int mine = static_cast<int>(threadIdx.x), count = tokens * chosen;
  int expert = Table::unknown;
  if (mine < count) {
    const int given = experts[mine];
    if (given >= 0 && given < expert_count)
      expert = given;
    else if (blockIdx.x == 0)
      atomicExch(fault, 1);
    choices.given[mine] = expert;
  }
  __syncthreads();
  bool first = expert != Table::unknown, first_of_token = first;
  const int token = mine < count ? mine / chosen : 0;
  for (int other = 0; other < mine && other < count; ++other) {
    if (choices.given[other] != expert) continue;
    first = false;
    if (other / chosen == token) first_of_token = false;
  }
  if (mine < count) choices.firsts[mine] = first;
  const int different = __syncthreads_count(first);
  for (int i = mine; i < different * TOKENS; i += static_cast<int>(blockDim.x))
    choices.pair[i / TOKENS][i % TOKENS] = Table::absent;
  __syncthreads();
  if (first_of_token) {
    int place = 0;
    for (int other = 0; other < count; ++other) place += choices.firsts[other] != 0 && choices.given[other] < expert;
    if (first) choices.experts[place] = expert;
    choices.pair[place][token] = mine;
    float share = 0.0f;
    for (int other = mine; other < (token + 1) * chosen; ++other)
      if (choices.given[other] == expert) share += weights[other];
    choices.share[place][token] = share;
  }
  __syncthreads();
  return different;
}

}  // namespace lectern::kernels::cuda

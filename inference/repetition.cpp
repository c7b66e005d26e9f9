#include "inference/repetition.h"

#include <algorithm>

namespace lectern::inference {

namespace {

constexpr std::size_t longest_run = 64, least_repeats = 4, least_tokens = 64;

}  // namespace

bool goes_round(std::span<const TokenId> answer) {
  for (std::size_t run = 1; run <= longest_run; ++run) {
    const std::size_t repeated = std::max(run * least_repeats, least_tokens);
    if (answer.size() < repeated + run) continue;
    const auto tail = answer.last(repeated);
    if (std::equal(tail.begin(), tail.end(), tail.begin() - static_cast<std::ptrdiff_t>(run))) return true;
  }
  return false;
}

}  // namespace lectern::inference

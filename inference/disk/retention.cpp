// Turns are counted from the beginning of the chain, so that which of the old ones stay does not change as it grows:
// a state that was dropped could not come back.
#include "inference/disk/retention.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace lectern::inference {

namespace {
constexpr std::int64_t progress_spacing = 32'768;
constexpr std::int64_t kept_prompt_ends = 2;
constexpr std::int64_t kept_turn_ends = 4;
constexpr double chat_half_life_s = 6.0 * 3600;
constexpr double document_half_life_s = 14.0 * 24 * 3600;
}  // namespace

std::vector<std::int64_t> states_to_drop(std::span<const PathExtent> path) {
  std::vector<std::int64_t> drop;
  // Progress states before the last place that is more than that.
  std::size_t closed = path.size();
  while (closed > 0 && path[closed - 1].place == StatePlace::progress) --closed;
  std::int64_t last = 0;
  for (const PathExtent& extent : path.first(closed)) {
    if (extent.place != StatePlace::progress) {
      last = extent.end;
    } else if (extent.has_state) {
      if (extent.end - last >= progress_spacing)
        last = extent.end;
      else
        drop.push_back(extent.number);
    }
  }
  const auto turns = std::count_if(path.begin(), path.end(),
                                   [](const PathExtent& extent) { return extent.place == StatePlace::turn_end; });
  std::int64_t prompts_after = 0, turns_after = 0;
  for (std::size_t index = path.size(); index-- > 0;) {
    const PathExtent& extent = path[index];
    if (extent.place == StatePlace::prompt_end && prompts_after++ >= kept_prompt_ends && extent.has_state)
      drop.push_back(extent.number);
    if (extent.place == StatePlace::turn_end) {
      const std::int64_t turn = turns - turns_after;
      const std::int64_t age = turns_after++;
      if (age < kept_turn_ends || !extent.has_state) continue;
      const auto step = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(age / 2)));
      if (turn % step != 0) drop.push_back(extent.number);
    }
  }
  return drop;
}

double worth(StatePlace place, std::int64_t tokens, std::int64_t bytes, std::int64_t last_used_s, std::int64_t now_s) {
  const double age = static_cast<double>(std::max<std::int64_t>(now_s - last_used_s, 0));
  const double half_life = place == StatePlace::document_end ? document_half_life_s : chat_half_life_s;
  return -age / half_life + std::log2(static_cast<double>(tokens)) - std::log2(static_cast<double>(bytes));
}

}  // namespace lectern::inference

// What to keep of what was kept: which states are thinned, which extents go first when there is no room.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/disk/extent.h"

namespace lectern::inference {

/// An extent of a chain, as far as thinning looks at it.
struct PathExtent {
  std::int64_t number = 0;
  std::int64_t begin = 0, end = 0;
  StatePlace place = StatePlace::progress;
  bool has_state = false;
};
/// The states to drop when the last extent of `path` (root first) has been kept:
/// progress: once the segment has its end, all but one in 32,768 tokens;
/// prompt_end: all but the last two; turn_end: the last four stay, of those n turns old every 2^floor(log2(n / 2))th;
/// document_end: none.
std::vector<std::int64_t> states_to_drop(std::span<const PathExtent> path);

/// log2 of P(reuse) · tokens / bytes; the extent with the least goes first. P halves every 6 hours after the last use,
/// for the end of a document every 14 days. A use in the future counts as now.
double worth(StatePlace place, std::int64_t tokens, std::int64_t bytes, std::int64_t last_used_s, std::int64_t now_s);

}  // namespace lectern::inference

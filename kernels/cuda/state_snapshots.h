// The check that operations with snapshots of their state share.
#pragma once

#include <span>
#include <string>

#include "kernels/require.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// Throws Error{unsupported} unless there is a snapshot of the state's shape for each offset, and the offsets ascend
/// within 1..tokens.
inline void require_snapshots(const char* operation, std::int64_t tokens, const ConstTensor& state,
                              std::span<const std::int64_t> offsets, std::span<const Tensor> snapshots) {
  require(offsets.size() == snapshots.size(), operation, {{"state", state}}, "as many snapshots as offsets are needed");
  std::int64_t before = 1;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    require(
        offsets[i] >= before && offsets[i] <= tokens, operation, {{"state", state}},
        "snapshot offset " + std::to_string(offsets[i]) + " is out of order or outside 1.." + std::to_string(tokens));
    require(snapshots[i].type == state.type && same_shape(snapshots[i], state), operation,
            {{"state", state}, {"snapshot", snapshots[i]}}, "snapshots have the shape of the state");
    before = offsets[i];
  }
}

}  // namespace lectern::kernels::cuda

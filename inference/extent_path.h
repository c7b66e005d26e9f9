// Which extents on the disk hold the beginning of a token chain.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "inference/chain_segment.h"
#include "inference/disk/extent_store.h"

namespace lectern::inference {

/// Extents that join, from a chain's beginning to a place with a state from which a prefill may go on.
struct ExtentPath {
  std::int64_t position = 0;
  std::vector<StoredExtent> extents;
  std::vector<RowKind> rows;  // how the rows of the segments that they cover were computed, in order
};

/// The longest such path along `chain`, whose empty chain has the key `root`; empty if there is none. An extent belongs
/// to it if its segments begin where the chain's do and the key of the chain up to its end is its own: the ids are
/// compared when it is read. `usable`: whether its state may be used.
ExtentPath find_extent_path(ExtentStore& store, const ChainKey& root, std::span<const ChainSegment> chain,
                            const std::function<bool(const StoredExtent&)>& usable);

}  // namespace lectern::inference

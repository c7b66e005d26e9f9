// Kept extents on their way back into memory.
#pragma once

#include <memory>
#include <span>

#include "inference/disk/context_folder.h"
#include "inference/disk/extent_store.h"
#include "inference/types.h"

namespace lectern::inference {

/// ContextDisk::restore(). The folder outlives what it returns.
std::unique_ptr<ContextRestore> start_restore(ContextFolder& folder, const ReadingIdentity& identity,
                                              const ChainKey& root, const KeptShape& shape,
                                              std::span<const StoredExtent> path, std::span<const TokenId> tokens,
                                              const RestoreTarget& target);

}  // namespace lectern::inference

// The name of a token chain: everything that determines its keys, values and states, in 128 bits of XXH3.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string_view>

#include "inference/delta_snapshots.h"  // RowKind
#include "inference/types.h"

namespace lectern::inference {

/// A key is a hint where to look: whoever finds something by it compares the token ids as well.
struct ChainKey {
  std::uint64_t low = 0, high = 0;
  auto operator<=>(const ChainKey&) const = default;
};

/// The key of the empty chain of one identity (ReadingIdentity): chains of different identities never meet.
ChainKey root_key(std::string_view identity);
/// The key after `tokens` of a segment, all of it or its beginning, whose own beginning has the key `start`:
/// XXH3-128(XXH3-128(start, rows), ids). Taking the key of a segment's start marks where the 64-token grid begins anew.
ChainKey key_after(const ChainKey& start, RowKind rows, std::span<const TokenId> tokens);

}  // namespace lectern::inference

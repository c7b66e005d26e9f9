// A part of a token chain that was tokenised by itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "inference/chain_key.h"

namespace lectern::inference {

/// A request as the store sees it: segments, each of which starts a new chunk grid.
struct ChainSegment {
  std::vector<TokenId> tokens;
  /// decode: an answer given back by its ids, whose generated rows may be used; prefill: everything else.
  RowKind rows = RowKind::prefill;
  std::string id;  // of the request's segment, for deletion; empty for template text
};

/// Places inside a segment from which a prefill may be taken up again are multiples of this, or its end.
inline constexpr std::int64_t segment_grid = 64;

}  // namespace lectern::inference

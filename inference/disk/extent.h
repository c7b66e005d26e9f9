// An extent: the rows of a token chain between two places where its state was kept, and the state at the second.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "inference/chain_key.h"
#include "inference/delta_snapshots.h"

namespace lectern::inference {

/// What a state is kept for. It decides which states are thinned and which extents go first.
enum class StatePlace : std::uint8_t {
  progress,      // inside a segment that is being read, or where a reading was stopped
  document_end,  // where a document, or the instructions, end
  prompt_end,    // before an answer's first token: for the same question again
  turn_end,      // after an answer: where the conversation goes on
};

/// A segment, or the part of one, that lies in an extent.
struct ExtentPart {
  std::int64_t start = 0;  // position of the segment's first token; before the extent's begin if it goes on from there
  RowKind rows = RowKind::prefill;
  std::string id;  // stable identity of the request's segment: a document's fingerprint; empty for template text
  bool operator==(const ExtentPart&) const = default;
};

/// Rows [begin, end) of a chain. Extents join where the key of one is the parent of the next.
struct Extent {
  ChainKey parent;  // of the chain up to `begin`
  ChainKey key;     // of the chain up to `end`
  std::int64_t begin = 0, end = 0;
  std::vector<ExtentPart> parts;  // ascending; together they cover [begin, end)
  StatePlace place = StatePlace::progress;
  bool operator==(const Extent&) const = default;
};

}  // namespace lectern::inference

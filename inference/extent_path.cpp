// A walk from the empty chain, extent by extent: there may be several from one place, of other lengths, since readings
// stop where they are stopped. Each is followed; the furthest place that a prefill may go on from wins.
#include "inference/extent_path.h"

#include <optional>
#include <utility>

namespace lectern::inference {

namespace {

std::int64_t size_of(const std::vector<TokenId>& tokens) {
  return static_cast<std::int64_t>(tokens.size());
}

struct Place {
  std::int64_t position = 0;
  std::size_t segment = 0;         // that the position lies in or at the end of
  std::int64_t segment_start = 0;  // its first token's position
  ChainKey segment_key, key;       // of the chain up to its start, and up to the position
  bool allowed = true;             // a prefill may be taken up here
  std::vector<RowKind> rows;       // of the segments passed
  std::vector<StoredExtent> extents;
};

/// Where `extent` leads from `from`, if it goes along the chain.
std::optional<Place> step(std::span<const ChainSegment> chain, const Place& from, const StoredExtent& extent) {
  if (extent.begin != from.position || extent.end <= extent.begin || extent.parts.empty()) return std::nullopt;
  Place at = from;
  for (std::size_t index = 0; index < extent.parts.size(); ++index) {
    const ExtentPart& part = extent.parts[index];
    if (index > 0 || part.start == extent.begin) {  // a segment begins
      if (at.position > 0) {
        if (at.position != at.segment_start + size_of(chain[at.segment].tokens)) return std::nullopt;
        ++at.segment;
        at.segment_start = at.position;
        at.segment_key = at.key;
      }
      while (at.segment < chain.size() && chain[at.segment].tokens.empty()) ++at.segment;
      if (at.segment >= chain.size()) return std::nullopt;
      if (part.rows == RowKind::decode && chain[at.segment].rows != RowKind::decode) return std::nullopt;
      at.rows.push_back(part.rows);
    }
    if (part.start != at.segment_start || at.rows.empty() || part.rows != at.rows.back()) return std::nullopt;
    const std::int64_t end = index + 1 < extent.parts.size() ? extent.parts[index + 1].start : extent.end;
    const std::int64_t length = size_of(chain[at.segment].tokens), offset = end - at.segment_start;
    if (offset <= 0 || offset > length || end <= at.position) return std::nullopt;
    at.position = end;
    at.key = key_after(at.segment_key, part.rows,
                       std::span(chain[at.segment].tokens).first(static_cast<std::size_t>(offset)));
    at.allowed = offset == length || offset % segment_grid == 0 || part.rows == RowKind::decode;
  }
  if (at.position != extent.end || at.key != extent.key) return std::nullopt;
  at.extents.push_back(extent);
  return at;
}

}  // namespace

ExtentPath find_extent_path(ExtentStore& store, const ChainKey& root, std::span<const ChainSegment> chain,
                            const std::function<bool(const StoredExtent&)>& usable) {
  ExtentPath best;
  std::vector<Place> open(1);
  open[0].segment_key = open[0].key = root;
  while (!open.empty()) {
    const Place from = std::move(open.back());
    open.pop_back();
    for (const StoredExtent& extent : store.following(from.key)) {
      std::optional<Place> at = step(chain, from, extent);
      if (!at) continue;
      if (extent.has_state && usable(extent) && at->allowed && at->position > best.position)
        best = {at->position, at->extents, at->rows};
      open.push_back(std::move(*at));
    }
  }
  return best;
}

}  // namespace lectern::inference

// A segment's rows depend on all that stands before it, so one changed document makes the ones behind it be read again:
// only the first cause is told, and what was never read at all.
#include "inference/reading_history.h"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace lectern::inference {

namespace {

constexpr std::size_t most_remembered = 1 << 16;

std::uint64_t content_hash(const std::vector<TokenId>& tokens) {
  return XXH3_64bits(tokens.data(), tokens.size() * sizeof(TokenId));
}

}  // namespace

std::vector<ReadingHistory::Part> ReadingHistory::parts_of(const PromptChain& chain) {
  std::vector<Part> parts;
  for (std::size_t index = 0; index < chain.segments.size(); ++index)
    if (chain.labels[index].kind == SegmentLabel::Kind::document)
      parts.push_back({chain.labels[index].id, content_hash(chain.segments[index].tokens)});
  return parts;
}

std::vector<MissReason> ReadingHistory::explain(const std::string& conversation, const PromptChain& chain,
                                                std::int64_t kept, const ContextStore* store) const {
  std::vector<MissReason> reasons;
  if (kept >= chain.tokens()) return reasons;
  if (!store) return {MissReason::cache_off};
  const auto add = [&](MissReason reason) {
    if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) reasons.push_back(reason);
  };
  const auto last = last_.find(conversation);
  std::vector<Part> before = last == last_.end() ? std::vector<Part>() : last->second;
  const std::vector<Part> now = parts_of(chain);
  bool cause_known = false;
  std::int64_t end = 0;
  std::size_t document = 0;
  for (std::size_t index = 0; index < chain.segments.size(); ++index) {
    const ChainSegment& segment = chain.segments[index];
    const SegmentLabel& label = chain.labels[index];
    end += static_cast<std::int64_t>(segment.tokens.size());
    const std::size_t place = document;
    if (label.kind == SegmentLabel::Kind::document) ++document;
    const bool new_message = label.kind == SegmentLabel::Kind::message && segment.rows == RowKind::prefill;
    if (end <= kept || label.kind == SegmentLabel::Kind::template_text || new_message) continue;

    if (store->was_kept({chain.segments.data(), index + 1})) {
      add(store->was_cleared() ? MissReason::cleared : MissReason::evicted);
      cause_known = true;
    } else if (!contents_.contains(content_hash(segment.tokens))) {
      // New text. In the place of a document that the conversation had before and has no more: that one changed.
      const bool replaced =
          label.kind == SegmentLabel::Kind::document && place < before.size() &&
          std::none_of(now.begin(), now.end(), [&](const Part& part) { return part.content == before[place].content; });
      add(replaced ? MissReason::document_changed : MissReason::first_read);
      cause_known = cause_known || replaced;
    } else if (!cause_known) {
      add(MissReason::order_changed);
      cause_known = true;
    }
  }
  if (reasons.empty() && kept == 0) add(MissReason::first_read);
  return reasons;
}

void ReadingHistory::remember(const std::string& conversation, const PromptChain& chain) {
  if (last_.size() >= most_remembered) last_.clear();
  if (contents_.size() >= most_remembered) contents_.clear();
  last_[conversation] = parts_of(chain);
  for (const ChainSegment& segment : chain.segments) contents_.insert(content_hash(segment.tokens));
}

}  // namespace lectern::inference

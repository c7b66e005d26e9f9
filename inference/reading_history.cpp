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

std::vector<ReadPart> ReadingHistory::documents_of(const PromptChain& chain) {
  std::vector<ReadPart> documents;
  for (std::size_t index = 0; index < chain.segments.size(); ++index)
    if (chain.labels[index].kind == SegmentLabel::Kind::document)
      documents.push_back({chain.segments[index].id, content_hash(chain.segments[index].tokens)});
  return documents;
}

std::vector<ReadPart> ReadingHistory::last_documents(const std::string& conversation) const {
  const auto last = last_.find(conversation);
  if (last != last_.end()) return last->second;
  return log_ ? log_->last_reading(conversation) : std::vector<ReadPart>();
}

std::optional<ReadingIdentity> ReadingHistory::reader_of(std::uint64_t content) const {
  if (contents_.contains(content)) return identity_;
  return log_ ? log_->reader_of(content) : std::nullopt;
}

bool ReadingHistory::stood_elsewhere(const std::string& document, std::int64_t place) const {
  std::set<std::int64_t> places;
  if (const auto found = places_.find(document); found != places_.end()) places = found->second;
  if (log_)
    for (std::int64_t known : log_->places_of(document)) places.insert(known);
  return !places.empty() && !places.contains(place);
}

std::vector<MissReason> ReadingHistory::explain(const std::string& conversation, const PromptChain& chain,
                                                std::int64_t kept, const ContextStore* store) const {
  std::vector<MissReason> reasons;
  if (kept >= chain.tokens()) return reasons;
  if (!store) return {MissReason::cache_off};
  const auto add = [&](MissReason reason) {
    if (std::find(reasons.begin(), reasons.end(), reason) == reasons.end()) reasons.push_back(reason);
  };
  const std::vector<ReadPart> before = last_documents(conversation), now = documents_of(chain);
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

    if (const auto gone = store->forgotten({chain.segments.data(), index + 1})) {
      add(*gone == Forgotten::cleared   ? MissReason::cleared
          : *gone == Forgotten::damaged ? MissReason::damaged
                                        : MissReason::evicted);
      cause_known = true;
      continue;
    }
    const std::optional<ReadingIdentity> reader = reader_of(content_hash(segment.tokens));
    if (!reader) {
      if (log_ && !log_->is_usable()) {  // it may have been kept, where nobody can look now
        add(MissReason::cache_off);
        cause_known = true;
        continue;
      }
      const bool is_document = label.kind == SegmentLabel::Kind::document && !segment.id.empty();
      const auto has_id = [&](const ReadPart& part) { return part.id == segment.id; };
      const bool same_place = place < before.size() && has_id(before[place]);
      // Its text carries its number, which changes when it is moved.
      if (is_document && !same_place && stood_elsewhere(segment.id, static_cast<std::int64_t>(place))) {
        if (!cause_known) add(MissReason::order_changed);
        cause_known = true;
        continue;
      }
      // New text. In the place of a document that the conversation had before and has no more: that one changed.
      const bool replaced = is_document && place < before.size() &&
                            (same_place || std::none_of(now.begin(), now.end(), [&](const ReadPart& part) {
                               return part.id == before[place].id;
                             }));
      add(replaced ? MissReason::document_changed : MissReason::first_read);
      cause_known = cause_known || replaced;
    } else if (!cause_known) {
      add(reader->model != identity_.model         ? MissReason::model_changed
          : reader->settings != identity_.settings ? MissReason::settings_changed
          : reader->build != identity_.build       ? MissReason::build_changed
                                                   : MissReason::order_changed);
      cause_known = true;
    }
  }
  if (reasons.empty() && kept == 0) add(MissReason::first_read);
  return reasons;
}

void ReadingHistory::remember(const std::string& conversation, const PromptChain& chain) {
  if (last_.size() >= most_remembered) last_.clear();
  if (contents_.size() >= most_remembered) contents_.clear();
  const std::vector<ReadPart> documents = documents_of(chain);
  std::vector<std::uint64_t> contents;
  for (const ChainSegment& segment : chain.segments) contents.push_back(content_hash(segment.tokens));
  contents_.insert(contents.begin(), contents.end());
  if (places_.size() >= most_remembered) places_.clear();
  for (std::size_t place = 0; place < documents.size(); ++place)
    places_[documents[place].id].insert(static_cast<std::int64_t>(place));
  if (log_) log_->remember_reading(conversation, documents, contents);
  last_[conversation] = documents;
}

}  // namespace lectern::inference

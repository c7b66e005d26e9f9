// A node holds one segment: its ids, the pages of its slots (the first may be shared with its parent), and snapshots in
// ascending order. A segment that is still being read is a node whose ids are a prefix; it grows until it is complete
// and only then may have children. Looking up walks complete nodes, then finds the furthest allowed place inside a last
// one. A place is allowed at a segment's end or on its 64-token grid, because only there does a later prefill give the
// same bits; a model with DeltaNet layers needs a snapshot there too, a pure-attention one only the rows. Nodes of
// generated rows match only answers that come back by their ids. Eviction takes the least recently used leaf back to
// its previous snapshot, then its parent's rows behind the parent's last snapshot, and so on, so that no rows are ever
// left without a state behind them. Inside a completed segment snapshots are thinned to every 32,768 tokens.
#include "inference/context_store.h"

#include <algorithm>
#include <cassert>
#include <functional>

namespace lectern::inference {

namespace {

constexpr std::int64_t interior_spacing = 32768;
constexpr std::size_t most_remembered_keys = 1 << 18;
constexpr std::int64_t node_bytes = 512;  // a node's own memory, roughly

std::int64_t size_of(const std::vector<TokenId>& tokens) {
  return static_cast<std::int64_t>(tokens.size());
}

std::int64_t common_prefix(const std::vector<TokenId>& a, const std::vector<TokenId>& b) {
  const auto [first, second] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return first - a.begin();
}

}  // namespace

struct ContextStore::Node {
  Node* parent = nullptr;
  std::vector<std::unique_ptr<Node>> children;
  ChainKey key;  // of the chain up to this segment's end; set when complete
  RowKind rows = RowKind::prefill;
  std::vector<TokenId> tokens;
  bool complete = false;
  std::int64_t start = 0;
  std::vector<PageRef> pages;
  std::vector<std::unique_ptr<DeltaSnapshot>> snapshots;
  std::uint64_t last_used = 0;

  std::int64_t end() const { return start + size_of(tokens); }
  std::int64_t first_page() const { return start / kernels::kv_page_tokens; }
};

struct ContextStore::Candidate {
  std::int64_t position = 0;
  Node* node = nullptr;
  const DeltaSnapshot* snapshot = nullptr;
};

ContextStore::ContextStore(KvPagePool& pool, const DeltaShape& shape, std::string_view fingerprint,
                           std::int64_t budget_bytes)
    : pool_(pool), shape_(shape), budget_bytes_(budget_bytes), root_(std::make_unique<Node>()) {
  root_->key = root_key(fingerprint);
  root_->complete = true;
}
ContextStore::~ContextStore() = default;

ContextStore::Node* ContextStore::find_complete(Node& parent, const ChainSegment& segment) const {
  Node* found = nullptr;
  for (const auto& child : parent.children) {
    if (!child->complete || (child->rows == RowKind::decode && segment.rows != RowKind::decode)) continue;
    if (child->tokens != segment.tokens) continue;
    if (!found || child->rows == segment.rows) found = child.get();
  }
  return found;
}

// A child that already holds the first `available` tokens, or an incomplete one that they continue.
ContextStore::Node* ContextStore::find_extendable(Node& parent, const ChainSegment& segment,
                                                  std::int64_t available) const {
  Node* longest = nullptr;
  for (const auto& child : parent.children) {
    if (child->rows != segment.rows) continue;
    const std::int64_t common = common_prefix(child->tokens, segment.tokens);
    const bool holds_all = common >= available && available < size_of(segment.tokens);
    const bool continues = !child->complete && common == size_of(child->tokens);
    if ((holds_all || continues) && (!longest || size_of(child->tokens) > size_of(longest->tokens)))
      longest = child.get();
  }
  return longest;
}

void ContextStore::consider(Node& node, const ChainSegment& segment, std::int64_t total, Candidate& best) const {
  const std::int64_t length = size_of(segment.tokens);
  const std::int64_t common = common_prefix(node.tokens, segment.tokens);
  const auto allowed = [&](std::int64_t offset) {
    if (offset == length) return node.complete && size_of(node.tokens) == length;
    return offset % segment_grid == 0 || (node.rows == RowKind::decode && offset == size_of(node.tokens));
  };
  for (const auto& snapshot : node.snapshots) {
    const std::int64_t offset = snapshot->position - node.start;
    if (offset > common || !allowed(offset) || snapshot->position < best.position) continue;
    if (snapshot->position == total && snapshot->hidden.empty()) continue;
    best = {snapshot->position, &node, snapshot.get()};
  }
  if (shape_.layers > 0 || (node.rows == RowKind::decode && common < size_of(node.tokens))) return;
  std::int64_t offset = allowed(common) ? common : common / segment_grid * segment_grid;
  if (node.start + offset == total) offset = (offset - 1) / segment_grid * segment_grid;  // no hidden row is kept there
  if (offset > 0 && node.start + offset > best.position) best = {node.start + offset, &node, nullptr};
}

ContextStore::Node* ContextStore::load(Node& parent, const ChainSegment& segment) {
  if (!backend_) return nullptr;
  const std::int64_t end = parent.end() + size_of(segment.tokens);
  const std::int64_t page_count =
      (end + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens - parent.end() / kernels::kv_page_tokens;
  for (RowKind rows : {RowKind::decode, RowKind::prefill}) {
    if (rows == RowKind::decode && segment.rows != RowKind::decode) continue;
    const ChainKey key = key_after(parent.key, rows, segment.tokens);
    auto record = backend_->load(key, pool_);
    const bool sound = record && record->key == key && record->rows == rows && record->tokens == segment.tokens &&
                       record->start == parent.end() && !record->snapshots.empty() &&
                       record->snapshots.back()->position == end && record->snapshots.back()->is_finite() &&
                       static_cast<std::int64_t>(record->pages.size()) == page_count;
    if (!sound) continue;
    auto node = std::make_unique<Node>();
    node->parent = &parent;
    node->key = key;
    node->rows = rows;
    node->tokens = std::move(record->tokens);
    node->complete = true;
    node->start = record->start;
    node->pages = std::move(record->pages);
    node->snapshots = std::move(record->snapshots);
    for (const PageRef& page : node->pages) add_page(page);
    tokens_ += size_of(node->tokens);
    snapshots_ += static_cast<std::int64_t>(node->snapshots.size());
    ++segments_;
    parent.children.push_back(std::move(node));
    return parent.children.back().get();
  }
  return nullptr;
}

ResumePoint ContextStore::longest_kept_prefix(std::span<const ChainSegment> chain) {
  std::int64_t total = 0;
  for (const ChainSegment& segment : chain) total += size_of(segment.tokens);
  ++counters_.lookups;
  ++clock_;

  Candidate best;
  Node* node = root_.get();
  std::int64_t loaded = 0;
  for (const ChainSegment& segment : chain) {
    if (segment.tokens.empty()) continue;
    Node* next = find_complete(*node, segment);
    if (!next && (next = load(*node, segment))) loaded += size_of(segment.tokens);
    if (!next) {
      for (const auto& child : node->children)
        if (child->rows == RowKind::prefill || segment.rows == RowKind::decode) consider(*child, segment, total, best);
      break;
    }
    consider(*next, segment, total, best);
    node = next;
  }

  ResumePoint point;
  point.position = best.position;
  point.snapshot = best.snapshot;
  std::vector<Node*> path;
  for (Node* at = best.node; at && at != root_.get(); at = at->parent) path.insert(path.begin(), at);
  for (Node* at : path) {
    at->last_used = clock_;
    point.pages.resize(static_cast<std::size_t>(at->first_page()));  // a shared page: the child's has its slots too
    for (const PageRef& page : at->pages) point.pages.push_back(page);
  }
  point.pages.resize(static_cast<std::size_t>((best.position + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens));
  point.loaded = std::min(loaded, best.position);
  counters_.reused_tokens += point.position - point.loaded;
  counters_.loaded_tokens += point.loaded;
  return point;
}

void ContextStore::add_page(const PageRef& page) {
  ++kept_pages_[page.identity()];
}
void ContextStore::drop_page(const PageRef& page) {
  const auto found = kept_pages_.find(page.identity());
  assert(found != kept_pages_.end());
  if (--found->second == 0) kept_pages_.erase(found);
}

void ContextStore::set_rows(Node& node, const ChainSegment& segment, std::int64_t available,
                            std::span<const PageRef> pages) {
  tokens_ += available - size_of(node.tokens);
  node.tokens.assign(segment.tokens.begin(), segment.tokens.begin() + available);
  const std::int64_t last_page = (node.end() + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens;
  std::vector<PageRef> kept(pages.begin() + node.first_page(), pages.begin() + last_page);
  for (const PageRef& page : kept) add_page(page);
  for (const PageRef& page : node.pages) drop_page(page);
  node.pages = std::move(kept);
  if (available == size_of(segment.tokens)) {
    node.complete = true;
    node.key = key_after(node.parent->key, node.rows, node.tokens);
    if (ever_kept_.size() >= most_remembered_keys) ever_kept_.clear();
    ever_kept_.insert(node.key.low);
    thin(node);
  }
}

bool ContextStore::publish(std::span<const ChainSegment> chain, std::int64_t position, std::span<const PageRef> pages,
                           std::unique_ptr<DeltaSnapshot> snapshot) {
  if (!snapshot || snapshot->position != position || position <= 0 || !snapshot->is_finite()) return false;
  if (static_cast<std::int64_t>(pages.size()) * kernels::kv_page_tokens < position) return false;
  ++clock_;
  Node* node = root_.get();
  for (const ChainSegment& segment : chain) {
    const std::int64_t available = std::min(size_of(segment.tokens), position - node->end());
    if (available <= 0) {
      if (size_of(segment.tokens) == 0) continue;
      break;
    }
    Node* next = available == size_of(segment.tokens) ? find_complete(*node, segment) : nullptr;
    if (!next) next = find_extendable(*node, segment, available);
    if (!next) {
      auto fresh = std::make_unique<Node>();
      fresh->parent = node;
      fresh->rows = segment.rows;
      fresh->start = node->end();
      next = fresh.get();
      node->children.push_back(std::move(fresh));
      ++segments_;
    }
    if (!next->complete && size_of(next->tokens) <= available) set_rows(*next, segment, available, pages);
    next->last_used = clock_;
    if (next->start + available == position) {  // the state belongs here, perhaps inside a longer node
      const auto at = std::find_if(next->snapshots.begin(), next->snapshots.end(),
                                   [&](const auto& kept) { return kept->position >= position; });
      if (at == next->snapshots.end() || (*at)->position != position) {
        next->snapshots.insert(at, std::move(snapshot));
        ++snapshots_;
      } else if ((*at)->hidden.empty()) {
        *at = std::move(snapshot);
      }
      break;
    }
    node = next;
  }
  keep_within_budget();
  assert(audit().empty());
  return true;
}

bool ContextStore::was_kept(std::span<const ChainSegment> chain) const {
  ChainKey key = root_->key;
  for (const ChainSegment& segment : chain)
    if (!segment.tokens.empty()) key = key_after(key, segment.rows, segment.tokens);
  return ever_kept_.contains(key.low);
}

// The rows and states of a completed segment's inside matter less than its end: one in 32,768 tokens stays.
void ContextStore::thin(Node& node) {
  std::int64_t last = node.start;
  std::erase_if(node.snapshots, [&](const auto& snapshot) {
    if (snapshot->position == node.end()) return false;
    if (snapshot->position - last >= interior_spacing) {
      last = snapshot->position;
      return false;
    }
    --snapshots_;
    return true;
  });
}

// Drops the rows of a leaf behind its last snapshot; the whole leaf, and its ancestors' rows likewise, if none is left.
void ContextStore::cut_back(Node& node) {
  const std::int64_t kept = node.snapshots.empty() ? 0 : node.snapshots.back()->position - node.start;
  if (kept == size_of(node.tokens)) return;
  const std::int64_t lost = size_of(node.tokens) - kept;
  counters_.evicted_tokens += lost;
  tokens_ -= lost;
  if (kept > 0) {
    node.tokens.resize(static_cast<std::size_t>(kept));
    node.complete = false;
    const std::int64_t last_page = (node.end() + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens;
    while (node.first_page() + static_cast<std::int64_t>(node.pages.size()) > last_page) {
      drop_page(node.pages.back());
      node.pages.pop_back();
    }
    return;
  }
  for (const PageRef& page : node.pages) drop_page(page);
  Node* parent = node.parent;
  --segments_;
  std::erase_if(parent->children, [&](const auto& child) { return child.get() == &node; });
  if (parent != root_.get() && parent->children.empty()) cut_back(*parent);
}

void ContextStore::for_each(const Node& node, auto&& visit) const {
  for (const auto& child : node.children) {
    visit(*child);
    for_each(*child, visit);
  }
}

void ContextStore::save(const Node& node) {
  if (!backend_ || !node.complete || node.snapshots.empty()) return;
  SegmentRecord record;
  record.parent = node.parent->key;
  record.key = node.key;
  record.rows = node.rows;
  record.tokens = node.tokens;
  record.start = node.start;
  record.pages = node.pages;
  for (const auto& snapshot : node.snapshots) record.snapshots.push_back(std::make_unique<DeltaSnapshot>(*snapshot));
  backend_->save(record);
}

bool ContextStore::evict_one() {
  Node* oldest = nullptr;
  for_each(*root_, [&](const Node& node) {
    if (node.children.empty() && (!oldest || node.last_used < oldest->last_used)) oldest = const_cast<Node*>(&node);
  });
  if (!oldest) return false;
  for (Node* at = oldest; at != root_.get(); at = at->parent) save(*at);
  if (!oldest->snapshots.empty()) {
    oldest->snapshots.pop_back();
    --snapshots_;
  }
  cut_back(*oldest);
  assert(audit().empty());
  return true;
}

void ContextStore::keep_within_budget() {
  while (stats().bytes > budget_bytes_ && evict_one()) {
  }
}

void ContextStore::clear() {
  root_->children.clear();
  kept_pages_.clear();
  snapshots_ = tokens_ = segments_ = 0;
  was_cleared_ = true;
  if (backend_) backend_->clear();
  pool_.trim();
}

ContextStoreStats ContextStore::stats() const {
  ContextStoreStats now = counters_;
  now.segments = segments_;
  now.tokens = tokens_;
  now.pages = static_cast<std::int64_t>(kept_pages_.size());
  now.snapshots = snapshots_;
  now.bytes = now.pages * pool_.page_bytes() + now.snapshots * shape_.bytes() +
              tokens_ * static_cast<std::int64_t>(sizeof(TokenId)) + segments_ * node_bytes;
  now.budget_bytes = budget_bytes_;
  return now;
}

std::string ContextStore::audit() const {
  std::unordered_map<const void*, std::int64_t> pages;
  std::int64_t snapshots = 0, tokens = 0, segments = 0;
  std::string wrong;
  for_each(*root_, [&](const Node& node) {
    ++segments;
    tokens += size_of(node.tokens);
    snapshots += static_cast<std::int64_t>(node.snapshots.size());
    for (const PageRef& page : node.pages) ++pages[page.identity()];
    const auto fail = [&](const char* what) {
      wrong += "segment at " + std::to_string(node.start) + ": " + what + "\n";
    };
    if (node.tokens.empty()) fail("has no tokens");
    if (node.start != node.parent->end()) fail("does not follow its parent");
    if (!node.parent->complete) fail("its parent is not complete");
    if (node.complete && node.key != key_after(node.parent->key, node.rows, node.tokens))
      fail("its key is not its chain's");
    if (node.children.empty() && (node.snapshots.empty() || node.snapshots.back()->position != node.end()))
      fail("a leaf that does not end in a state");
    const std::int64_t last_page = (node.end() + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens;
    if (node.first_page() + static_cast<std::int64_t>(node.pages.size()) != last_page)
      fail("pages do not match its rows");
    std::int64_t last = node.start;
    for (const auto& snapshot : node.snapshots) {
      if (snapshot->position <= last || snapshot->position > node.end()) fail("a state is not at its place");
      last = snapshot->position;
    }
  });
  if (pages != kept_pages_) wrong += "the counts of kept pages do not add up\n";
  if (snapshots != snapshots_ || tokens != tokens_ || segments != segments_) wrong += "the counters do not add up\n";
  return wrong;
}

}  // namespace lectern::inference

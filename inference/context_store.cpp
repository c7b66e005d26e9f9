// A node holds one segment: its ids, the pages of its slots (the first may be shared with its parent), and snapshots in
// ascending order. A segment that is still being read is a node whose ids are a prefix; it grows until it is complete
// and only then may have children. Looking up walks complete nodes, then finds the furthest allowed place inside a last
// one. A place is allowed at a segment's end or on its 64-token grid, because only there does a later prefill give the
// same bits; a model with DeltaNet layers needs a snapshot there too, a pure-attention one only the rows. Nodes of
// generated rows match only answers that come back by their ids. Eviction takes the least recently used leaf back to
// its previous snapshot, then its parent's rows behind the parent's last snapshot, and so on, so that no rows are ever
// left without a state behind them. Inside a completed segment snapshots are thinned to every 32,768 tokens.
//
// On the disk the same chains are extents, cut where states were published and not at segments' ends. Every publication
// saves the extent from the last place that the disk holds. Looking up follows extents key by key; where they reach
// further than memory, the rows that memory has are used and the rest is restored behind the first pass.
#include "inference/context_store.h"

#include <algorithm>
#include <cassert>
#include <functional>

namespace lectern::inference {

namespace {

constexpr std::int64_t interior_spacing = 32768;
constexpr std::size_t most_remembered_keys = 1 << 18;
constexpr std::int64_t node_bytes = 512;  // a node's own memory, roughly
constexpr std::size_t most_failed = 1 << 16;

std::int64_t size_of(const std::vector<TokenId>& tokens) {
  return static_cast<std::int64_t>(tokens.size());
}

std::int64_t size_of(std::span<const ChainSegment> chain) {
  std::int64_t total = 0;
  for (const ChainSegment& segment : chain) total += size_of(segment.tokens);
  return total;
}

std::int64_t pages_for(std::int64_t tokens) {
  return (tokens + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens;
}

std::int64_t common_prefix(const std::vector<TokenId>& a, const std::vector<TokenId>& b) {
  const auto [first, second] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return first - a.begin();
}

std::span<const TokenId> front(const std::vector<TokenId>& tokens, std::int64_t count) {
  return std::span(tokens).first(static_cast<std::size_t>(count));
}

}  // namespace

struct ContextStore::Node {
  Node* parent = nullptr;
  std::vector<std::unique_ptr<Node>> children;
  ChainKey key;  // of the chain up to this segment's end; set when complete
  RowKind rows = RowKind::prefill;
  std::vector<std::string> ids;  // of the segments that it was read for: several files may hold the same text
  std::vector<TokenId> tokens;
  bool complete = false;
  std::int64_t start = 0;
  std::vector<PageRef> pages;
  std::vector<std::unique_ptr<DeltaSnapshot>> snapshots;
  std::vector<std::int64_t> saved;  // ascending places inside where an extent on the disk ended when it was saved
  std::uint64_t last_used = 0;

  std::int64_t end() const { return start + size_of(tokens); }
  std::int64_t first_page() const { return start / kernels::kv_page_tokens; }
  void add_id(const std::string& id) {
    if (!id.empty() && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  ChainKey key_at(std::int64_t position) const {
    return complete && position == end() ? key : key_after(parent->key, rows, front(tokens, position - start));
  }
};

struct ContextStore::InMemory {
  std::int64_t position = 0;
  Node* node = nullptr;
  const DeltaSnapshot* snapshot = nullptr;
};

ContextStore::ContextStore(KvPagePool& pool, const DeltaShape& shape, std::string_view identity,
                           std::int64_t budget_bytes)
    : pool_(pool), shape_(shape), budget_bytes_(budget_bytes), root_(std::make_unique<Node>()) {
  root_->key = root_key(identity);
  root_->complete = true;
}
ContextStore::~ContextStore() = default;

ContextStore::Node* ContextStore::find_complete(const Node& parent, const ChainSegment& segment) const {
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

void ContextStore::consider(Node& node, const ChainSegment& segment, std::int64_t total, InMemory& best) const {
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

ContextStore::InMemory ContextStore::find_in_memory(std::span<const ChainSegment> chain) const {
  const std::int64_t total = size_of(chain);
  InMemory best;
  const Node* node = root_.get();
  for (const ChainSegment& segment : chain) {
    if (segment.tokens.empty()) continue;
    Node* next = find_complete(*node, segment);
    if (!next) {
      for (const auto& child : node->children)
        if (child->rows == RowKind::prefill || segment.rows == RowKind::decode) consider(*child, segment, total, best);
      break;
    }
    consider(*next, segment, total, best);
    node = next;
  }
  return best;
}

ExtentPath ContextStore::find_on_disk(std::span<const ChainSegment> chain) const {
  if (!disk_) return {};
  return find_extent_path(*disk_, root_->key, chain,
                          [&](const StoredExtent& extent) { return !failed_.contains(extent.number); });
}

KeptPrefix ContextStore::kept_prefix(std::span<const ChainSegment> chain) const {
  const std::int64_t in_memory = find_in_memory(chain).position;
  return {std::max(in_memory, find_on_disk(chain).position), in_memory};
}

std::vector<PageRef> ContextStore::pages_of(const Node* node, std::int64_t position) const {
  std::vector<const Node*> path;
  for (const Node* at = node; at && at != root_.get(); at = at->parent) path.push_back(at);
  std::vector<PageRef> pages;
  for (auto at = path.rbegin(); at != path.rend(); ++at) {
    pages.resize(static_cast<std::size_t>((*at)->first_page()));  // a shared page: the child's has its slots too
    for (const PageRef& page : (*at)->pages) pages.push_back(page);
  }
  pages.resize(static_cast<std::size_t>(pages_for(position)));
  return pages;
}

void ContextStore::forget_what_was_cleared() {
  if (!disk_) return;
  const Clearings clearings = disk_->new_clearings();
  if (clearings.everything)
    clear();
  else if (!clearings.empty())
    clear_those(clearings);
}

ResumePoint ContextStore::resume(std::span<const ChainSegment> chain, Sequence& sequence) {
  ++counters_.lookups;
  ++clock_;
  sequence.restart(pool_);
  pending_.reset();
  const InMemory memory = find_in_memory(chain);
  while (true) {  // ends: what fails is not found again, whether the disk could put it away or not
    const ExtentPath disk = find_on_disk(chain);
    if (disk.position <= memory.position) break;
    if (std::optional<ResumePoint> point = start_restore(chain, disk, sequence)) return *point;
    remember_failed(disk.extents);
    sequence.restart(pool_);
  }
  ResumePoint point;
  point.position = memory.position;
  sequence.kv = KvSequence(pool_, pages_of(memory.node, memory.position), memory.position);
  if (memory.snapshot) {
    sequence.state.copy_from(memory.snapshot->state);
    point.hidden = memory.snapshot->hidden;
    point.hidden_rows = memory.snapshot->rows;
  }
  std::vector<Node*> used;
  for (Node* at = memory.node; at && at != root_.get(); at = at->parent) used.push_back(at);
  for (const ChainSegment& segment : chain) {
    if (used.empty()) break;
    if (segment.tokens.empty()) continue;
    used.back()->last_used = clock_;
    used.back()->add_id(segment.id);
    used.pop_back();
  }
  counters_.reused_tokens += point.position;
  return point;
}

std::optional<ResumePoint> ContextStore::start_restore(std::span<const ChainSegment> chain, const ExtentPath& disk,
                                                       Sequence& sequence) {
  auto pending = std::make_unique<Pending>();
  std::vector<TokenId> tokens;
  for (const ChainSegment& segment : chain) {
    if (segment.tokens.empty()) continue;
    if (pending->chain.size() == disk.rows.size()) break;
    pending->chain.push_back(segment);
    pending->chain.back().rows = disk.rows[pending->chain.size() - 1];
    tokens.insert(tokens.end(), segment.tokens.begin(), segment.tokens.end());
  }
  pending->path = disk.extents;

  // Rows of the same kind that memory has, with or without a state behind them.
  Node* node = root_.get();
  std::int64_t in_memory = 0;
  for (const ChainSegment& segment : pending->chain) {
    Node* longest = nullptr;
    std::int64_t common = 0;
    for (const auto& child : node->children) {
      const std::int64_t shared = child->rows == segment.rows ? common_prefix(child->tokens, segment.tokens) : 0;
      if (shared > common) longest = child.get(), common = shared;
    }
    if (!longest) break;
    longest->last_used = clock_;
    in_memory = std::min(longest->start + common, disk.position);
    node = longest;
    if (!longest->complete || common < size_of(longest->tokens) || common < size_of(segment.tokens)) break;
  }

  sequence.kv = KvSequence(pool_, pages_of(node, in_memory), in_memory);
  sequence.kv.reserve(disk.position - in_memory);
  sequence.kv.advance(disk.position - in_memory);
  std::size_t first = 0;
  while (first + 1 < disk.extents.size() && disk.extents[first].end <= in_memory) ++first;
  const auto path = std::span(disk.extents).subspan(first);
  auto snapshot = std::make_unique<DeltaSnapshot>(shape_);
  const RestoreTarget target{&sequence.kv, in_memory, snapshot.get()};
  const auto wanted = std::span<const TokenId>(tokens)
                          .subspan(static_cast<std::size_t>(path.front().begin))
                          .first(static_cast<std::size_t>(disk.position - path.front().begin));
  std::unique_ptr<ContextRestore> restore = disk_->restore(path, wanted, target);
  if (!restore) return std::nullopt;
  sequence.restore = std::make_unique<PendingRestore>(std::move(restore), std::move(snapshot), disk.position);
  pending_ = std::move(pending);
  ResumePoint point;
  point.position = disk.position;
  point.loaded = disk.position - in_memory;
  return point;
}

bool ContextStore::settle(Sequence& sequence, ResumePoint& point) {
  if (!sequence.restore) return true;
  assert(pending_);
  const std::unique_ptr<Pending> pending = std::move(pending_);
  const std::int64_t position = sequence.restore->end();
  std::unique_ptr<DeltaSnapshot> snapshot;
  if (sequence.restore->finish(sequence.state)) snapshot = sequence.restore->take_snapshot();
  sequence.restore.reset();
  if (!snapshot || snapshot->position != position || !snapshot->is_finite()) {
    sequence.restart(pool_);
    remember_failed(pending->path);
    return false;
  }
  point.hidden = snapshot->hidden;
  point.hidden_rows = snapshot->rows;
  counters_.reused_tokens += point.position - point.loaded;
  counters_.loaded_tokens += point.loaded;
  Node* node = insert(pending->chain, position, sequence.kv.pages(), std::move(snapshot));
  for (Node* at = node; at != root_.get(); at = at->parent)
    for (const StoredExtent& extent : pending->path)
      if (extent.end > at->start && extent.end <= at->end()) mark_saved(*at, extent.end);
  keep_within_budget();
  assert(audit().empty());
  return true;
}

// The end of the path is not tried again, whether the disk could put away what is damaged or not. What is behind the
// place from which reading goes on then was damaged, as far as anybody can tell.
void ContextStore::remember_failed(std::span<const StoredExtent> path) {
  if (failed_.size() >= most_failed) failed_.clear();
  failed_.insert(path.back().number);
  for (const StoredExtent& extent : path) ever_kept_[extent.key.low] = Forgotten::damaged;
}

void ContextStore::mark_saved(Node& node, std::int64_t position) {
  const auto at = std::lower_bound(node.saved.begin(), node.saved.end(), position);
  if (at == node.saved.end() || *at != position) node.saved.insert(at, position);
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
  const std::int64_t last_page = pages_for(node.end());
  std::vector<PageRef> kept(pages.begin() + node.first_page(), pages.begin() + last_page);
  for (const PageRef& page : kept) add_page(page);
  for (const PageRef& page : node.pages) drop_page(page);
  node.pages = std::move(kept);
  if (available == size_of(segment.tokens)) {
    node.complete = true;
    node.key = key_after(node.parent->key, node.rows, node.tokens);
    if (ever_kept_.size() >= most_remembered_keys) ever_kept_.clear();
    ever_kept_[node.key.low] = Forgotten::evicted;
    thin(node);
  }
}

ContextStore::Node* ContextStore::insert(std::span<const ChainSegment> chain, std::int64_t position,
                                         std::span<const PageRef> pages, std::unique_ptr<DeltaSnapshot> snapshot) {
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
    next->add_id(segment.id);
    if (next->start + available == position) {  // the state belongs here, perhaps inside a longer node
      const auto at = std::find_if(next->snapshots.begin(), next->snapshots.end(),
                                   [&](const auto& kept) { return kept->position >= position; });
      if (at == next->snapshots.end() || (*at)->position != position) {
        next->snapshots.insert(at, std::move(snapshot));
        ++snapshots_;
      } else if ((*at)->hidden.empty()) {
        *at = std::move(snapshot);
      }
      return next;
    }
    node = next;
  }
  return node;
}

bool ContextStore::publish(std::span<const ChainSegment> chain, std::int64_t position, std::span<const PageRef> pages,
                           std::unique_ptr<DeltaSnapshot> snapshot, StatePlace place) {
  if (!snapshot || snapshot->position != position || position <= 0 || !snapshot->is_finite()) return false;
  if (static_cast<std::int64_t>(pages.size()) * kernels::kv_page_tokens < position || size_of(chain) < position)
    return false;
  ++clock_;
  Node* node = insert(chain, position, pages, std::move(snapshot));
  if (disk_) save(*node, position, pages, place);
  keep_within_budget();
  assert(audit().empty());
  return true;
}

void ContextStore::save(Node& node, std::int64_t position, std::span<const PageRef> pages, StatePlace place) {
  const auto state = std::find_if(node.snapshots.begin(), node.snapshots.end(),
                                  [&](const auto& kept) { return kept->position == position; });
  if (state == node.snapshots.end() || (*state)->hidden.empty()) return;  // an answer cut inside by a stop string
  Extent extent;
  extent.key = node.key_at(position);
  extent.end = position;
  extent.place = place;
  extent.parent = root_->key;
  // From the last place that the disk still holds.
  std::vector<const Node*> path;
  for (Node* at = &node; at != root_.get() && extent.begin == 0; at = at->parent) {
    path.push_back(at);
    while (!at->saved.empty() && extent.begin == 0) {
      const auto last = std::upper_bound(at->saved.begin(), at->saved.end(), position);
      if (last == at->saved.begin()) break;
      const std::int64_t saved = *std::prev(last);
      const ChainKey key = at->key_at(saved);
      if (!disk_->holds(key)) {
        at->saved.erase(std::prev(last));
        continue;
      }
      if (saved == position) return;
      extent.begin = saved;
      extent.parent = key;
      if (saved == at->end()) path.pop_back();
    }
  }
  std::vector<TokenId> tokens;
  for (auto at = path.rbegin(); at != path.rend(); ++at) {
    extent.parts.push_back({(*at)->start, (*at)->rows, (*at)->ids.empty() ? std::string() : (*at)->ids.front()});
    const std::int64_t first = std::max(extent.begin, (*at)->start), last = std::min(position, (*at)->end());
    tokens.insert(tokens.end(), (*at)->tokens.begin() + (first - (*at)->start),
                  (*at)->tokens.begin() + (last - (*at)->start));
  }
  disk_->save(extent, tokens, pages, **state);
  mark_saved(node, position);
}

std::optional<Forgotten> ContextStore::forgotten(std::span<const ChainSegment> chain) const {
  ChainKey key = root_->key;
  for (const ChainSegment& segment : chain)
    if (!segment.tokens.empty()) key = key_after(key, segment.rows, segment.tokens);
  if (disk_)
    if (const auto reason = disk_->forgotten(key)) return reason;
  const auto found = ever_kept_.find(key.low);
  return found == ever_kept_.end() ? std::nullopt : std::optional(found->second);
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
  if (kept == 0) {
    Node* parent = node.parent;
    counters_.evicted_tokens += size_of(node.tokens);
    remove(node);
    if (parent != root_.get() && parent->children.empty()) cut_back(*parent);
    return;
  }
  counters_.evicted_tokens += size_of(node.tokens) - kept;
  tokens_ -= size_of(node.tokens) - kept;
  node.tokens.resize(static_cast<std::size_t>(kept));
  node.complete = false;
  std::erase_if(node.saved, [&](std::int64_t saved) { return saved > node.end(); });
  while (node.first_page() + static_cast<std::int64_t>(node.pages.size()) > pages_for(node.end())) {
    drop_page(node.pages.back());
    node.pages.pop_back();
  }
}

// A node with all that hangs on it.
void ContextStore::remove(Node& node) {
  while (!node.children.empty()) remove(*node.children.back());
  for (const PageRef& page : node.pages) drop_page(page);
  tokens_ -= size_of(node.tokens);
  snapshots_ -= static_cast<std::int64_t>(node.snapshots.size());
  --segments_;
  std::erase_if(node.parent->children, [&](const auto& child) { return child.get() == &node; });
}

void ContextStore::for_each(const Node& node, auto&& visit) const {
  for (const auto& child : node.children) {
    visit(*child);
    for_each(*child, visit);
  }
}

bool ContextStore::evict_one() {
  Node* oldest = nullptr;
  for_each(*root_, [&](const Node& node) {
    if (node.children.empty() && (!oldest || node.last_used < oldest->last_used)) oldest = const_cast<Node*>(&node);
  });
  if (!oldest) return false;
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
  for (auto& [key, reason] : ever_kept_) reason = Forgotten::cleared;
  pool_.trim();
}

void ContextStore::clear_document(std::string_view id) {
  clear_those({false, {document_hash(id)}});
}

void ContextStore::clear_those(const Clearings& clearings) {
  std::vector<Node*> found{};
  const std::function<void(Node&)> visit = [&](Node& node) {
    if (std::any_of(node.ids.begin(), node.ids.end(), [&](const std::string& id) { return clearings.reaches(id); }))
      found.push_back(&node);
    else
      for (const auto& child : node.children) visit(*child);
  };
  visit(*root_);
  for (Node* node : found) {
    const std::function<void(const Node&)> mark = [&](const Node& gone) {
      if (gone.complete) ever_kept_[gone.key.low] = Forgotten::cleared;
      for (const auto& child : gone.children) mark(*child);
    };
    mark(*node);
    Node* parent = node->parent;
    remove(*node);
    if (parent != root_.get() && parent->children.empty()) cut_back(*parent);
  }
  pool_.trim();
  assert(audit().empty());
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
    if (node.first_page() + static_cast<std::int64_t>(node.pages.size()) != pages_for(node.end()))
      fail("pages do not match its rows");
    std::int64_t last = node.start;
    for (const auto& snapshot : node.snapshots) {
      if (snapshot->position <= last || snapshot->position > node.end()) fail("a state is not at its place");
      last = snapshot->position;
    }
    last = node.start;
    for (const std::int64_t saved : node.saved) {
      if (saved <= last || saved > node.end()) fail("a place on the disk is not inside");
      last = saved;
    }
  });
  if (pages != kept_pages_) wrong += "the counts of kept pages do not add up\n";
  if (snapshots != snapshots_ || tokens != tokens_ || segments != segments_) wrong += "the counters do not add up\n";
  return wrong;
}

}  // namespace lectern::inference

// What has been read is kept: a tree of segments with their pages and states, and the longest kept prefix of a request.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "inference/chain_key.h"
#include "inference/delta_snapshots.h"
#include "inference/kv_pages.h"
#include "inference/types.h"

namespace lectern::inference {

/// A request as the store sees it: segments, each of which starts a new chunk grid.
struct ChainSegment {
  std::vector<TokenId> tokens;
  /// decode: an answer given back by its ids, whose generated rows may be used; prefill: everything else.
  RowKind rows = RowKind::prefill;
};

/// Places inside a segment from which a prefill may be taken up again are multiples of this, or its end.
inline constexpr std::int64_t segment_grid = 64;

/// The rows of one segment on their way to or from a slower store.
struct SegmentRecord {
  ChainKey parent, key;
  RowKind rows = RowKind::prefill;
  std::vector<TokenId> tokens;
  std::int64_t start = 0;      // position of the first token
  std::vector<PageRef> pages;  // slots [start, start + tokens) of the chain; the first page begins at a multiple of 256
  std::vector<std::unique_ptr<DeltaSnapshot>> snapshots;  // ascending; the last one at the end
};

/// Where whole segments go that memory gives up, and where they are looked for again. The disk joins here.
class ContextBackend {
 public:
  virtual ~ContextBackend() = default;
  /// Takes a segment that is about to be forgotten. May decline by doing nothing; never throws.
  virtual void save(const SegmentRecord& segment) = 0;
  /// The segment of this key, or nothing. Pages come from `pool`. The store compares ids and checks the state itself.
  virtual std::unique_ptr<SegmentRecord> load(const ChainKey& key, KvPagePool& pool) = 0;
  virtual void clear() = 0;
};

/// Where a request may start: its first `position` tokens are kept.
struct ResumePoint {
  std::int64_t position = 0;
  std::int64_t loaded = 0;     // of them restored by the backend just now
  std::vector<PageRef> pages;  // of slots [0, position)
  /// State at `position`, or null: at position 0, and in models whose only state is in the pages. Owned by the store,
  /// valid until it is next changed.
  const DeltaSnapshot* snapshot = nullptr;
};

struct ContextStoreStats {
  std::int64_t segments = 0, tokens = 0, pages = 0, snapshots = 0;
  std::int64_t bytes = 0, budget_bytes = 0;
  std::int64_t lookups = 0, reused_tokens = 0, loaded_tokens = 0, evicted_tokens = 0;
};

/// Belongs to one thread. A node of the tree is a segment after a given chain; branches share pages by reference.
/// Invariant: every leaf ends in a snapshot, every snapshot has all the rows before it.
class ContextStore {
 public:
  /// `fingerprint`: model, settings and numerics_id; chains of different fingerprints never meet.
  ContextStore(KvPagePool& pool, const DeltaShape& shape, std::string_view fingerprint, std::int64_t budget_bytes);
  ~ContextStore();
  ContextStore(const ContextStore&) = delete;
  ContextStore& operator=(const ContextStore&) = delete;
  /// May be null; must outlive the store.
  void set_backend(ContextBackend* backend) { backend_ = backend; }

  /// The longest prefix of `chain` from which reading may go on. Token ids are compared, a hash alone never decides.
  /// The whole chain only if its last hidden row is kept, since an answer begins with the logits of that row.
  ResumePoint longest_kept_prefix(std::span<const ChainSegment> chain);

  /// The first `position` tokens of `chain` have been read: their rows are in `pages`, `snapshot` is the state there.
  /// `rows` of a segment say how they were computed. Keeping the same again is harmless. Evicts others when the budget
  /// is used up. Refuses (does nothing, returns false) a state that is not finite or not at `position`.
  bool publish(std::span<const ChainSegment> chain, std::int64_t position, std::span<const PageRef> pages,
               std::unique_ptr<DeltaSnapshot> snapshot);

  /// True if a node for the whole of `chain` was ever published and is gone now (evicted or cleared).
  bool was_kept(std::span<const ChainSegment> chain) const;
  /// Frees the least recently used part. False if nothing is kept.
  bool evict_one();
  void clear();
  ContextStoreStats stats() const;
  bool was_cleared() const { return was_cleared_; }

  /// What is wrong with the tree, or empty: for tests, and after each change in debug builds.
  std::string audit() const;

 private:
  struct Node;
  struct Candidate;
  Node* find_complete(Node& parent, const ChainSegment& segment) const;
  Node* find_extendable(Node& parent, const ChainSegment& segment, std::int64_t available) const;
  Node* load(Node& parent, const ChainSegment& segment);
  void consider(Node& node, const ChainSegment& segment, std::int64_t total, Candidate& best) const;
  void set_rows(Node& node, const ChainSegment& segment, std::int64_t available, std::span<const PageRef> pages);
  void cut_back(Node& node);
  void add_page(const PageRef& page);
  void drop_page(const PageRef& page);
  void thin(Node& node);
  void save(const Node& node);
  void keep_within_budget();
  void for_each(const Node& node, auto&& visit) const;

  KvPagePool& pool_;
  DeltaShape shape_;
  std::int64_t budget_bytes_;
  ContextBackend* backend_ = nullptr;
  std::unique_ptr<Node> root_;
  std::unordered_map<const void*, std::int64_t> kept_pages_;  // references that the tree holds
  std::unordered_set<std::uint64_t> ever_kept_;               // low halves of keys
  std::int64_t snapshots_ = 0, tokens_ = 0, segments_ = 0;
  std::uint64_t clock_ = 0;
  bool was_cleared_ = false;
  ContextStoreStats counters_;
};

}  // namespace lectern::inference

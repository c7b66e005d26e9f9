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

#include "inference/chain_segment.h"
#include "inference/delta_snapshots.h"
#include "inference/disk/extent_store.h"
#include "inference/extent_path.h"
#include "inference/sequence.h"
#include "inference/types.h"

namespace lectern::inference {

/// What of a chain needs no reading, as it was when it was asked for.
struct KeptPrefix {
  std::int64_t position = 0;  // reading may go on from here
  std::int64_t in_memory = 0;
  std::int64_t on_disk() const { return position - in_memory; }
};

/// Where a sequence was brought: its first `position` tokens are kept.
struct ResumePoint {
  std::int64_t position = 0;
  std::int64_t loaded = 0;    // of them read from the disk, or still on their way
  std::vector<float> hidden;  // [H], of the last of them, final-normed; empty where it is not kept
  RowKind hidden_rows = RowKind::prefill;
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
  /// `identity`: model, settings and build; chains of different identities never meet.
  ContextStore(KvPagePool& pool, const DeltaShape& shape, std::string_view identity, std::int64_t budget_bytes);
  ~ContextStore();
  ContextStore(const ContextStore&) = delete;
  ContextStore& operator=(const ContextStore&) = delete;
  /// Everything published from now on is saved there too, and looked for there. May be null; must outlive the store.
  void set_disk(ExtentStore* disk) { disk_ = disk; }

  /// The longest prefix of `chain` from which reading may go on; changes nothing.
  KeptPrefix kept_prefix(std::span<const ChainSegment> chain) const;
  /// Before the first resume() of a request, or of several that share a reading: what was cleared on the disk, by
  /// whomever, is forgotten in memory too. What is published from now on is of this time: a clearing that comes
  /// later keeps it from the disk.
  void forget_what_was_cleared();
  /// Brings `sequence` there. Token ids are compared, a hash alone never decides. The whole chain counts only if its
  /// last hidden row is kept, since an answer begins with the logits of that row. What comes from the disk may still be
  /// on its way (Sequence::restore): a pass may begin, and settle() must be called when it is over. Throws
  /// Error{out_of_memory} without pages.
  ResumePoint resume(std::span<const ChainSegment> chain, Sequence& sequence);
  /// Waits for what is on its way to `sequence` and keeps it in memory. False: it was damaged; the sequence must be
  /// resumed anew, and what was computed from it thrown away. True if nothing was on its way.
  bool settle(Sequence& sequence, ResumePoint& point);

  /// The first `position` tokens of `chain` have been read: their rows are in `pages`, `snapshot` is the state there,
  /// kept for `place`. `rows` of a segment say how they were computed. Keeping the same again is harmless. Evicts
  /// others when the budget is used up. Refuses (does nothing, returns false) a state that is not finite or not at
  /// `position`.
  bool publish(std::span<const ChainSegment> chain, std::int64_t position, std::span<const PageRef> pages,
               std::unique_ptr<DeltaSnapshot> snapshot, StatePlace place);

  /// Why the whole of `chain` is not kept any more, or nothing if it never was.
  std::optional<Forgotten> forgotten(std::span<const ChainSegment> chain) const;
  /// Frees the least recently used part of memory. False if nothing is kept there.
  bool evict_one();
  /// Forgets what is in memory.
  void clear();
  /// The same for chains that contain a segment of this id (or "ID#…": passages of it), from that segment on.
  void clear_document(std::string_view id);
  ContextStoreStats stats() const;

  /// What is wrong with the tree, or empty: for tests, and after each change in debug builds.
  std::string audit() const;

 private:
  struct Node;
  struct InMemory;
  void clear_those(const Clearings& clearings);
  struct Pending {  // what the sequence being restored is made of
    std::vector<ChainSegment> chain;
    std::vector<StoredExtent> path;
  };
  Node* find_complete(const Node& parent, const ChainSegment& segment) const;
  Node* find_extendable(Node& parent, const ChainSegment& segment, std::int64_t available) const;
  InMemory find_in_memory(std::span<const ChainSegment> chain) const;
  ExtentPath find_on_disk(std::span<const ChainSegment> chain) const;
  void consider(Node& node, const ChainSegment& segment, std::int64_t total, InMemory& best) const;
  std::optional<ResumePoint> start_restore(std::span<const ChainSegment> chain, const ExtentPath& disk,
                                           Sequence& sequence);
  std::vector<PageRef> pages_of(const Node* node, std::int64_t position) const;
  Node* insert(std::span<const ChainSegment> chain, std::int64_t position, std::span<const PageRef> pages,
               std::unique_ptr<DeltaSnapshot> snapshot);
  void save(Node& node, std::int64_t position, std::span<const PageRef> pages, StatePlace place);
  void remember_failed(std::span<const StoredExtent> path);
  void mark_saved(Node& node, std::int64_t position);
  void set_rows(Node& node, const ChainSegment& segment, std::int64_t available, std::span<const PageRef> pages);
  void cut_back(Node& node);
  void remove(Node& node);
  void add_page(const PageRef& page);
  void drop_page(const PageRef& page);
  void thin(Node& node);
  void keep_within_budget();
  void for_each(const Node& node, auto&& visit) const;

  KvPagePool& pool_;
  DeltaShape shape_;
  std::int64_t budget_bytes_;
  ExtentStore* disk_ = nullptr;
  std::unique_ptr<Node> root_;
  std::unique_ptr<Pending> pending_;
  std::unordered_set<std::int64_t> failed_;  // extents that could not be restored: not tried again in this process
  std::unordered_map<const void*, std::int64_t> kept_pages_;  // references that the tree holds
  std::unordered_map<std::uint64_t, Forgotten> ever_kept_;    // low halves of keys, and what became of them if they go
  std::int64_t snapshots_ = 0, tokens_ = 0, segments_ = 0;
  std::uint64_t clock_ = 0;
  ContextStoreStats counters_;
};

}  // namespace lectern::inference

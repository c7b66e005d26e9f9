// Reading a prompt: from a kept prefix to its end, in passes, keeping states on the way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "inference/context_store.h"
#include "inference/forward.h"
#include "inference/prompt_chain.h"
#include "inference/step_trace.h"

namespace lectern::inference {

/// One forward pass over a part of a chain. Offsets count from `begin`.
struct PrefillPass {
  std::int64_t begin = 0, end = 0;
  std::vector<std::int64_t> segment_starts;
  std::vector<std::int64_t> snapshot_offsets;
};

/// The next pass from `position`: at most `chunk` (>= 64) tokens; it ends at the chain's end, a segment's end, or on
/// the 64-token grid of the segment it is in. Snapshots: at ends of segments that ask for it and every 8,192 tokens
/// inside one.
PrefillPass plan_pass(const PromptChain& chain, std::int64_t position, std::int64_t chunk);

/// Where others go on from: a sequence that stands at the end of a prefix, and the final-normed row [H] of its last
/// token with the kernels for its logits (empty at position 0).
struct ForkPoint {
  const Sequence& sequence;
  std::span<const float> hidden;
  RowKind rows = RowKind::prefill;
};

/// One prompt on its way into a sequence, from the longest prefix that is kept, piece by piece. Whoever drives it runs
/// the passes, with this piece alone or together with pieces of others:
///   while (!finished()) { piece = next(room); run it; take(its rows); }
class PromptReader {
 public:
  /// When what is kept on disk is there.
  enum class Restore {
    at_once,            // before the constructor returns
    behind_first_pass,  // while the layers of the first pass run: run() may throw RestoreFailed, and begin_again() then
  };
  /// `store` may be null. `fork` (may be null; only with Restore::at_once) stands in the same chain: it is where
  /// reading begins, unless more is kept. The rows of segments of `chain` that will be computed are marked prefill. All
  /// arguments but `fork` must outlive it.
  PromptReader(ContextStore* store, KvPagePool& pool, Sequence& sequence, PromptChain& chain, Restore restore,
               const ForkPoint* fork = nullptr);
  PromptReader(const PromptReader&) = delete;
  PromptReader& operator=(const PromptReader&) = delete;

  std::int64_t position() const { return sequence_.position(); }
  std::int64_t total() const { return static_cast<std::int64_t>(tokens_.size()); }
  bool finished() const { return position() == total(); }
  /// Where it began: kept in memory (or read by the fork), restored from disk.
  std::int64_t reused() const { return first_ - loaded_; }
  std::int64_t loaded() const { return loaded_; }
  bool is_forked() const { return forked_; }
  double load_s() const { return load_s_; }

  /// The next tokens, at most `room`; valid until take(). Nothing if there is none or the room is too small for a part
  /// (parts end on the grid): then it wants a pass of its own.
  std::optional<ForwardPiece> next(std::int64_t room);
  /// The piece has been read; its rows [T, H]. Publishes the states that it passed. False: what was on its way from the
  /// disk turned out to be damaged, and the rows are worth nothing; begin_again() then.
  bool take(kernels::ConstTensor rows);
  /// From what is kept now.
  void begin_again();
  /// Publishes what has been read so far.
  void keep();
  /// The prompt from the first token that is read now to its end.
  std::span<const TokenId> tokens_to_read() const {
    return std::span(tokens_).subspan(static_cast<std::size_t>(first_));
  }
  /// Of the last token, [H]; empty where nothing has been read and nothing was kept.
  std::span<const float> hidden() const { return hidden_; }
  RowKind hidden_rows() const { return rows_; }

 private:
  void begin(const ForkPoint* fork);
  bool prefers(const ForkPoint& fork) const;

  ContextStore* store_;
  KvPagePool& pool_;
  Sequence& sequence_;
  PromptChain& chain_;
  const Restore restore_;
  const std::vector<TokenId> tokens_;
  ResumePoint point_;
  std::int64_t first_ = 0, loaded_ = 0;
  bool forked_ = false;
  double load_s_ = 0;
  std::vector<float> hidden_;
  RowKind rows_ = RowKind::prefill;
  // Of the piece that is being read.
  PrefillPass pass_;
  std::vector<std::unique_ptr<DeltaSnapshot>> snapshots_;
  std::vector<DeltaSnapshot*> targets_;
};

/// How reading ended.
struct ReadOutcome {
  bool finished = false;      // false: stopped
  std::vector<float> hidden;  // [H], of the last token, final-normed; empty unless finished
  RowKind hidden_rows = RowKind::prefill;
  std::int64_t reused = 0, loaded = 0;
  double load_s = 0, prefill_s = 0;
};

struct ReadCallbacks {
  std::function<bool()> stop;  // asked between passes
  /// Again where a kept reading turns out to be damaged: then less is kept.
  std::function<void(std::int64_t kept)> started;
  std::function<void(std::int64_t read, double seconds_left)> progress;
  /// After each pass: the prompt from the first token that was read now, and the final-normed rows of the pass, [T, H].
  std::function<void(std::span<const TokenId> tokens, kernels::ConstTensor hidden)> rows;
};

/// Brings `sequence` to the end of `chain`, from the longest prefix in `store` (null: from nothing). What has been read
/// is published, also when it is stopped. On return the rows of chain segments that were computed now are marked
/// prefill.
ReadOutcome read_prompt(Forward& forward, ContextStore* store, KvPagePool& pool, Sequence& sequence, PromptChain& chain,
                        const ReadCallbacks& callbacks, StepTrace* trace);

/// The live state of a sequence as a snapshot.
std::unique_ptr<DeltaSnapshot> snapshot_of(const Sequence& sequence, std::span<const float> hidden, RowKind rows);

}  // namespace lectern::inference

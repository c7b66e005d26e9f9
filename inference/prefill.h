// Reading a prompt: from a kept prefix to its end, in passes, keeping states on the way.
#pragma once

#include <cstdint>
#include <functional>
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

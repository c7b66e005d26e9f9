// Several requests answered together: one reading of what they share, then one token of each per pass.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include "inference/context_store.h"
#include "inference/engine.h"
#include "inference/forward.h"
#include "inference/prompt_chain.h"
#include "inference/reading_history.h"
#include "inference/tokenizer.h"

namespace lectern::inference {

/// Answers that are written at the same time, at most. A pass reads the weights once for all of them; more than this
/// gain little (see fork_batch.cpp).
inline constexpr std::int64_t most_forks = 16;
/// Pages that a pool should have beside those of a window: some for each fork's question and answer.
inline constexpr std::int64_t fork_pages = 4 * most_forks;

/// One request of a batch.
struct ForkRequest {
  GenerationRequest request;
  PromptChain chain;  // of `request`; fits the window
  std::shared_ptr<RequestObserver> observer;
  std::stop_token stop;
  /// Called once, in no particular order: with a result, or null and an error.
  std::function<void(GenerationResult* result, std::exception_ptr error)> done;
};

/// What a batch works with; all of it belongs to the calling thread meanwhile.
struct ForkBatchParts {
  Forward& forward;
  KvPagePool& pool;
  ContextStore* store;  // may be null
  ReadingHistory& history;
  Sequence& base;  // free to use: it takes what all share
  const Tokenizer& tokenizer;
  std::int64_t usable_tokens;     // ids from there on are padding
  std::function<bool()> stopped;  // asked between passes: ends all of them
};

/// Answers all requests and returns when each is done. Tokens, texts and states are those of asking one after another,
/// bit for bit: rows of a pass do not depend on each other, and each answer has its own sampler.
///
/// The longest prefix of whole documents and instructions that all have in common is read once; the first request
/// carries it in its usage and is told of it. Then up to most_forks requests (fewer where memory is short: each needs a
/// recurrent state and pages for its question and answer) are read and written together, and one that ends makes room
/// for the next. The ends of documents, questions and answers are published as for single requests. A stop or an error
/// of one ends that one; an error of a pass ends those that were in it. Throws only what ends the engine's task.
void answer_together(const ForkBatchParts& parts, std::vector<ForkRequest> requests);

}  // namespace lectern::inference

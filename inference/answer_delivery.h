// From what was generated to what was asked for: an observer told of its parts, a result, and a state that is kept.
#pragma once

#include <exception>
#include <string_view>

#include "inference/answer_parser.h"
#include "inference/context_store.h"
#include "inference/engine.h"
#include "inference/forward.h"
#include "inference/generation.h"
#include "inference/prompt_chain.h"
#include "inference/tokenizer.h"

namespace lectern::inference {

/// What is being handled, as a request's future shall hold it. Only in a catch block.
std::exception_ptr current_failure();

/// The settings of a request. `usable_tokens`: ids from there on are padding.
GenerationSettings settings_of(const GenerationRequest& request, std::int64_t usable_tokens, std::int64_t drafts);

/// Tells thinking, answer and tool calls of one request apart while they arrive. All arguments must outlive it.
class AnswerDelivery {
 public:
  AnswerDelivery(const AnswerFormat& format, RequestObserver& observer, GenerationResult& result)
      : parser_(format), observer_(observer), result_(result) {}

  void text(std::string_view more) { tell(parser_.feed(more)); }
  /// The end of the answer: text, ids, counts and reason of the result. `before_s`: from the request's start to the
  /// first look at its logits.
  void finish(Generated generated, const Tokenizer& tokenizer, double before_s);

 private:
  void tell(AnswerParser::Parts parts);

  AnswerParser parser_;
  RequestObserver& observer_;
  GenerationResult& result_;
};

/// Keeps the state at the end of an answer; `sequence` stands behind the last token that was fed, `chain` is its prompt
/// and becomes longer by the answer. Where a stop string cut it inside what was fed, a model without recurrent state
/// goes on from the cut; another one will read the answer again.
void keep_answer(ContextStore& store, const Sequence& sequence, PromptChain& chain, const Generated& generated);

}  // namespace lectern::inference

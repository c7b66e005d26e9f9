// Writing an answer: logits, choice, next token, until something ends it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/drafter.h"
#include "inference/forward.h"
#include "inference/step_trace.h"
#include "inference/tokenizer.h"
#include "inference/types.h"

namespace lectern::inference {

struct GenerationSettings {
  SamplingOptions sampling;
  std::int64_t max_tokens = 512;
  std::vector<std::string> stop;
  bool stop_repetition = false;
  std::int64_t usable_tokens = 0;  // ids from here on are padding
  std::int64_t drafts = 0;         // tokens drafted at a time, with a drafter
};

struct GenerationCallbacks {
  std::function<bool()> stop;                       // asked between tokens
  std::function<void(std::string_view text)> text;  // whole characters, nothing of a stop string
};

struct Generated {
  std::string text;
  std::vector<TokenId> token_ids;  // of `text`
  std::vector<TokenId> fed;        // generated tokens that the sequence has read: usually the same
  FinishReason reason = FinishReason::stop;
  std::vector<float> hidden;  // [H], of the last token fed, if any was
  std::int64_t sampled = 0;   // tokens chosen, the end token included
  std::int64_t drafted = 0;   // tokens that were tried before they were chosen
  std::int64_t accepted = 0;  // of them those that were chosen then
  double first_token_s = 0;   // from the call to the first choice
  double decode_s = 0;
};

/// Continues `sequence`, which stands at the end of `history`; `hidden` [H] is its last row, `hidden_rows` the kernels
/// for its logits. The end-of-turn token is not fed. After `length`, `repetition` and `cancelled` every token of the
/// answer has been fed, so that its end is a place to go on from. `drafter` (may be null) has read the pairs of
/// `history`; the answer is the same token for token with and without it, sampled ones too.
Generated generate(Forward& forward, Sequence& sequence, const Tokenizer& tokenizer, std::span<const TokenId> history,
                   std::span<const float> hidden, RowKind hidden_rows, const GenerationSettings& settings,
                   const GenerationCallbacks& callbacks, StepTrace* trace, Drafter* drafter = nullptr);

}  // namespace lectern::inference

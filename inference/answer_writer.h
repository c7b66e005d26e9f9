// One answer while it is written: what is chosen, shown and still to be read, and what ends it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "inference/generation.h"
#include "inference/sampler.h"
#include "inference/text_stream.h"

namespace lectern::inference {

/// Knows nothing of passes: whoever drives it reads the tokens, one answer alone (generate) or many together
/// (fork_batch), so that both end for the same reasons at the same tokens. One thread.
///
///   while (writer.goes_on(position)) { read writer.unread(), if any; writer.take(writer.choose(logits)); }
///   read writer.last_unread(position), if any; writer.finish(hidden)
class AnswerWriter {
 public:
  /// `history`: the tokens of the prompt. `window`: positions there are. Throws Error{bad_request} for sampling options
  /// that cannot be. Tokenizer and settings must outlive it.
  AnswerWriter(const Tokenizer& tokenizer, std::span<const TokenId> history, const GenerationSettings& settings,
               GenerationCallbacks callbacks, std::int64_t window);

  /// Whether one more token is to be chosen, with `position` tokens read; asks the stop callback.
  bool goes_on(std::int64_t position);
  /// The token chosen last, if it is not read yet.
  std::optional<TokenId> unread() const;
  /// Once it does not go on: the last token where the conversation may go on behind it.
  std::optional<TokenId> last_unread(std::int64_t position) const;
  /// What unread() gave was read.
  void was_read();
  /// Tokens that may still be chosen.
  std::int64_t room() const { return settings_.max_tokens - static_cast<std::int64_t>(ids_.size()); }
  /// The next token, from its logits [V]. Several writers may choose at once, on other threads too.
  TokenId choose(std::span<const float> logits) { return sampler_.choose(logits, chain_); }
  /// Makes it part of the answer, shows its text and sees whether that is the end.
  void take(TokenId id);
  std::int64_t chosen() const { return result_.sampled; }
  /// `hidden` [H]: of the last token read, of use if any was.
  Generated finish(std::span<const float> hidden);

 private:
  using Clock = std::chrono::steady_clock;
  void show(const std::string& text);

  const Tokenizer& tokenizer_;
  const GenerationSettings& settings_;
  const GenerationCallbacks callbacks_;
  const std::int64_t window_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_choice_;
  Sampler sampler_;
  TextStream stream_;
  std::vector<TokenId> chain_;  // prompt and answer
  std::vector<TokenId> ids_;
  bool ended_ = false;
  Generated result_;
};

}  // namespace lectern::inference

// The sequence only ever keeps tokens that belong to the answer, read through the decode kernels. A stop string
// may end inside a token: then the ids of the answer are those of the tokens wholly before it and the ids of what is
// left.
#include "inference/answer_writer.h"

#include <utility>

#include "inference/repetition.h"

namespace lectern::inference {

namespace {

/// Ids of `text`, which is what came before a stop string in the bytes of `ids`.
std::vector<TokenId> cut_ids(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, const std::string& text) {
  std::vector<TokenId> kept;
  std::size_t length = 0;
  for (TokenId id : ids) {
    const std::size_t bytes = tokenizer.is_control(id) ? 0 : tokenizer.piece(id).size();
    if (length + bytes > text.size()) break;
    length += bytes;
    kept.push_back(id);
  }
  const std::vector<TokenId> rest = tokenizer.encode(std::string_view(text).substr(length), SpecialTokens::plain_text);
  kept.insert(kept.end(), rest.begin(), rest.end());
  return kept;
}

}  // namespace

AnswerWriter::AnswerWriter(const Tokenizer& tokenizer, std::span<const TokenId> history,
                           const GenerationSettings& settings, GenerationCallbacks callbacks, std::int64_t window)
    : tokenizer_(tokenizer),
      settings_(settings),
      callbacks_(std::move(callbacks)),
      window_(window),
      sampler_(settings.sampling, settings.usable_tokens),
      stream_(settings.stop),
      chain_(history.begin(), history.end()) {
  result_.reason = FinishReason::length;
}

bool AnswerWriter::goes_on(std::int64_t position) {
  if (ended_) return false;
  ended_ = true;
  if (static_cast<std::int64_t>(ids_.size()) >= settings_.max_tokens) return false;  // length
  if (callbacks_.stop && callbacks_.stop()) {
    result_.reason = FinishReason::cancelled;
    return false;
  }
  if (unread() && position + 1 > window_) {
    result_.reason = FinishReason::window;
    return false;
  }
  ended_ = false;
  return true;
}

std::optional<TokenId> AnswerWriter::unread() const {
  if (ids_.size() == result_.fed.size()) return {};
  return ids_.back();
}

std::optional<TokenId> AnswerWriter::last_unread(std::int64_t position) const {
  if (stream_.stopped() || position + 1 > window_) return {};
  return unread();
}

void AnswerWriter::was_read() {
  result_.fed.push_back(ids_.back());
}

void AnswerWriter::show(const std::string& text) {
  result_.text += text;
  if (!text.empty() && callbacks_.text) callbacks_.text(text);
}

void AnswerWriter::take(TokenId id) {
  const auto now = Clock::now();
  ++result_.sampled;
  if (result_.sampled == 1)
    result_.first_token_s = std::chrono::duration<double>(now - start_).count();
  else
    result_.decode_s += std::chrono::duration<double>(now - last_choice_).count();
  last_choice_ = now;
  ended_ = true;
  if (tokenizer_.is_end_of_turn(id)) {
    result_.reason = FinishReason::stop;
    return;
  }
  ids_.push_back(id);
  chain_.push_back(id);
  if (!tokenizer_.is_control(id)) show(stream_.feed(tokenizer_.piece(id)));
  if (stream_.stopped()) {
    result_.reason = FinishReason::stop;
    return;
  }
  if (settings_.stop_repetition && goes_round(ids_)) {
    result_.reason = FinishReason::repetition;
    return;
  }
  ended_ = false;
}

Generated AnswerWriter::finish(std::span<const float> hidden) {
  show(stream_.finish());
  if (!result_.fed.empty()) result_.hidden.assign(hidden.begin(), hidden.end());
  result_.token_ids = stream_.stopped() ? cut_ids(tokenizer_, ids_, result_.text) : std::move(ids_);
  return std::move(result_);
}

}  // namespace lectern::inference

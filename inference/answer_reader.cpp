// Acceptance needs no rule of its own. Drafts are single guesses, so speculative sampling (Leviathan et al. 2023,
// algorithm 1 with a one-hot q) accepts a draft d with probability p(d) and else draws from p without d: which is to
// draw from p and see whether it is d. Whoever chooses tokens does so from the model's logits as ever, and the same
// seed gives the same answer with and without drafts.
#include "inference/answer_reader.h"

#include <algorithm>

namespace lectern::inference {

AnswerReader::AnswerReader(Forward& forward, Sequence& sequence, std::span<const float> hidden, RowKind rows,
                           Drafter* drafter, std::int64_t drafts)
    : forward_(forward),
      sequence_(sequence),
      drafter_(drafter),
      drafts_(drafter ? std::min(drafts, forward.chunk() - 1) : 0),
      tokens_(1),
      hidden_(hidden.begin(), hidden.end()),
      kind_(rows),
      position_(sequence.position()) {
  if (drafts_ > 0) replay_.emplace(forward.config(), drafts_ + 1);
}

kernels::ConstTensor AnswerReader::row(std::int64_t first, std::int64_t count) const {
  const std::int64_t width = forward_.config().hidden;
  return kernels::f32_view(hidden_.data() + first * width, {count, width});
}

std::span<const float> AnswerReader::hidden() const {
  const auto width = static_cast<std::size_t>(forward_.config().hidden);
  return std::span(hidden_).subspan(static_cast<std::size_t>(at_) * width, width);
}

std::span<const float> AnswerReader::logits() {
  const std::int64_t vocabulary = forward_.config().vocabulary, rows = std::ssize(tokens_);
  if (!has_logits_) {
    logits_.resize(static_cast<std::size_t>(rows * vocabulary));
    forward_.logits(row(0, rows), kind_, kernels::f32_view(logits_.data(), {rows, vocabulary}));
    has_logits_ = true;
  }
  return std::span(logits_).subspan(static_cast<std::size_t>(at_ * vocabulary), static_cast<std::size_t>(vocabulary));
}

void AnswerReader::feed(TokenId id, std::int64_t room) {
  if (at_ + 1 < std::ssize(tokens_) && tokens_[static_cast<std::size_t>(at_) + 1] == id) {
    ++at_;
    ++position_;
    ++accepted_;
    return;
  }
  settle();
  std::vector<TokenId> drafts;
  if (drafter_)
    drafts = drafter_->propose(id, row(at_, 1),
                               std::clamp<std::int64_t>(std::min(room, forward_.window() - position_ - 1), 0, drafts_));
  tokens_.assign(1, id);
  tokens_.insert(tokens_.end(), drafts.begin(), drafts.end());
  const ForwardPiece piece{&sequence_, tokens_, {}, {}, {}, drafts.empty() ? nullptr : &*replay_};
  const kernels::ConstTensor out = forward_.run({&piece, 1}, RowKind::decode);
  const auto* values = reinterpret_cast<const float*>(out.data);
  hidden_.assign(values, values + out.elements());
  kind_ = RowKind::decode;
  has_logits_ = false;
  at_ = 0;
  ++position_;
  ++passes_;
  drafted_ += std::ssize(drafts);
}

void AnswerReader::settle() {
  if (tokens_.size() == 1) return;
  const std::int64_t kept = at_ + 1;
  replay_->apply(forward_.stream(), kept, sequence_.state);
  sequence_.kv.truncate(position_);
  if (at_ > 0)
    drafter_->read(std::span(tokens_).subspan(1, static_cast<std::size_t>(at_)), row(0, at_), RowKind::decode);
  // What is left is as after a pass over the last token alone.
  const auto width = static_cast<std::ptrdiff_t>(forward_.config().hidden);
  const auto vocabulary = static_cast<std::ptrdiff_t>(forward_.config().vocabulary);
  hidden_.erase(hidden_.begin(), hidden_.begin() + at_ * width);
  hidden_.resize(static_cast<std::size_t>(width));
  if (has_logits_) {
    logits_.erase(logits_.begin(), logits_.begin() + at_ * vocabulary);
    logits_.resize(static_cast<std::size_t>(vocabulary));
  }
  tokens_ = {tokens_[static_cast<std::size_t>(at_)]};
  at_ = 0;
}

}  // namespace lectern::inference

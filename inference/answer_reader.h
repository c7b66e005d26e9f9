// Reading an answer while it is chosen: token by token, or with drafts several in one pass (model.md 4.3).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "inference/drafter.h"
#include "inference/forward.h"

namespace lectern::inference {

/// A pass reads the token chosen last and the drafts behind it. While what is chosen next is the draft, its row is
/// there already; otherwise the rest of the pass is taken back. Its rows have the bits of single passes, so the logits
/// do not depend on drafts. All arguments must outlive it. One thread.
class AnswerReader {
 public:
  /// `sequence` stands at the end of the prompt; `hidden` [H] is its last row, `rows` the kernels for its logits.
  /// `drafter` (may be null) has read the pairs of the prompt; `drafts`: at most this many at a time.
  AnswerReader(Forward& forward, Sequence& sequence, std::span<const float> hidden, RowKind rows, Drafter* drafter,
               std::int64_t drafts);

  /// Logits [V] of the next token, valid until feed().
  std::span<const float> logits();
  /// Reads the next token. `room`: no more drafts than this are of use behind it.
  void feed(TokenId id, std::int64_t room);
  /// Takes back what was tried and not fed: the sequence then stands behind the last token fed.
  void settle();

  /// Tokens read, prompt included; the sequence itself may be ahead by drafts.
  std::int64_t position() const { return position_; }
  /// Final-normed row [H] of the last token.
  std::span<const float> hidden() const;
  std::int64_t passes() const { return passes_; }
  std::int64_t drafted() const { return drafted_; }
  std::int64_t accepted() const { return accepted_; }

 private:
  kernels::ConstTensor row(std::int64_t first, std::int64_t count) const;

  Forward& forward_;
  Sequence& sequence_;
  Drafter* drafter_;
  std::int64_t drafts_;
  std::optional<DeltaReplay> replay_;
  std::vector<TokenId> tokens_;  // of the last pass: one that was chosen, then drafts
  std::vector<float> hidden_;    // [tokens, H] of the last pass
  std::vector<float> logits_;    // [tokens, V]
  RowKind kind_;
  bool has_logits_ = false;
  std::int64_t at_ = 0;  // the row of the last token fed
  std::int64_t position_ = 0;
  std::int64_t passes_ = 0, drafted_ = 0, accepted_ = 0;
};

}  // namespace lectern::inference

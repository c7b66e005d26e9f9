// Who guesses the next tokens of an answer, so that the model may check several in one pass.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/delta_snapshots.h"  // RowKind
#include "inference/types.h"
#include "kernels/tensor.h"

namespace lectern::inference {

/// Belongs to one sequence. A pair at slot t is the token at position t + 1 and the model's final-normed hidden row of
/// position t; pairs come in order, without gaps. Wrong drafts cost time and never change an answer.
class Drafter {
 public:
  virtual ~Drafter() = default;
  /// The next pairs: next [T] tokens, hidden [T, H] f32, both of the model itself.
  virtual void read(std::span<const TokenId> next, kernels::ConstTensor hidden, RowKind kind) = 0;
  /// The next pair, of a `token` that was just chosen, then at most `count` tokens that may follow it.
  virtual std::vector<TokenId> propose(TokenId token, kernels::ConstTensor hidden, std::int64_t count) = 0;
};

}  // namespace lectern::inference

// Chooses the next token from logits. The same logits, history and seed give the same token on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/types.h"

namespace lectern::inference {

/// Order of operations (that of Hugging Face's generate): repetition penalty (seen tokens: l < 0 ? l * r : l / r),
/// presence and frequency penalty (l -= presence + frequency * count), then, if temperature > 0: l / temperature,
/// top-k, softmax, top-p (the fewest most likely tokens whose probabilities reach p, at least one), min-p (at least
/// min_p times the highest probability), and a draw. Temperature 0: the highest logit. Ties always go to the lowest id.
class Sampler {
 public:
  /// Only ids below `vocabulary` are ever chosen: rows of padding behind them are ignored.
  Sampler(const SamplingOptions& options, std::int64_t vocabulary);

  /// `history`: the tokens so far, prompt included; the last options.penalty_window count for the penalties.
  /// Throws Error{device} if a logit is not finite.
  TokenId choose(std::span<const float> logits, std::span<const TokenId> history);

 private:
  struct Candidate {
    float logit;
    TokenId id;
  };
  double uniform();  // next value in [0, 1)
  void apply_penalties(std::span<const TokenId> history);
  TokenId draw();

  SamplingOptions options_;
  std::int64_t vocabulary_;
  std::uint64_t random_state_;
  std::vector<float> logits_;  // of this step, penalised
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;
  std::vector<TokenId> window_;
};

}  // namespace lectern::inference

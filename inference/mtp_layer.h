// The layer for multi-token prediction that comes with a model (model.md 4).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/drafter.h"
#include "inference/layer_pass.h"
#include "inference/weights.h"

namespace lectern::inference {

/// Most tokens that one layer drafts at a time: its guesses rest on guesses.
inline constexpr std::int64_t most_drafts = 4;

/// At slot t, from the token x_{t+1} and the model's final-normed hidden row h_t:
///   c = combine [norm(E[x_{t+1}]); norm(h_t)];  c += Attention(norm(c));  c += FFN(norm(c));  m_t = norm(c)
/// and m_t · W_lmᵀ are logits of x_{t+2} (vLLM, qwen3_next_mtp.py). Keys and values are its own, one slot a pair.
/// Drafts are the most likely tokens; the second one and those after it take the row m before in the place of h. Model,
/// weights and stream must outlive it. One thread.
class MtpLayer final : public Drafter {
 public:
  /// `usable_tokens`: ids from here on are padding and never drafted. Passes of up to `chunk` pairs, sequences of up to
  /// `window` tokens. Throws Error{unsupported} for a model without such a layer.
  MtpLayer(const ModelConfig& config, const Weights& weights, kernels::Stream& stream, std::int64_t usable_tokens,
           std::int64_t chunk, std::int64_t window);
  /// What it allocates beside pages.
  static std::int64_t work_bytes(const ModelConfig& config, std::int64_t chunk);

  void read(std::span<const TokenId> next, kernels::ConstTensor hidden, RowKind kind) override;
  std::vector<TokenId> propose(TokenId token, kernels::ConstTensor hidden, std::int64_t count) override;

  /// The next pairs of a prompt, one pass of it: its hidden rows [T, H] follow those read before. The last row of the
  /// whole prompt waits for its token.
  void read_prompt(std::span<const TokenId> prompt, kernels::ConstTensor hidden);
  /// Pairs read.
  std::int64_t length() const { return sequence_.position(); }
  void restart() { sequence_.kv.truncate(0); }
  /// As read(); m [T, H] f32 of the pairs, valid until the next call. Throws as Forward::run does.
  kernels::ConstTensor run(std::span<const TokenId> next, kernels::ConstTensor hidden, RowKind kind);
  /// logits = m · W_lmᵀ, out [T, V] f32.
  void logits(kernels::ConstTensor m, RowKind kind, kernels::Tensor out);

 private:
  LayerPass pass_of(RowKind kind, std::span<const ForwardPiece> pieces);

  const ModelConfig& config_;
  const MtpWeights& weights_;
  kernels::Stream& stream_;
  std::int64_t usable_tokens_, chunk_;
  kernels::Arena arena_;
  KvPagePool pool_;
  Sequence sequence_;
  std::vector<std::int64_t> positions_;  // [chunk]
  std::vector<std::byte*> strips_;       // [pages of a window]
  std::vector<kernels::AttentionSlots> slots_;
  std::vector<kernels::Tensor> no_snapshots_;
  std::vector<float> logits_;  // [V]
};

}  // namespace lectern::inference

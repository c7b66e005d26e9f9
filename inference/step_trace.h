// What each step of the engine cost: milliseconds, tokens per second, bytes moved and GB/s.
#pragma once

#include <cstdint>
#include <string>

#include "inference/model_config.h"
#include "inference/weights.h"

namespace lectern::inference {

/// Bytes that one decode step must read at `depth` tokens of context: weights used once, keys and values of all slots,
/// and the recurrent state read and written.
std::int64_t decode_bytes(const ModelConfig& config, const Weights& weights, std::int64_t depth);
/// Multiplications and additions of reading `tokens` tokens that begin at `depth`, logits left out.
double prefill_operations(const ModelConfig& config, const Weights& weights, std::int64_t tokens, std::int64_t depth);

/// Sums of the steps of one request or one measurement.
class StepTrace {
 public:
  StepTrace(const ModelConfig& config, const Weights& weights) : config_(&config), weights_(&weights) {}
  /// A pass over `tokens` that brought the context to `end` tokens.
  void add_prefill(std::int64_t tokens, std::int64_t end, double seconds);
  /// A token chosen; `passes` is 0 for one that was there already because its predecessor was drafted.
  void add_decode(std::int64_t depth, double seconds, std::int64_t passes = 1);
  void add_drafts(std::int64_t drafted, std::int64_t accepted);

  std::int64_t prefill_tokens() const { return prefill_tokens_; }
  std::int64_t decode_tokens() const { return decode_tokens_; }
  std::int64_t drafted_tokens() const { return drafted_tokens_; }
  std::int64_t accepted_tokens() const { return accepted_tokens_; }
  double prefill_s() const { return prefill_s_; }
  double decode_s() const { return decode_s_; }
  double prefill_tokens_per_s() const { return prefill_s_ > 0 ? static_cast<double>(prefill_tokens_) / prefill_s_ : 0; }
  double decode_tokens_per_s() const { return decode_s_ > 0 ? static_cast<double>(decode_tokens_) / decode_s_ : 0; }
  double prefill_gflop_per_s() const { return prefill_s_ > 0 ? operations_ / prefill_s_ * 1e-9 : 0; }
  double decode_gb_per_s() const { return decode_s_ > 0 ? static_cast<double>(bytes_) / decode_s_ * 1e-9 : 0; }
  std::int64_t bytes_per_token() const { return decode_tokens_ > 0 ? bytes_ / decode_tokens_ : 0; }
  /// "read 512 tokens in 310 ms, 1652 tokens/s, 370 GFLOP/s; wrote 64 in 700 ms, 91 tokens/s, 8.9 GB/s", and where
  /// there were drafts: "; 40 drafted, 31 accepted (78 %)".
  std::string line() const;

 private:
  const ModelConfig* config_;
  const Weights* weights_;
  std::int64_t prefill_tokens_ = 0, decode_tokens_ = 0, bytes_ = 0;
  std::int64_t drafted_tokens_ = 0, accepted_tokens_ = 0;
  double prefill_s_ = 0, decode_s_ = 0, operations_ = 0;
};

}  // namespace lectern::inference

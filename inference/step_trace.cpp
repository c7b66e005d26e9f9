// A limit says more than a number alone: decode is bound by the bytes it must read, prefill by multiplications.
#include "inference/step_trace.h"

#include <cstdio>

#include "inference/forward.h"

namespace lectern::inference {

namespace {

/// Adds up a quantity of every matrix that one token passes through; experts count by the share that is used.
template <class Quantity>
double over_matrices(const ModelConfig& config, const Weights& weights, Quantity quantity) {
  double sum = 0;
  const auto dense = [&](const DenseWeights& w) { sum += quantity(w.gate) + quantity(w.up) + quantity(w.down); };
  for (const LayerWeights& layer : weights.layers) {
    if (const auto* a = std::get_if<AttentionWeights>(&layer.mixer)) {
      sum += quantity(a->q) + quantity(a->k) + quantity(a->v) + quantity(a->output);
    } else {
      const auto& d = std::get<DeltaWeights>(layer.mixer);
      sum += quantity(d.qkv) + quantity(d.z) + quantity(d.b) + quantity(d.a) + quantity(d.output);
    }
    if (const auto* w = std::get_if<DenseWeights>(&layer.ffn)) {
      dense(*w);
    } else {
      const auto& moe = std::get<MoeWeights>(layer.ffn);
      const double used = static_cast<double>(config.moe.used) / static_cast<double>(config.moe.experts);
      sum += quantity(moe.router) + used * (quantity(moe.gate) + quantity(moe.up) + quantity(moe.down));
      if (config.moe.shared_hidden > 0) dense(moe.shared);
    }
  }
  return sum;
}

}  // namespace

std::int64_t decode_bytes(const ModelConfig& config, const Weights& weights, std::int64_t depth) {
  const auto bytes = [](const kernels::ConstTensor& w) { return w ? static_cast<double>(w.size_bytes()) : 0.0; };
  const kernels::KvShape kv = kv_shape(config);
  const double rows = static_cast<double>(depth * config.attention_layers() * 2 * kv.heads) *
                      static_cast<double>(kv.heads > 0 ? kernels::row_bytes(kv.type, kv.head_dim) : 0);
  const double state = 2.0 * static_cast<double>(delta_shape(config).bytes());
  return static_cast<std::int64_t>(over_matrices(config, weights, bytes) + bytes(weights.output) + rows + state);
}

double prefill_operations(const ModelConfig& config, const Weights& weights, std::int64_t tokens, std::int64_t depth) {
  const auto values = [](const kernels::ConstTensor& w) { return w ? static_cast<double>(w.elements()) : 0.0; };
  const double count = static_cast<double>(tokens);
  const double mean_depth = static_cast<double>(depth) + count / 2;
  const AttentionConfig& a = config.attention;
  const double attention = 4.0 * static_cast<double>(config.attention_layers() * a.heads * a.head_dim) * mean_depth;
  const double delta = 6.0 * static_cast<double>(config.delta_layers() * delta_shape(config).recurrent_values());
  return count * (2.0 * over_matrices(config, weights, values) + attention + delta);
}

void StepTrace::add_prefill(std::int64_t tokens, std::int64_t end, double seconds) {
  prefill_tokens_ += tokens;
  prefill_s_ += seconds;
  operations_ += prefill_operations(*config_, *weights_, tokens, end - tokens);
}

void StepTrace::add_decode(std::int64_t depth, double seconds, std::int64_t passes) {
  ++decode_tokens_;
  decode_s_ += seconds;
  bytes_ += passes * decode_bytes(*config_, *weights_, depth);
}

void StepTrace::add_drafts(std::int64_t drafted, std::int64_t accepted) {
  drafted_tokens_ += drafted;
  accepted_tokens_ += accepted;
}

std::string StepTrace::line() const {
  char text[256];
  std::snprintf(
      text, sizeof text,
      "read %lld tokens in %.0f ms, %.0f tokens/s, %.0f GFLOP/s; wrote %lld in %.0f ms, %.1f tokens/s, %.1f GB/s",
      static_cast<long long>(prefill_tokens_), prefill_s_ * 1e3, prefill_tokens_per_s(), prefill_gflop_per_s(),
      static_cast<long long>(decode_tokens_), decode_s_ * 1e3, decode_tokens_per_s(), decode_gb_per_s());
  std::string line = text;
  if (drafted_tokens_ > 0) {
    std::snprintf(text, sizeof text, "; %lld drafted, %lld accepted (%.0f %%)", static_cast<long long>(drafted_tokens_),
                  static_cast<long long>(accepted_tokens_),
                  100.0 * static_cast<double>(accepted_tokens_) / static_cast<double>(drafted_tokens_));
    line += text;
  }
  return line;
}

}  // namespace lectern::inference

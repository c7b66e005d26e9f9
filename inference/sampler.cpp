// Deterministic on every machine: the random numbers come from SplitMix64 (Steele, Lea and Flood 2014), the exponential
// is our own (libm's last bit differs between systems), sums run in a fixed order, and this file is compiled without
// fused multiply-adds (see CMakeLists.txt). Sorting the whole vocabulary is avoided: a heap gives the best candidates
// one by one, and top-k and top-p seldom need many.
#include "inference/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "kernels/error.h"

namespace lectern::inference {

namespace {

/// e^x for x <= 0: x = n ln 2 + r, |r| <= ln 2 / 2, Taylor to r^13 (relative error below 1e-15).
double exponential(double x) {
  if (x < -700.0) return 0.0;
  const double n = std::nearbyint(x * 1.4426950408889634);
  const double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;  // ln 2 in two parts (fdlibm)
  double sum = 1.0;
  for (int k = 13; k >= 1; --k) sum = 1.0 + sum * r / k;
  return std::ldexp(sum, static_cast<int>(n));
}

/// Where the largest of `values` stands, the first of equals. Sixteen lanes, or each comparison waits for the one
/// before: 0.16 ms of a vocabulary of 150,000 instead of 0.07.
std::size_t place_of_largest(std::span<const float> values) {
  constexpr std::size_t lanes = 16;
  float largest = values[0];
  std::size_t i = 0;
  if (values.size() >= lanes) {
    float of_lane[lanes];
    std::copy_n(values.begin(), lanes, of_lane);
    for (; i + lanes <= values.size(); i += lanes)
      for (std::size_t lane = 0; lane < lanes; ++lane)
        of_lane[lane] = values[i + lane] > of_lane[lane] ? values[i + lane] : of_lane[lane];
    largest = *std::max_element(of_lane, of_lane + lanes);
  }
  for (; i < values.size(); ++i) largest = std::max(largest, values[i]);
  return static_cast<std::size_t>(std::find(values.begin(), values.end(), largest) - values.begin());
}

bool all_finite(std::span<const float> values) {
  std::uint32_t found = 0;  // all exponent bits set: NaN or infinity
  for (const float value : values)
    found |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(value) & 0x7F800000U) == 0x7F800000U);
  return found == 0;
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options, std::int64_t vocabulary)
    : options_(options), vocabulary_(vocabulary), random_state_(options.seed) {
  const auto check = [](bool ok, const char* what) {
    if (!ok) throw Error(ErrorKind::bad_request, std::string("sampling: ") + what);
  };
  check(std::isfinite(options.temperature) && options.temperature >= 0, "temperature must be 0 or more");
  check(options.top_k >= 0, "top_k must be 0 (off) or more");
  check(options.top_p > 0 && options.top_p <= 1, "top_p must be above 0 and at most 1");
  check(options.min_p >= 0 && options.min_p <= 1, "min_p must be between 0 and 1");
  check(std::isfinite(options.repetition_penalty) && options.repetition_penalty > 0,
        "repetition_penalty must be above 0");
  check(std::isfinite(options.presence_penalty) && std::isfinite(options.frequency_penalty),
        "a penalty is not a number");
  check(options.penalty_window >= 0, "penalty_window must be 0 or more");
  logits_.reserve(static_cast<std::size_t>(vocabulary));
}

double Sampler::uniform() {
  random_state_ += 0x9E3779B97F4A7C15U;
  std::uint64_t z = random_state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

void Sampler::apply_penalties(std::span<const TokenId> history) {
  const bool none =
      options_.repetition_penalty == 1.0F && options_.presence_penalty == 0.0F && options_.frequency_penalty == 0.0F;
  if (none || options_.penalty_window == 0) return;
  const auto count = std::min(history.size(), static_cast<std::size_t>(options_.penalty_window));
  window_.assign(history.end() - static_cast<std::ptrdiff_t>(count), history.end());
  std::sort(window_.begin(), window_.end());
  for (std::size_t first = 0; first < window_.size();) {
    std::size_t last = first;
    while (last < window_.size() && window_[last] == window_[first]) ++last;
    const TokenId id = window_[first];
    if (id >= 0 && id < static_cast<TokenId>(logits_.size())) {
      float& logit = logits_[static_cast<std::size_t>(id)];
      logit = logit < 0 ? logit * options_.repetition_penalty : logit / options_.repetition_penalty;
      logit -= options_.presence_penalty + options_.frequency_penalty * static_cast<float>(last - first);
    }
    first = last;
  }
}

TokenId Sampler::choose(std::span<const float> logits, std::span<const TokenId> history) {
  const auto count = std::min(logits.size(), static_cast<std::size_t>(vocabulary_));
  logits_.assign(logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(count));
  if (!all_finite(logits_)) throw Error(ErrorKind::device, "the model's logits are not finite numbers");
  if (logits_.empty()) throw Error(ErrorKind::bad_request, "sampling: the vocabulary is empty");
  apply_penalties(history);
  if (options_.temperature == 0.0F) return static_cast<TokenId>(place_of_largest(logits_));
  return draw();
}

TokenId Sampler::draw() {
  candidates_.resize(logits_.size());
  for (std::size_t id = 0; id < logits_.size(); ++id) candidates_[id] = {logits_[id], static_cast<TokenId>(id)};
  const auto worse = [](const Candidate& a, const Candidate& b) {
    return a.logit < b.logit || (a.logit == b.logit && a.id > b.id);
  };
  const auto top_k =
      options_.top_k == 0 ? candidates_.size() : std::min(candidates_.size(), static_cast<std::size_t>(options_.top_k));
  if (top_k < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(top_k), candidates_.end(),
                     [&](const Candidate& a, const Candidate& b) { return worse(b, a); });
    candidates_.resize(top_k);
  }
  // Probabilities relative to the best candidate; the total in the order of ids, so that it does not depend on the
  // heap.
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  float best = candidates_[0].logit;
  for (const Candidate& candidate : candidates_) best = std::max(best, candidate.logit);
  const auto weight = [&](const Candidate& candidate) {
    return exponential((static_cast<double>(candidate.logit) - static_cast<double>(best)) /
                       static_cast<double>(options_.temperature));
  };
  double total = 0;
  for (const Candidate& candidate : candidates_) total += weight(candidate);

  weights_.clear();
  const double least = static_cast<double>(options_.min_p);
  if (options_.top_p >= 1.0F && least <= 0) {  // everything may be drawn: in the order of ids
    const double target = uniform() * total;
    double sum = 0;
    for (const Candidate& candidate : candidates_) {
      sum += weight(candidate);
      if (target < sum) return candidate.id;
    }
    return std::max_element(candidates_.begin(), candidates_.end(), worse)->id;  // rounding: target reached the total
  }
  // Take candidates from the best down until top-p is reached or min-p fails.
  std::make_heap(candidates_.begin(), candidates_.end(), worse);
  const double enough = options_.top_p < 1.0F ? static_cast<double>(options_.top_p) * total : total * 2;
  double kept = 0;
  for (auto end = candidates_.end(); end != candidates_.begin() && kept < enough; --end) {
    std::pop_heap(candidates_.begin(), end, worse);
    const double w = weight(*(end - 1));
    if (!weights_.empty() && w < least) break;
    weights_.push_back(w);
    kept += w;
  }
  const double target = uniform() * kept;
  double sum = 0;
  std::size_t chosen = 0;
  for (; chosen + 1 < weights_.size(); ++chosen) {
    sum += weights_[chosen];
    if (target < sum) break;
  }
  return candidates_[candidates_.size() - 1 - chosen].id;
}

}  // namespace lectern::inference

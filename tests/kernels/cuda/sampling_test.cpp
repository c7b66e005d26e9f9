#include "kernels/cuda/sampling.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "cuda_test.h"
#include "inference/sampler.h"

namespace lectern::kernels::cuda::test {
namespace {

using inference::Sampler;
using inference::SamplingOptions;
using Ids = std::vector<std::int32_t>;

class CudaSampling : public CudaTest {};
class CudaSamplingSmall : public CudaTest {};

constexpr std::int64_t real_vocabulary = 151936, real_tokens = 151669;

/// The state's next random number, SplitMix64.
double next_uniform(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

/// inference/sampler.h's words, one after the other, with everything sorted.
std::int32_t reference_choice(std::vector<float> logits, const SamplingOptions& options, const Ids& history,
                              std::uint64_t& random_state) {
  std::map<std::int32_t, int> seen;
  const std::size_t window = std::min(history.size(), static_cast<std::size_t>(options.penalty_window));
  for (std::size_t i = history.size() - window; i < history.size(); ++i) ++seen[history[i]];
  for (const auto& [id, count] : seen) {
    if (id < 0 || id >= static_cast<std::int32_t>(logits.size())) continue;
    float& logit = logits[static_cast<std::size_t>(id)];
    logit = logit < 0 ? logit * options.repetition_penalty : logit / options.repetition_penalty;
    logit -= options.presence_penalty + options.frequency_penalty * static_cast<float>(count);
  }
  const auto logit = [&](std::int32_t id) { return static_cast<double>(logits[static_cast<std::size_t>(id)]); };
  Ids ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](std::int32_t a, std::int32_t b) { return logit(a) > logit(b); });
  if (options.temperature == 0) return ids[0];
  if (options.top_k > 0 && options.top_k < static_cast<int>(ids.size()))
    ids.resize(static_cast<std::size_t>(options.top_k));
  const double best = logit(ids[0]);
  const auto weight = [&](std::int32_t id) {
    return std::exp((logit(id) - best) / static_cast<double>(options.temperature));
  };
  double total = 0, kept = 0;
  for (const std::int32_t id : ids) total += weight(id);
  if (options.top_p < 1 || options.min_p > 0) {
    std::size_t count = 0;
    const double enough = options.top_p < 1 ? static_cast<double>(options.top_p) * total : 2 * total;
    while (count < ids.size() && kept < enough &&
           (count == 0 || weight(ids[count]) >= static_cast<double>(options.min_p)))
      kept += weight(ids[count++]);
    ids.resize(count);
  } else {
    kept = total;
    std::sort(ids.begin(), ids.end());
  }
  const double target = next_uniform(random_state) * kept;
  double sum = 0;
  for (const std::int32_t id : ids)
    if (sum += weight(id); target < sum) return id;
  return ids.back();
}

SamplerState state_of(const SamplingOptions& options, std::size_t tokens) {
  SamplerState state;
  state.temperature = options.temperature;
  state.top_p = options.top_p;
  state.min_p = options.min_p;
  state.repetition_penalty = options.repetition_penalty;
  state.presence_penalty = options.presence_penalty;
  state.frequency_penalty = options.frequency_penalty;
  state.top_k = options.top_k;
  state.penalty_window = options.penalty_window;
  state.random_state = options.seed;
  state.tokens = static_cast<std::int64_t>(tokens);
  return state;
}

/// Sequences with their samplers and rings on the device, and one buffer of logits.
struct Sequences {
  Sequences(Queue& queue, const std::vector<SamplingOptions>& options, const Ids& history, std::int64_t ring)
      : queue_(queue),
        count(static_cast<std::int64_t>(options.size())),
        width(ring),
        samplers(queue, count * sampler_words),
        recent(queue, count * ring) {
    std::vector<SamplerState> states;
    Ids rings(static_cast<std::size_t>(count * ring), -7);  // ids that never were: must not be looked at
    for (std::int64_t row = 0; row < count; ++row) {
      states.push_back(state_of(options[static_cast<std::size_t>(row)], history.size()));
      for (std::size_t i = 0; i < history.size(); ++i)
        rings[static_cast<std::size_t>(row * ring + static_cast<std::int64_t>(i) % ring)] = history[i];
    }
    copy_to_device(queue, samplers.data(), states.data(), count * sampler_words * 4);
    copy_to_device(queue, recent.data(), rings.data(), count * ring * 4);
  }
  std::vector<SamplerState> states() const {
    const Ids words = samplers.raw();
    std::vector<SamplerState> result(static_cast<std::size_t>(count));
    std::memcpy(static_cast<void*>(result.data()), words.data(), words.size() * 4);
    return result;
  }
  /// The last `n` tokens of a sequence.
  Ids last(std::int64_t row, std::int64_t n) const {
    const Ids rings = recent.raw();
    const std::int64_t tokens = states()[static_cast<std::size_t>(row)].tokens;
    Ids result;
    for (std::int64_t i = tokens - n; i < tokens; ++i)
      result.push_back(rings[static_cast<std::size_t>(row * width + i % width)]);
    return result;
  }
  Tensor sampler_tensor() const { return samplers.tensor({count, sampler_words}); }
  Tensor ring_tensor() const { return recent.tensor({count, width}); }

 private:
  Queue& queue_;

 public:
  std::int64_t count, width;
  GuardedOnDevice<std::int32_t> samplers, recent;
};

std::vector<float> row_of(const std::vector<float>& logits, std::int64_t row, std::int64_t vocabulary,
                          std::int64_t usable) {
  const auto first = logits.begin() + row * vocabulary;
  return {first, first + usable};
}

/// Decodes `steps` tokens of each sequence by replaying one graph, without the host between, and compares them with the
/// host's sampler and with the reference.
void expect_tokens_of_the_host(Queue& queue, const std::vector<float>& logits, std::int64_t vocabulary,
                               std::int64_t usable, const std::vector<SamplingOptions>& options, int steps,
                               const Ids& history = {3, 5, 5, 9}, std::int64_t ring = 100) {
  const auto rows = static_cast<std::int64_t>(options.size());
  const OnDevice<float> pristine(queue, logits);
  const GuardedOnDevice<float> work(queue, rows * vocabulary);
  const Sequences sequences(queue, options, history, ring);
  const GuardedOnDevice<std::int32_t> chosen(queue, rows);
  queue.reserve_workspace(rows * (vocabulary / 256 + 1) * 16 + rows * 4);
  const Graph graph = queue.capture([&] {
    copy_on_device(queue, work.data(), pristine.data(), rows * vocabulary * 4);
    sample(queue, work.tensor({rows, vocabulary}), usable, sequences.sampler_tensor(), sequences.ring_tensor(),
           chosen.tensor({rows}));
  });
  EXPECT_EQ(graph.nodes(), 2);
  for (int step = 0; step < steps; ++step) queue.launch(graph);
  for (std::int64_t row = 0; row < rows; ++row) {
    const SamplingOptions& with = options[static_cast<std::size_t>(row)];
    SCOPED_TRACE("row " + std::to_string(row) + ": temperature " + std::to_string(with.temperature) + ", top-k " +
                 std::to_string(with.top_k) + ", top-p " + std::to_string(with.top_p) + ", min-p " +
                 std::to_string(with.min_p));
    const std::vector<float> own = row_of(logits, row, vocabulary, usable);
    Sampler host(with, usable);
    std::uint64_t random_state = with.seed;
    Ids chain = history, reference = history;
    for (int step = 0; step < steps; ++step) {
      chain.push_back(host.choose(own, chain));
      reference.push_back(reference_choice(own, with, reference, random_state));
    }
    const Ids expected(chain.end() - steps, chain.end());
    EXPECT_EQ(sequences.last(row, steps), expected);
    EXPECT_EQ(reference, chain);
    const SamplerState state = sequences.states()[static_cast<std::size_t>(row)];
    EXPECT_EQ(state.tokens, static_cast<std::int64_t>(chain.size()));
    EXPECT_EQ(state.chosen, chain.back());
    EXPECT_EQ(state.failed, 0);
    EXPECT_EQ(state.random_state, random_state);
    EXPECT_EQ(chosen.raw()[static_cast<std::size_t>(row)], chain.back());
  }
}

SamplingOptions with(float temperature, int top_k, float top_p, float min_p, std::uint64_t seed = 1) {
  SamplingOptions options;
  options.temperature = temperature;
  options.top_k = top_k;
  options.top_p = top_p;
  options.min_p = min_p;
  options.seed = seed;
  return options;
}

SamplingOptions penalized(SamplingOptions options, float repetition, float presence, float frequency, int window) {
  options.repetition_penalty = repetition;
  options.presence_penalty = presence;
  options.frequency_penalty = frequency;
  options.penalty_window = window;
  return options;
}

TEST_F(CudaSamplingSmall, WithoutTemperatureTheHighestWinsAndTiesGoToTheLowestId) {
  const std::int64_t vocabulary = 4500;
  std::vector<float> logits(5 * vocabulary, -3.0f);
  const auto at = [&](std::int64_t row, std::int64_t id) -> float& {
    return logits[static_cast<std::size_t>(row * vocabulary + id)];
  };
  at(0, 4200) = at(0, 4400) = 7;  // in the second block
  at(1, 300) = at(1, 257) = at(1, 4300) = 2;
  for (std::int64_t id = 0; id < vocabulary; ++id) at(2, id) = -0.0f;
  at(2, 40) = 0.0f;                    // no higher than the others
  at(3, 4449) = 1, at(3, 4450) = 100;  // padding begins at 4450
  for (std::int64_t id = 4450; id < vocabulary; ++id) at(4, id) = std::nanf("");
  const Sequences sequences(queue(), std::vector<SamplingOptions>(5), {}, 1);
  const OnDevice<float> work(queue(), logits);
  const GuardedOnDevice<std::int32_t> chosen(queue(), 5);
  sample(queue(), work.tensor({5, vocabulary}), 4450, sequences.sampler_tensor(), sequences.ring_tensor(),
         chosen.tensor({5}));
  EXPECT_EQ(chosen.raw(), (Ids{4200, 257, 0, 4449, 0}));
  for (const SamplerState& state : sequences.states()) {
    EXPECT_EQ(state.failed, 0);
    EXPECT_EQ(state.random_state, 0u);
  }
}

TEST_F(CudaSamplingSmall, ChoosesWhatTheHostChooses) {
  const std::int64_t vocabulary = 4500, usable = 4400;
  const std::vector<SamplingOptions> options = {
      penalized({}, 1.3f, 0.5f, 0.25f, 5),
      penalized(with(0.7f, 20, 0.8f, 0), 1.1f, 0, 0, 64),
      with(1, 0, 1, 0),
      with(0.8f, 0, 0.9f, 0.02f),
      with(3, 0, 0.999f, 0),  // more than the list holds
  };
  const std::vector<float> logits = Random(4).normals(static_cast<std::int64_t>(options.size()) * vocabulary, 3);
  expect_tokens_of_the_host(queue(), logits, vocabulary, usable, options, 3);
}

TEST_F(CudaSampling, ChoosesWhatTheHostChooses) {
  std::vector<SamplingOptions> options;
  for (const float temperature : {0.3f, 2.5f})
    for (const int top_k : {0, 1, 20, 300})
      for (const float top_p : {1.0f, 0.95f, 0.5f})
        for (const float min_p : {0.0f, 0.05f})
          options.push_back(with(temperature, top_k, top_p, min_p, options.size() * 977));
  for (const std::int64_t vocabulary : {5, 700})
    expect_tokens_of_the_host(queue(), Random(7).normals(std::ssize(options) * vocabulary, 2), vocabulary, vocabulary,
                              options, 4);
}

TEST_F(CudaSampling, ChoosesWhatTheHostChoosesInTheRealVocabulary) {
  const std::vector<SamplingOptions> options = {
      {},
      penalized(with(0.7f, 20, 0.8f, 0), 1.05f, 1.5f, 0, 64),
      with(1, 0, 0.95f, 0),
      with(0.6f, 0, 1, 0.05f),
      with(1, 0, 1, 0),
      with(1, 1000, 1, 0),
      with(1, 1000, 0.9f, 0),
  };
  const std::vector<float> logits = Random(5).normals(static_cast<std::int64_t>(options.size()) * real_vocabulary, 3);
  expect_tokens_of_the_host(queue(), logits, real_vocabulary, real_tokens, options, 3);
}

TEST_F(CudaSampling, ChoosesWhatTheHostChoosesFromVeryMany) {
  const std::vector<SamplingOptions> options = {with(1.5f, 0, 0.97f, 0), with(2, 0, 1, 0.0005f), with(3, 6000, 1, 0),
                                                with(3, 6000, 0.95f, 0.001f)};
  const std::int64_t vocabulary = 20000;
  expect_tokens_of_the_host(queue(), Random(6).normals(std::ssize(options) * vocabulary, 2), vocabulary, 19999, options,
                            4);
  // All alike: only ids tell them apart, and sums are exact.
  const std::vector<float> alike(static_cast<std::size_t>(std::ssize(options) * vocabulary), 1.25f);
  expect_tokens_of_the_host(queue(), alike, vocabulary, 19999, options, 3);
}

TEST_F(CudaSampling, KeepsAnIdThatIsExactlyAtTheEndOfAFilter) {
  // Eight of weight 1 and nothing else: sums are exact, and a quarter of them ends exactly at the second.
  std::vector<float> logits(600, -200);
  for (std::size_t i = 0; i < 8; ++i) logits[70 * i] = 4;
  std::vector<SamplingOptions> options;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    options.push_back(with(0.5f, 0, 0.25f, 0, seed));
    options.push_back(with(0.5f, 2, 1, 1, seed));
    options.push_back(with(0.5f, 0, 1, 1, seed));
  }
  std::vector<float> all;
  for (std::size_t i = 0; i < options.size(); ++i) all.insert(all.end(), logits.begin(), logits.end());
  expect_tokens_of_the_host(queue(), all, 600, 600, options, 4);
}

TEST_F(CudaSampling, CountsTheLastIdsAsTheHostDoes) {
  // Eight ids, so that each is often among the last; rings that wrap and windows of all sizes.
  const std::int64_t vocabulary = 8;
  for (const std::int64_t ring : {1, 4, 7, 20}) {
    std::vector<SamplingOptions> options;
    for (const int window : {0, 1, 3, 4, 7, 19})
      if (window <= ring)
        for (const std::uint64_t seed : {1, 2}) {
          options.push_back(penalized(with(1, 0, 1, 0, seed), 1.5f, 0.25f, 0.5f, window));
          options.push_back(penalized(with(0, 0, 1, 0, seed), 1, 0, 0.75f, window));
        }
    const std::vector<float> logits = Random(9).normals(std::ssize(options) * vocabulary, 1);
    for (const Ids& history : {Ids{}, Ids{2}, Ids{1, 1, 4, 4, 4, 0, 7, 7, 100, 3}})
      for (const int steps : {1, 12})
        if (steps <= ring) {
          SCOPED_TRACE("ring " + std::to_string(ring) + ", history " + std::to_string(history.size()));
          expect_tokens_of_the_host(queue(), logits, vocabulary, vocabulary, options, steps, history, ring);
        }
  }
}

TEST_F(CudaSamplingSmall, CutsAWindowLongerThanTheRing) {
  std::vector<float> logits = {3, 2.9f, 0};
  const Sequences sequences(queue(), {penalized({}, 2, 0, 0, 50)}, {0, 1, 2, 2}, 2);
  const OnDevice<float> work(queue(), logits);
  const GuardedOnDevice<std::int32_t> chosen(queue(), 1);
  sample(queue(), work.tensor({1, 3}), 3, sequences.sampler_tensor(), sequences.ring_tensor(), chosen.tensor({1}));
  EXPECT_EQ(chosen.raw(), (Ids{0}));  // 0 and 1 are no longer in the ring
  EXPECT_EQ(sequences.last(0, 2), (Ids{2, 0}));
}

TEST_F(CudaSamplingSmall, SaysWhichRowsAreNotFinite) {
  const std::int64_t vocabulary = 700, rows = 5;
  const float infinity = std::numeric_limits<float>::infinity();
  for (const SamplingOptions& options : {SamplingOptions{}, with(1, 0, 1, 0), with(1, 20, 0.9f, 0)}) {
    std::vector<float> logits = Random(3).normals(rows * vocabulary);
    logits[static_cast<std::size_t>(1 * vocabulary + 699)] = std::nanf("");
    logits[static_cast<std::size_t>(2 * vocabulary + 300)] = infinity;
    logits[static_cast<std::size_t>(3 * vocabulary)] = -infinity;
    const std::vector<SamplingOptions> all(rows, options);
    const Sequences sequences(queue(), all, {1, 2}, 8);
    const OnDevice<float> work(queue(), logits);
    const GuardedOnDevice<std::int32_t> chosen(queue(), rows);
    sample(queue(), work.tensor({rows, vocabulary}), vocabulary, sequences.sampler_tensor(), sequences.ring_tensor(),
           chosen.tensor({rows}));
    const std::vector<SamplerState> states = sequences.states();
    for (std::int64_t row = 0; row < rows; ++row) {
      const SamplerState& state = states[static_cast<std::size_t>(row)];
      if (row == 0 || row == 4) {
        Sampler host(options, vocabulary);
        EXPECT_EQ(state.chosen, host.choose(row_of(logits, row, vocabulary, vocabulary), Ids{1, 2}));
        EXPECT_EQ(state.failed, 0);
        EXPECT_EQ(state.tokens, 3);
      } else {
        EXPECT_EQ(chosen.raw()[static_cast<std::size_t>(row)], 0);
        EXPECT_EQ(state.chosen, -1);
        EXPECT_EQ(state.failed, 1);
        EXPECT_EQ(state.tokens, 2);
        EXPECT_EQ(state.random_state, options.seed);
        EXPECT_EQ(sequences.last(row, 2), (Ids{1, 2}));
      }
    }
  }
}

/// Rounds of verification, with the first `right` drafts of each round as the host will choose, then one that it will
/// not (or none). Row `failing`, if any, of every round is not finite.
void expect_verified(Queue& queue, std::int64_t vocabulary, std::int64_t rows, const SamplingOptions& options,
                     const Ids& right_of_round, bool ends_with_none) {
  SCOPED_TRACE(std::to_string(rows) + " rows, temperature " + std::to_string(options.temperature));
  const std::int64_t ring = 16;
  Ids chain = {1, 2, 2, 3};
  const Sequences sequence(queue, {options}, chain, ring);
  Sampler host(options, vocabulary);
  for (std::size_t round = 0; round < right_of_round.size(); ++round) {
    const std::int64_t right = right_of_round[round];
    const std::vector<float> logits = Random(static_cast<unsigned>(20 + round)).normals(rows * vocabulary, 2);
    Ids drafts, expected;
    for (std::int64_t row = 0; row <= right; ++row) {
      expected.push_back(host.choose(row_of(logits, row, vocabulary, vocabulary), chain));
      chain.push_back(expected.back());
    }
    for (std::int64_t row = 0; row + 1 < rows; ++row) {
      const std::int32_t choice = row <= right ? expected[static_cast<std::size_t>(row)] : 4;
      drafts.push_back(row < right      ? choice
                       : ends_with_none ? -1
                                        : (choice + 1) % static_cast<std::int32_t>(vocabulary));
    }
    const OnDevice<float> work(queue, logits);
    const OnDevice<std::int32_t> device_drafts(queue, drafts);
    const GuardedOnDevice<std::int32_t> chosen(queue, rows), accepted(queue, 1), next(queue, 1);
    verify_drafts(queue, work.tensor({rows, vocabulary}), vocabulary, device_drafts.tensor({rows - 1}),
                  sequence.sampler_tensor(), sequence.ring_tensor(), chosen.tensor({rows}), accepted.tensor({1}),
                  next.tensor({1}));
    EXPECT_EQ(accepted.raw()[0], right);
    EXPECT_EQ(next.raw()[0], chain.back());
    Ids new_tokens = chosen.raw();
    new_tokens.resize(expected.size());
    EXPECT_EQ(new_tokens, expected);
    EXPECT_EQ(sequence.last(0, std::min<std::int64_t>(ring, std::ssize(chain))),
              Ids(chain.end() - std::min<std::ptrdiff_t>(ring, std::ssize(chain)), chain.end()));
    const SamplerState state = sequence.states()[0];
    EXPECT_EQ(state.tokens, std::ssize(chain));
    EXPECT_EQ(state.chosen, chain.back());
    EXPECT_EQ(state.failed, 0);
  }
}

TEST_F(CudaSamplingSmall, AcceptsTheDraftsThatTheHostWouldChoose) {
  expect_verified(queue(), 300, 3, penalized({}, 1.2f, 0.3f, 0.2f, 6), {2, 0, 1}, false);
  expect_verified(queue(), 300, 3, penalized(with(0.9f, 20, 0.9f, 0), 1.2f, 0.3f, 0.2f, 6), {1, 2, 0}, true);
  expect_verified(queue(), 4300, 2, with(1, 0, 1, 0), {1, 0}, false);  // two blocks a row
}

TEST_F(CudaSampling, AcceptsTheDraftsThatTheHostWouldChoose) {
  for (std::int64_t rows = 1; rows <= 8; ++rows) {
    Ids right;
    for (std::int32_t count = 0; count < static_cast<std::int32_t>(rows); ++count) right.push_back(count);
    for (const bool none : {false, true}) {
      expect_verified(queue(), 20, rows, penalized({}, 1, 0.5f, 0.5f, 16), right, none);
      expect_verified(queue(), 300, rows, penalized(with(1.2f, 0, 0.9f, 0), 1.1f, 0.5f, 0.5f, 9), right, none);
    }
  }
}

TEST_F(CudaSampling, TheWindowMayEndAmongTheDrafts) {
  for (const int window : {1, 2, 3, 4})
    for (const float temperature : {0.0f, 1.0f})
      expect_verified(queue(), 8, 6, penalized(with(temperature, 0, 1, 0), 1.5f, 0.5f, 1, window), {5, 5, 4}, false);
}

TEST_F(CudaSamplingSmall, ARowThatIsNotFiniteCountsWhereTheDraftsReachIt) {
  const std::int64_t vocabulary = 40;
  std::vector<float> logits = Random(11).normals(3 * vocabulary);
  for (std::int64_t row = 0; row < 2; ++row) logits[static_cast<std::size_t>(row * vocabulary + 6 + row)] = 50;
  logits[2 * vocabulary + 5] = std::nanf("");
  for (const Ids& drafts : {Ids{6, 9}, Ids{6, 7}}) {  // the third row is reached by the second
    const Sequences sequence(queue(), {with(1, 0, 0.9f, 0, 5)}, {1, 2}, 8);
    const OnDevice<float> work(queue(), logits);
    const OnDevice<std::int32_t> device_drafts(queue(), drafts);
    const GuardedOnDevice<std::int32_t> chosen(queue(), 3), accepted(queue(), 1), next(queue(), 1);
    verify_drafts(queue(), work.tensor({3, vocabulary}), vocabulary, device_drafts.tensor({2}),
                  sequence.sampler_tensor(), sequence.ring_tensor(), chosen.tensor({3}), accepted.tensor({1}),
                  next.tensor({1}));
    const bool reached = drafts[1] == 7;
    const SamplerState state = sequence.states()[0];
    EXPECT_EQ(state.failed, reached ? 1 : 0);
    EXPECT_EQ(accepted.raw()[0], reached ? 2 : 1);
    EXPECT_EQ(next.raw()[0], reached ? 0 : 7);
    EXPECT_EQ(state.tokens, 4);
    EXPECT_EQ(state.random_state, 5 + 2 * 0x9E3779B97F4A7C15U);
    EXPECT_EQ(sequence.last(0, 4), (Ids{1, 2, 6, 7}));
    EXPECT_EQ(chosen.raw(), (Ids{6, 7, 0}));
  }
}

TEST_F(CudaSamplingSmall, ARowThatIsNotFiniteIsNoDraft) {
  std::vector<float> logits(2 * 40, 0.0f);
  logits[3] = std::nanf("");
  const Sequences sequence(queue(), {{}}, {1, 2}, 8);
  const OnDevice<float> work(queue(), logits);
  const OnDevice<std::int32_t> drafts(queue(), {-1});
  const GuardedOnDevice<std::int32_t> chosen(queue(), 2), accepted(queue(), 1), next(queue(), 1);
  verify_drafts(queue(), work.tensor({2, 40}), 40, drafts.tensor({1}), sequence.sampler_tensor(),
                sequence.ring_tensor(), chosen.tensor({2}), accepted.tensor({1}), next.tensor({1}));
  EXPECT_EQ(accepted.raw()[0], 0);
  EXPECT_EQ(sequence.states()[0].failed, 1);
  EXPECT_EQ(sequence.states()[0].tokens, 2);
}

TEST_F(CudaSamplingSmall, LeavesTheTicketsAtZero) {
  expect_verified(queue(), 300, 3, {}, {1}, false);
  std::vector<std::int32_t> tickets(Queue::ticket_count, 1);
  copy_to_host(queue(), tickets.data(), reinterpret_cast<const std::byte*>(queue().tickets()), Queue::ticket_count * 4);
  queue().synchronize();
  EXPECT_EQ(tickets, std::vector<std::int32_t>(Queue::ticket_count, 0));
}

TEST_F(CudaSamplingSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 22);
  const auto f32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::f32, shape); };
  const auto i32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::i32, shape); };
  const auto good = [&] { sample(queue(), f32({0, 50}), 50, i32({0, 16}), i32({0, 9}), i32({0})); };
  good();  // no rows: nothing to do
  queue().synchronize();
  EXPECT_THROW(sample(queue(), i32({2, 50}), 50, i32({2, 16}), i32({2, 9}), i32({2})), Error);
  EXPECT_THROW(sample(queue(), f32({2, 50}), 51, i32({2, 16}), i32({2, 9}), i32({2})), Error);
  EXPECT_THROW(sample(queue(), f32({2, 50}), 0, i32({2, 16}), i32({2, 9}), i32({2})), Error);
  EXPECT_THROW(sample(queue(), f32({2, 50}), 50, i32({1, 16}), i32({2, 9}), i32({2})), Error);
  EXPECT_THROW(sample(queue(), f32({2, 50}), 50, i32({2, 15}), i32({2, 9}), i32({2})), Error);
  EXPECT_THROW(sample(queue(), f32({2, 50}), 50, i32({2, 16}), i32({2, 0}), i32({2})), Error);
  EXPECT_THROW(sample(queue(), f32({2, 50}), 50, i32({2, 16}), i32({1, 9}), i32({2})), Error);
  EXPECT_THROW(sample(queue(), f32({2, 50}), 50, i32({2, 16}), i32({2, 9}), i32({3})), Error);
  EXPECT_THROW(sample(queue(), f32({65, 5}), 5, i32({65, 16}), i32({65, 9}), i32({65})), Error);
  EXPECT_THROW(sample(queue(), f32({1, 262145}), 262145, i32({1, 16}), i32({1, 9}), i32({1})), Error);
  const Tensor odd(memory.data() + 4, DType::i32, {2, 16});
  EXPECT_THROW(sample(queue(), f32({2, 50}), 50, odd, i32({2, 9}), i32({2})), Error);
  const auto verify = [&](Tensor logits, Tensor drafts, Tensor sampler, Tensor recent, Tensor chosen, Tensor accepted,
                          Tensor next) {
    verify_drafts(queue(), logits, 50, drafts, sampler, recent, chosen, accepted, next);
  };
  EXPECT_THROW(verify(f32({0, 50}), i32({0}), i32({1, 16}), i32({1, 9}), i32({0}), i32({1}), i32({1})), Error);
  EXPECT_THROW(verify(f32({3, 50}), i32({3}), i32({1, 16}), i32({1, 9}), i32({3}), i32({1}), i32({1})), Error);
  EXPECT_THROW(verify(f32({3, 50}), i32({2}), i32({3, 16}), i32({1, 9}), i32({3}), i32({1}), i32({1})), Error);
  EXPECT_THROW(verify(f32({3, 50}), i32({2}), i32({1, 16}), i32({3, 9}), i32({3}), i32({1}), i32({1})), Error);
  EXPECT_THROW(verify(f32({3, 50}), i32({2}), i32({1, 16}), i32({1, 9}), i32({2}), i32({1}), i32({1})), Error);
  EXPECT_THROW(verify(f32({3, 50}), i32({2}), i32({1, 16}), i32({1, 9}), i32({3}), i32({2}), i32({1})), Error);
  EXPECT_THROW(verify(f32({3, 50}), i32({2}), i32({1, 16}), i32({1, 9}), i32({3}), i32({1}), f32({1})), Error);
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

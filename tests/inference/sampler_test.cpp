#include "inference/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "kernels/error.h"

namespace lectern::inference {
namespace {

std::map<TokenId, int> draw(const SamplingOptions& options, const std::vector<float>& logits, int count) {
  Sampler sampler(options, static_cast<std::int64_t>(logits.size()));
  std::map<TokenId, int> counts;
  for (int index = 0; index < count; ++index) ++counts[sampler.choose(logits, {})];
  return counts;
}

TEST(Sampler, WithoutTemperatureTheHighestLogitWinsAndTiesGoToTheLowestId) {
  Sampler sampler({}, 5);
  EXPECT_EQ(sampler.choose(std::vector<float>{0, 3, 7, 7, 1}, {}), 2);
  EXPECT_EQ(sampler.choose(std::vector<float>{-4, -3, -7, -7, -3}, {}), 1);
}

TEST(Sampler, RowsOfPaddingAreNeverChosen) {
  Sampler greedy({}, 3);
  EXPECT_EQ(greedy.choose(std::vector<float>{0, 1, 2, 100, 100}, {}), 2);
  SamplingOptions options;
  options.temperature = 5;
  Sampler random(options, 3);
  for (int index = 0; index < 200; ++index) EXPECT_LT(random.choose(std::vector<float>{0, 1, 2, 100, 100}, {}), 3);
}

TEST(Sampler, DrawsWithTheProbabilitiesOfTheSoftmax) {
  SamplingOptions options;
  options.temperature = 2;
  options.seed = 7;
  const std::vector<float> logits{0, 2, -1, 4};
  const int count = 40000;
  const auto counts = draw(options, logits, count);
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit / 2.0);
  for (TokenId id = 0; id < 4; ++id) {
    const double expected = std::exp(logits[static_cast<std::size_t>(id)] / 2.0) / sum;
    const double deviation = std::sqrt(expected * (1 - expected) / count);
    EXPECT_NEAR(static_cast<double>(counts.at(id)) / count, expected, 5 * deviation);
  }
}

TEST(Sampler, TheSameSeedGivesTheSameTokensAndAnotherOneOthers) {
  SamplingOptions options;
  options.temperature = 1;
  options.seed = 11;
  const std::vector<float> logits(50, 0.0F);
  const auto run = [&](const SamplingOptions& with) {
    Sampler sampler(with, 50);
    std::vector<TokenId> ids;
    for (int index = 0; index < 20; ++index) ids.push_back(sampler.choose(logits, {}));
    return ids;
  };
  const auto first = run(options);
  EXPECT_EQ(first, run(options));
  // Fixed for all machines: SplitMix64 of seed 11, uniform over 50 ids.
  std::uint64_t state = 11;
  for (TokenId id : first) {
    state += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    z ^= z >> 31;
    EXPECT_EQ(id, static_cast<TokenId>(static_cast<double>(z >> 11) * 0x1p-53 * 50));
  }
  options.seed = 12;
  EXPECT_NE(first, run(options));
}

TEST(Sampler, TopKKeepsTheKHighest) {
  SamplingOptions options;
  options.temperature = 10;
  options.top_k = 2;
  for (const auto& [id, count] : draw(options, {1, 5, 5, 5, 0}, 500)) EXPECT_TRUE(id == 1 || id == 2) << id;
}

TEST(Sampler, TopPKeepsTheFewestThatReachP) {
  SamplingOptions options;
  options.temperature = 1;
  // Probabilities 0.5, 0.25, 0.15, 0.1.
  const std::vector<float> logits{std::log(0.1F), std::log(0.5F), std::log(0.15F), std::log(0.25F)};
  options.top_p = 0.6F;
  auto counts = draw(options, logits, 3000);
  EXPECT_EQ(counts.size(), 2U);
  EXPECT_NEAR(counts[1], 2000, 150);
  EXPECT_NEAR(counts[3], 1000, 150);
  options.top_p = 0.01F;
  counts = draw(options, logits, 100);
  EXPECT_EQ(counts.size(), 1U);
  EXPECT_EQ(counts[1], 100);
}

TEST(Sampler, MinPDropsWhatIsFarBelowTheBest) {
  SamplingOptions options;
  options.temperature = 1;
  options.min_p = 0.4F;
  const auto counts = draw(options, {std::log(0.1F), std::log(0.5F), std::log(0.15F), std::log(0.25F)}, 500);
  EXPECT_EQ(counts.size(), 2U);
  EXPECT_TRUE(counts.contains(1) && counts.contains(3));
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  SamplingOptions options;
  options.repetition_penalty = 2;
  Sampler sampler(options, 3);
  EXPECT_EQ(sampler.choose(std::vector<float>{5, 3, 1}, std::vector<TokenId>{0}), 1);
  EXPECT_EQ(sampler.choose(std::vector<float>{-3, -2, -9}, std::vector<TokenId>{1}), 0);
  EXPECT_EQ(sampler.choose(std::vector<float>{7, 3, 1}, std::vector<TokenId>{0, 0, 0}), 0) << "counts once";
}

TEST(Sampler, PresenceCountsOnceAndFrequencyEachTimeWithinTheWindow) {
  SamplingOptions options;
  options.presence_penalty = 1;
  options.frequency_penalty = 0.5F;
  options.penalty_window = 4;
  Sampler sampler(options, 2);
  EXPECT_EQ(sampler.choose(std::vector<float>{2.4F, 0}, std::vector<TokenId>{0, 0}), 0);     // 2.4 - 2.0
  EXPECT_EQ(sampler.choose(std::vector<float>{2.4F, 0}, std::vector<TokenId>{0, 0, 0}), 1);  // 2.4 - 2.5
  EXPECT_EQ(sampler.choose(std::vector<float>{2.4F, 0.4F}, std::vector<TokenId>{0, 0, 0, 9, 9, 9, 9}), 0)
      << "out of the window";
}

TEST(Sampler, RefusesLogitsThatAreNotFinite) {
  Sampler sampler({}, 2);
  EXPECT_THROW(sampler.choose(std::vector<float>{0, std::numeric_limits<float>::quiet_NaN()}, {}), Error);
  EXPECT_THROW(sampler.choose(std::vector<float>{0, std::numeric_limits<float>::infinity()}, {}), Error);
}

TEST(Sampler, RefusesOptionsWithoutMeaning) {
  SamplingOptions options;
  options.top_p = 0;
  EXPECT_THROW(Sampler(options, 2), Error);
  options = {};
  options.temperature = -1;
  EXPECT_THROW(Sampler(options, 2), Error);
}

}  // namespace
}  // namespace lectern::inference

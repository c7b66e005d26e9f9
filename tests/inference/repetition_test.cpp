#include "inference/repetition.h"

#include <gtest/gtest.h>

#include <vector>

namespace lectern::inference {
namespace {

/// `times` times the run, after some tokens of its own.
std::vector<TokenId> repeated(int run, int times) {
  std::vector<TokenId> answer{1000, 1001, 1002};
  for (int i = 0; i < run * times; ++i) answer.push_back(i % run);
  return answer;
}

TEST(Repetition, IsARunSaidAgainFourTimesOverSixtyFourTokens) {
  EXPECT_TRUE(goes_round(repeated(1, 65)));
  EXPECT_FALSE(goes_round(repeated(1, 64)));
  EXPECT_TRUE(goes_round(repeated(12, 7)));   // 6 * 12 tokens were said before
  EXPECT_FALSE(goes_round(repeated(12, 6)));  // 5 * 12 = 60
  EXPECT_TRUE(goes_round(repeated(64, 5)));
  EXPECT_FALSE(goes_round(repeated(64, 4)));
  EXPECT_FALSE(goes_round(repeated(65, 8)));
}

TEST(Repetition, EndsWhereATokenDiffers) {
  std::vector<TokenId> answer = repeated(12, 9);
  answer.push_back(999);
  EXPECT_FALSE(goes_round(answer));
  answer = repeated(12, 9);
  answer[answer.size() - 30] = 999;
  EXPECT_FALSE(goes_round(answer));
  EXPECT_FALSE(goes_round({}));
}

}  // namespace
}  // namespace lectern::inference

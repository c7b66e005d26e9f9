// Which states are dropped and which extents go first, as numbers.
#include "inference/disk/retention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace lectern::inference {
namespace {

using enum StatePlace;

std::vector<PathExtent> path_of(const std::vector<StatePlace>& places, std::int64_t step) {
  std::vector<PathExtent> path;
  for (StatePlace place : places) {
    const auto number = static_cast<std::int64_t>(path.size());
    path.push_back({number, number * step, (number + 1) * step, place, true});
  }
  return path;
}

std::set<std::int64_t> dropped(const std::vector<PathExtent>& path) {
  const auto drop = states_to_drop(path);
  return {drop.begin(), drop.end()};
}

TEST(Retention, ProgressStaysWhileItsSegmentIsRead) {
  EXPECT_TRUE(dropped(path_of({document_end, progress, progress, progress}, 8192)).empty());
}

TEST(Retention, OfProgressOneIn32768TokensStaysAfterwards) {
  std::vector<StatePlace> places(10, progress);
  places.push_back(document_end);
  EXPECT_EQ(dropped(path_of(places, 8192)), (std::set<std::int64_t>{0, 1, 2, 4, 5, 6, 8, 9}));
  places.push_back(progress);  // of the next segment, which is still being read
  EXPECT_FALSE(dropped(path_of(places, 8192)).contains(11));
}

TEST(Retention, TheLastTwoPromptEndsStay) {
  EXPECT_EQ(dropped(path_of({document_end, prompt_end, turn_end, prompt_end, turn_end, prompt_end}, 100)),
            (std::set<std::int64_t>{1}));
}

TEST(Retention, DocumentEndsStay) {
  EXPECT_TRUE(dropped(path_of(std::vector<StatePlace>(50, document_end), 100)).empty());
}

TEST(Retention, OfOldTurnsFewStayAndAlwaysTheSame) {
  std::vector<PathExtent> path;
  for (int turn = 1; turn <= 200; ++turn) {
    path.push_back({turn, turn * 10 - 10, turn * 10, turn_end, true});
    for (std::int64_t number : states_to_drop(path)) path[static_cast<std::size_t>(number - 1)].has_state = false;
    for (int age = 0; age < std::min(4, turn); ++age)
      EXPECT_TRUE(path[static_cast<std::size_t>(turn - 1 - age)].has_state);
  }
  const auto kept = std::count_if(path.begin(), path.end(), [](const PathExtent& at) { return at.has_state; });
  EXPECT_GE(kept, 4 + 5);
  EXPECT_LE(kept, 4 + 2 * 7);
}

TEST(Retention, WorthFallsWithAgeAndBytesAndRisesWithTokens) {
  constexpr std::int64_t hour = 3600, now = 1'000'000'000;
  EXPECT_DOUBLE_EQ(worth(turn_end, 1024, 1024, now - 6 * hour, now), -1.0);
  EXPECT_DOUBLE_EQ(worth(document_end, 1024, 1024, now - 14 * 24 * hour, now), -1.0);
  EXPECT_LT(worth(turn_end, 100, 2000, now, now), worth(turn_end, 100, 1000, now, now));
  EXPECT_LT(worth(turn_end, 100, 1000, now, now), worth(turn_end, 200, 1000, now, now));
  EXPECT_EQ(worth(turn_end, 100, 1000, now + hour, now), worth(turn_end, 100, 1000, now, now)) << "the clock went back";
  EXPECT_TRUE(std::isfinite(worth(progress, 1, INT64_MAX / 2, 0, now)));
}

}  // namespace
}  // namespace lectern::inference

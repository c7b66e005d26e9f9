#include "app/page_words.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

namespace lectern::app {
namespace {

using documents::Word;

void expect_equal(const std::vector<Word>& a, const std::vector<Word>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].start, b[i].start);
    EXPECT_EQ(a[i].end, b[i].end);
    EXPECT_NEAR(a[i].box.x0, b[i].box.x0, 0.0051);
    EXPECT_NEAR(a[i].box.y0, b[i].box.y0, 0.0051);
    EXPECT_NEAR(a[i].box.x1, b[i].box.x1, 0.0051);
    EXPECT_NEAR(a[i].box.y1, b[i].box.y1, 0.0051);
  }
}

std::vector<Word> page_of_words(int count) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> width(10, 60);
  std::vector<Word> words;
  double x = 72, y = 72;
  std::int64_t offset = 0;
  for (int i = 0; i < count; ++i) {
    const double w = width(random);
    if (x + w > 520) {
      x = 72;
      y += 13.8;
    }
    words.push_back({offset, offset + 5, {x, y, x + w, y + 11.04}});
    offset += 6;
    x += w + 3;
  }
  return words;
}

TEST(PageWords, ComeBackWithinAHundredthOfAPoint) {
  expect_equal(unpack_words(pack_words({})), {});
  const std::vector<Word> words = page_of_words(700);
  expect_equal(unpack_words(pack_words(words)), words);
}

TEST(PageWords, TakeAboutTenBytesEach) {
  EXPECT_LT(pack_words(page_of_words(1000)).size(), 11'000U);
}

TEST(PageWords, KeepOddBoxes) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<Word> words = {{5, 3, {-20.5, 700, -30, 10}}, {0, 9'000'000'000, {1e6, -1e6, 0, 0}}};
  expect_equal(unpack_words(pack_words(words)), words);
  const std::vector<Word> strange = unpack_words(pack_words({{0, 1, {std::nan(""), infinity, -infinity, 1e300}}}));
  ASSERT_EQ(strange.size(), 1U);
  EXPECT_EQ(strange[0].box.x0, 0);
  EXPECT_TRUE(std::isfinite(strange[0].box.y1));
}

TEST(PageWords, RefuseDamagedBytesWhateverTheyAre) {
  const std::string good = pack_words(page_of_words(20));
  EXPECT_THROW(unpack_words(""), std::invalid_argument);
  EXPECT_THROW(unpack_words("\x02"), std::invalid_argument);
  EXPECT_THROW(unpack_words(good + "x"), std::invalid_argument);
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_THROW(unpack_words(good.substr(0, length)), std::invalid_argument) << length;
  std::mt19937 random(3);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    for (int j = 0; j < 3; ++j) bytes[random() % bytes.size()] = static_cast<char>(random());
    try {
      unpack_words(bytes);
    } catch (const std::invalid_argument&) {
    }
  }
}

}  // namespace
}  // namespace lectern::app

#include "documents/word_boxes.h"

#include <gtest/gtest.h>

namespace lectern::documents {
namespace {

/// Characters in a row, one point wide, starting at `x`.
void place(std::vector<PlacedCharacter>& placed, std::u32string_view text, double x, double y) {
  for (char32_t c : text) {
    if (c != ' ') placed.push_back({c, {x, y, x + 1, y + 1}});
    x += 1;
  }
}

TEST(WordBoxes, FollowTheTextWhateverTheOrderOfTheBoxes) {
  std::vector<PlacedCharacter> placed;  // line by line over both columns
  place(placed, U"the left one", 0, 0);
  place(placed, U"the right one", 100, 0);
  place(placed, U"the left two", 0, 10);
  place(placed, U"the right two", 100, 10);
  const std::vector<Word> words = align_words("the left one\nthe left two\nthe right one\nthe right two", placed);
  ASSERT_EQ(words.size(), 12U);
  EXPECT_EQ(words[3].box.y0, 10);  // the second "the"
  EXPECT_EQ(words[3].box.x0, 0);
  EXPECT_EQ(words[9].box.x0, 100);
  EXPECT_EQ(words[9].box.y0, 10);
  EXPECT_EQ(words[4].start, 17);
  EXPECT_EQ(words[4].end, 21);
  EXPECT_EQ(words[4].box.x1 - words[4].box.x0, 4);
}

TEST(WordBoxes, ChineseCharactersHaveTheirOwn) {
  std::vector<PlacedCharacter> placed;
  place(placed, U"中文abc字", 0, 0);
  const std::vector<Word> words = align_words("中文abc字", placed);
  ASSERT_EQ(words.size(), 4U);
  EXPECT_EQ(words[1].box.x0, 1);
  EXPECT_EQ(words[2].box.x1, 5);
}

TEST(WordBoxes, WordsThatAreNotThereAreLeftOut) {
  std::vector<PlacedCharacter> placed;
  place(placed, U"known other", 0, 0);
  const std::vector<Word> words = align_words("known missing other", placed);
  ASSERT_EQ(words.size(), 2U);
  EXPECT_EQ(words[1].start, 14);
  EXPECT_TRUE(align_words("text", {}).empty());
  EXPECT_TRUE(align_words("", placed).empty());
}

}  // namespace
}  // namespace lectern::documents

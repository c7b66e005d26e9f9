#include "app/search_text.h"

#include <gtest/gtest.h>

namespace lectern::app {
namespace {

TEST(SearchText, PutsSpacesAroundChineseCharactersOnly) {
  EXPECT_EQ(index_text("plain text"), "plain text");
  EXPECT_EQ(index_text("租金100元"), "租 金 100 元 ");
  EXPECT_EQ(index_text("a\xFF"
                       "b"),
            "a b");
  EXPECT_EQ(index_text(""), "");
}

TEST(SearchText, JoinsTheWordsOfAQuestionByOrWithoutStopWords) {
  EXPECT_EQ(any_word_query("What is the Governing LAW?"), "\"governing\" OR \"law\"");
  EXPECT_EQ(any_word_query("law, law; LAW"), "\"law\"");
  EXPECT_EQ(any_word_query("Who is it?"), "\"who\" OR \"is\" OR \"it\"");
  EXPECT_EQ(any_word_query("?!"), "");
}

TEST(SearchText, AsksAChineseRunAsItsPairs) {
  EXPECT_EQ(any_word_query("合同的租金"), "\"合 同\" OR \"租 金\"");
  EXPECT_EQ(any_word_query("谁的"), "\"谁\"");
  EXPECT_EQ(any_word_query("第3条"), "\"第\" OR \"3\" OR \"条\"");
}

TEST(SearchText, LeavesNoQuerySyntaxInAQuery) {
  EXPECT_EQ(any_word_query("\"; DROP\" NEAR(x) title:y z* ^w"),
            "\"drop\" OR \"near\" OR \"x\" OR \"title\" OR \"y\" OR \"z\" OR \"w\"");
  EXPECT_EQ(all_words_query("lease OR ter"), "\"lease\" AND \"or\" AND \"ter\" *");
  EXPECT_EQ(all_words_query("租金 a"), "\"租 金\" AND \"a\" *");
}

TEST(SearchText, BoundsTheLengthOfAQuery) {
  std::string question;
  for (int i = 0; i < 5000; ++i) question += "w" + std::to_string(i) + " ";
  EXPECT_LT(any_word_query(question).size(), 5000U);
}

}  // namespace
}  // namespace lectern::app

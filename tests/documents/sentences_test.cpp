#include "documents/sentences.h"

#include <gtest/gtest.h>

#include <string>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

using Texts = std::vector<std::string>;

Texts split(const std::string& text) {
  Texts out;
  for (const Sentence& sentence : split_sentences(text)) out.emplace_back(slice(text, sentence.start, sentence.end));
  return out;
}

TEST(Sentences, EndAtTerminators) {
  EXPECT_EQ(split("One is here. Two is there! Is three? Yes"),
            (Texts{"One is here.", "Two is there!", "Is three?", "Yes"}));
}

TEST(Sentences, AbbreviationsInitialsAndDecimalsEndNone) {
  EXPECT_EQ(split("Acme Inc. and J. Smith, e.g. in Section 3.1 of Exhibit No. 5, pay $1.50. Next."),
            (Texts{"Acme Inc. and J. Smith, e.g. in Section 3.1 of Exhibit No. 5, pay $1.50.", "Next."}));
  EXPECT_EQ(split("It is sold by Acme Inc. The price is 5."), (Texts{"It is sold by Acme Inc.", "The price is 5."}));
  EXPECT_EQ(split("The answer is no. It ends."), (Texts{"The answer is no.", "It ends."}));
}

TEST(Sentences, LineBreaksInsideAParagraphEndNone) {
  EXPECT_EQ(split("The agreement\nends in May.\n\nHeading\n\nIt may\nbe renewed."),
            (Texts{"The agreement\nends in May.", "Heading", "It may\nbe renewed."}));
}

TEST(Sentences, ListItemsAndHeadingsStandAlone) {
  EXPECT_EQ(split("# Title\nText goes on\n- one\n- two\n1. First item\n2. Second item\n(a) sub"),
            (Texts{"# Title", "Text goes on", "- one", "- two", "1. First item", "2. Second item", "(a) sub"}));
}

TEST(Sentences, ChineseEndsWithoutSpaces) {
  EXPECT_EQ(split("本合同生效。期限三年！“是吗？”好"), (Texts{"本合同生效。", "期限三年！", "“是吗？”", "好"}));
}

TEST(Sentences, AMarkerAfterThePeriodBelongsToIt) {
  EXPECT_EQ(split("The fee is 5. [1:3] It is due."), (Texts{"The fee is 5. [1:3]", "It is due."}));
}

TEST(Sentences, EmptyAndEndlessTextsAreHarmless) {
  EXPECT_TRUE(split("").empty());
  EXPECT_TRUE(split(" \n\n ").empty());
  std::string endless;
  for (int i = 0; i < 2000; ++i) endless += "word ";
  EXPECT_GT(split(endless).size(), 3U);
}

}  // namespace
}  // namespace lectern::documents

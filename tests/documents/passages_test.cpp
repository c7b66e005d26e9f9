#include "documents/passages.h"

#include <gtest/gtest.h>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

Page page_of(const std::string& text) {
  Page page;
  page.number = 7;
  page.text = text;
  return page;
}

TEST(Passages, AShortPageIsOnePassage) {
  const auto passages = split_passages(page_of("  A few words.\n"));
  ASSERT_EQ(passages.size(), 1U);
  EXPECT_EQ(passages[0].page, 7);
  EXPECT_EQ(passages[0].start, 2);
  EXPECT_EQ(passages[0].end, 14);
  EXPECT_TRUE(split_passages(page_of(" \n ")).empty());
}

TEST(Passages, CutsAtParagraphsBeforeSentencesBeforeSpaces) {
  std::string paragraph, text;
  for (int i = 0; i < 30; ++i) paragraph += "Some words stand here. ";
  for (int i = 0; i < 12; ++i) text += paragraph + "\n\n";
  for (const Passage& passage : split_passages(page_of(text))) {
    EXPECT_EQ(slice(text, passage.start, passage.start + 4), "Some");
    EXPECT_EQ(slice(text, passage.end - 5, passage.end), "here.");
    if (passage.end < code_points(text) - 5) {
      EXPECT_EQ(slice(text, passage.end, passage.end + 3), " \n\n");
    }
  }
}

TEST(Passages, LoseNothingAndKeepTheirBounds) {
  std::string spaced, solid, chinese;
  for (int i = 0; i < 5000; ++i) spaced += "word ";
  for (int i = 0; i < 20000; ++i) solid += 'x';
  for (int i = 0; i < 4000; ++i) chinese += "合同期限。";
  for (const std::string& text : {spaced, solid, chinese}) {
    std::string joined, dense;
    for (const Passage& passage : split_passages(page_of(text))) {
      EXPECT_LE(passage.end - passage.start, 4500);
      joined += slice(text, passage.start, passage.end);
    }
    const auto without_spaces = [](std::string s) {
      std::erase(s, ' ');
      return s;
    };
    EXPECT_EQ(without_spaces(joined), without_spaces(text));
  }
}

}  // namespace
}  // namespace lectern::documents

#include "documents/text_fold.h"

#include <gtest/gtest.h>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

constexpr FoldOptions dropping{FoldCase::lower, FoldSpace::drop};

TEST(TextFold, UnifiesLigaturesWidthQuotesAndDashes) {
  EXPECT_EQ(fold("The ofﬁce “A” – №１２"), "the office 'a' - no12");
}

TEST(TextFold, KeepsCaseWhenAsked) {
  EXPECT_EQ(fold("Ab C", {FoldCase::keep, FoldSpace::collapse}), "Ab C");
}

TEST(TextFold, JoinsWordsHyphenatedAtALineEnd) {
  EXPECT_EQ(fold("the agree-\n  ment and the soft\u00AD\nware"), "the agreement and the software");
  EXPECT_EQ(fold("an A-\nB test"), "an a-b test");
}

TEST(TextFold, CollapsesWhiteSpaceAndDropsItBesideChinese) {
  EXPECT_EQ(fold("  a \t\n b  "), "a b");
  EXPECT_EQ(fold("本合同\n自签订 之日起"), "本合同自签订之日起");
}

TEST(TextFold, ComposesCombiningMarks) {
  EXPECT_EQ(fold("Cafe\u0301"), fold("Caf\u00E9"));
}

TEST(TextFold, MapsEveryFoldedCharacterBackToItsSource) {
  const std::string text = "x  ﬁn e\u0301 “q";
  const FoldedText folded = fold_with_map(text);
  ASSERT_EQ(static_cast<std::int64_t>(folded.characters.size()), code_points(folded.text));
  const std::vector<char32_t> c = decode_utf8(folded.text);
  EXPECT_EQ(folded.text, "x fin \u00E9 'q");
  EXPECT_EQ(folded.characters[2].start, 3U);  // f and i both come from the ligature
  EXPECT_EQ(folded.characters[3].start, 3U);
  EXPECT_EQ(folded.characters[6].start, 6U);  // é from two code points
  EXPECT_EQ(folded.characters[6].length, 2U);
}

TEST(TextFold, DroppingRemembersDashes) {
  const FoldedText folded = fold_with_map("a-b c-\nd e", dropping);
  EXPECT_EQ(folded.text, "abcde");
  EXPECT_EQ(folded.characters[1].joint, Joint::dash);
  EXPECT_EQ(folded.characters[2].joint, Joint::none);
  EXPECT_EQ(folded.characters[3].joint, Joint::line_end_dash);
}

TEST(TextFold, SurvivesInvalidBytes) {
  EXPECT_FALSE(fold("ab\xFF\xC3 cd").empty());
}

}  // namespace
}  // namespace lectern::documents

#include "documents/quotations.h"

#include <gtest/gtest.h>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

std::vector<std::string> texts(std::string_view answer) {
  std::vector<std::string> out;
  for (const Quotation& quotation : extract_quotes(answer)) out.push_back(quotation.text);
  return out;
}
using Texts = std::vector<std::string>;

TEST(Quotations, KnowsTheMarksOfManyLanguages) {
  EXPECT_EQ(texts("a “quoted words one” b \"quoted words two\" c «quoted words three» d „quoted words four“ e "
                  "「引用引用引用引用引用引用」"),
            (Texts{"quoted words one", "quoted words two", "quoted words three", "quoted words four",
                   "引用引用引用引用引用引用"}));
}

TEST(Quotations, PositionsHoldTheMarks) {
  const std::string answer = "Ü: “thirty days after” [1:3]";
  const auto found = extract_quotes(answer);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(slice(answer, found[0].start, found[0].end), "“thirty days after”");
}

TEST(Quotations, LeavesOutShortOnesInchesAndCode) {
  EXPECT_EQ(texts("a \"short\" word; 5\" by 7\" of something; ```\nprint(\"hello world of code\")\n``` end"),
            Texts{"hello world of code"});
  EXPECT_EQ(texts("x\n```\nprint(\"hello world of code\")\n```\nend"), Texts{});
}

TEST(Quotations, BlockQuotesAreQuotations) {
  EXPECT_EQ(texts("It says:\n\n> The fee is due\n> on the \"first day\".\n\nSo."),
            Texts{"The fee is due\non the \"first day\"."});
}

TEST(Quotations, AnUnclosedMarkOpensNothing) {
  EXPECT_EQ(texts("He said \"and never stopped\n\nNext paragraph \"with a real quotation\"."),
            Texts{"with a real quotation"});
}

}  // namespace
}  // namespace lectern::documents

#include "documents/quote_match.h"

#include <gtest/gtest.h>

#include <chrono>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

Document document_of(const std::vector<std::string>& pages) {
  Document document;
  for (const std::string& text : pages) {
    Page page;
    page.number = static_cast<int>(document.pages.size()) + 1;
    page.text = text;
    document.pages.push_back(page);
  }
  return document;
}

std::string found_text(const Document& document, const std::optional<QuoteMatch>& match) {
  if (!match) return "(nothing)";
  const auto part = [&document](const PageSpan& span) {
    return std::string(slice(document.pages[static_cast<std::size_t>(span.page - 1)].text, span.start, span.end));
  };
  return part(match->first) + (match->second ? "|" + part(*match->second) : "");
}

TEST(QuoteMatch, FindsAQuoteAcrossLineBreaksHyphensAndTypography) {
  const Document document =
      document_of({"Nothing here.", "§ 4 The ofﬁce shall give a “rea-\nsonable”  notice\nof thirty days."});
  const QuoteIndex index(document);
  const auto match = index.find("The office shall give a \"reasonable\" notice of thirty days");
  ASSERT_TRUE(match);
  EXPECT_EQ(match->first.page, 2);
  EXPECT_EQ(found_text(document, match), "The ofﬁce shall give a “rea-\nsonable”  notice\nof thirty days");
}

TEST(QuoteMatch, AHyphenAtALineEndAgreesWithBothSpellings) {
  const QuoteIndex index(document_of({"It is a long-\nterm contract of the parties."}));
  EXPECT_TRUE(index.find("a long-term contract"));
  EXPECT_TRUE(index.find("a longterm contract"));
}

TEST(QuoteMatch, AHyphenInsideALineMustBeThere) {
  const QuoteIndex index(document_of({"They re-sign the contract; a balance of -500 dollars remains."}));
  EXPECT_FALSE(index.find("They resign the contract"));
  EXPECT_TRUE(index.find("They re-sign the contract"));
  EXPECT_FALSE(index.find("a balance of 500 dollars"));
}

TEST(QuoteMatch, NeverFindsSomethingSimilar) {
  const QuoteIndex index(document_of({"Payment is due within thirty (30) days after receipt of the invoice."}));
  EXPECT_FALSE(index.find("Payment is due within forty (40) days after receipt"));
  EXPECT_FALSE(index.find("Payment is due within thirty (30) days of receipt"));
  EXPECT_TRUE(index.find("payment is due within thirty (30) days after receipt."));
}

TEST(QuoteMatch, BeginsAndEndsAtWordBorders) {
  const QuoteIndex index(document_of({"The apartments of the tenants are large."}));
  EXPECT_FALSE(index.find("partments of the tenants"));
  EXPECT_FALSE(index.find("apartments of the tenant"));
  EXPECT_TRUE(index.find("apartments of the tenants"));
}

TEST(QuoteMatch, TooShortIsNoQuote) {
  const QuoteIndex index(document_of({"The quick brown fox jumps."}));
  EXPECT_FALSE(index.find("brown fox"));
  EXPECT_TRUE(index.find("quick brown fox"));
}

TEST(QuoteMatch, PrefersTheClaimedPage) {
  const QuoteIndex index(document_of({"the same words stand here", "other", "the same words stand here"}));
  EXPECT_EQ(index.find("the same words stand here")->first.page, 1);
  EXPECT_EQ(index.find("the same words stand here", 3)->first.page, 3);
  EXPECT_EQ(index.find("the same words stand here", 2)->first.page, 1);
}

TEST(QuoteMatch, CrossesAPageBreak) {
  const Document document =
      document_of({"The Provider shall keep all records for a per-", "iod of seven years after the end."});
  const QuoteIndex index(document);
  const auto match = index.find("keep all records for a period of seven years");
  ASSERT_TRUE(match && match->second);
  EXPECT_EQ(found_text(document, match), "keep all records for a per|iod of seven years");
  EXPECT_EQ(index.find("keep all records for a period of seven years", 2)->first.page, 1);
}

TEST(QuoteMatch, CrossesAPageBreakWithARunningFootAndHead) {
  const Document document = document_of({"intro\nThe Provider shall keep all records\nConfidential - 7 -",
                                         "Master Agreement 2021\nof each delivery for seven years\nafter the end."});
  const QuoteIndex index(document);
  const auto match = index.find("The Provider shall keep all records of each delivery for seven years");
  ASSERT_TRUE(match && match->second);
  EXPECT_EQ(found_text(document, match), "The Provider shall keep all records|of each delivery for seven years");
  EXPECT_FALSE(index.find("The Provider shall keep all records of each delivery for nine years"));
}

TEST(QuoteMatch, PiecesAroundAnEllipsisMatchInOrder) {
  const Document document =
      document_of({"The fee is due on the first of May. It includes taxes, duties and all other charges."});
  const QuoteIndex index(document);
  EXPECT_EQ(found_text(document, index.find("The fee is due … includes taxes [...] all other charges")),
            "The fee is due on the first of May. It includes taxes, duties and all other charges");
  EXPECT_FALSE(index.find("includes taxes, duties ... The fee is due on"));
}

TEST(QuoteMatch, FindsChineseAcrossLineBreaks) {
  const Document document = document_of({"第一条\n本合同自双方签字之\n日起生效，有效期为三年。"});
  const QuoteIndex index(document);
  EXPECT_EQ(found_text(document, index.find("本合同自双方签字之日起生效,有效期为三年")),
            "本合同自双方签字之\n日起生效，有效期为三年");
}

TEST(QuoteMatch, IgnoresMarkdownEmphasisInTheQuote) {
  const QuoteIndex index(document_of({"The limit is 150 per cent of the fees."}));
  EXPECT_TRUE(index.find("The limit is **150 per cent** of the fees"));
}

TEST(QuoteMatch, EmptyDocumentsAndHostileQuotesAreHarmless) {
  EXPECT_FALSE(QuoteIndex(document_of({})).find("anything at all here"));
  EXPECT_FALSE(QuoteIndex(document_of({"", "  "})).find("anything at all here"));
  const QuoteIndex index(document_of({"some text that is long enough"}));
  EXPECT_FALSE(index.find("...................."));
  EXPECT_FALSE(index.find("--------------------"));
  EXPECT_FALSE(index.find("\xFF\xFE\xFF\xFE\xFF\xFE\xFF\xFE\xFF\xFE\xFF\xFE\xFF"));
  EXPECT_FALSE(index.find("some text … …"));
}

TEST(QuoteMatch, IsFastOnTwoThousandPages) {
  std::vector<std::string> pages;
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (int k = 0; k < 60; ++k)
      text += "Line " + std::to_string(i * 60 + k) + " of a long document with ordinary words.\n";
    pages.push_back(text);
  }
  const QuoteIndex index(document_of(pages));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(index.find("Line 119999 of a long document with ordinary words")->first.page, 2000);
  EXPECT_FALSE(index.find("of a long document with unusual words and more"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

}  // namespace
}  // namespace lectern::documents

#include "app/coverage.h"

#include <gtest/gtest.h>

#include "tests/app/fake_engine.h"

namespace lectern::app {
namespace {

documents::Document document_of(const std::string& name, const std::vector<std::string>& texts) {
  documents::Document document;
  document.name = name;
  for (std::size_t at = 0; at < texts.size(); ++at) {
    documents::Page page;
    page.number = static_cast<int>(at) + 1;
    page.text = texts[at];
    if (page.text.empty()) document.report.pages_without_text.push_back(page.number);
    document.pages.push_back(std::move(page));
  }
  return document;
}

void expect_sums(const Coverage& coverage) {
  EXPECT_EQ(coverage.pages,
            coverage.pages_given + coverage.pages_omitted + static_cast<int>(coverage.pages_without_text.size()));
  EXPECT_EQ(coverage.tokens, coverage.given_tokens + coverage.dropped_tokens);
}

class CoverageTest : public ::testing::Test {
 protected:
  test::FakeEngine engine_;
  CountTokens count_ = [this](std::string_view text) { return engine_.count_tokens(text); };
};

TEST_F(CoverageTest, CountsWholeDocumentsAsGiven) {
  const documents::Document document = document_of("a.pdf", {"one two three", "", "four five"});
  const Coverage coverage = measure_coverage({{&document, true, {}, document_tokens(document, count_)}}, count_);
  expect_sums(coverage);
  EXPECT_EQ(coverage.pages, 3);
  EXPECT_EQ(coverage.pages_given, 2);
  EXPECT_EQ(coverage.pages_omitted, 0);
  ASSERT_EQ(coverage.pages_without_text.size(), 1U);
  EXPECT_EQ(coverage.pages_without_text[0].page, 2);
  EXPECT_EQ(coverage.tokens, 5);
  EXPECT_EQ(coverage.dropped_tokens, 0);
}

TEST_F(CoverageTest, CountsAPageAsGivenWhenAnyOfItsTextWas) {
  const documents::Document document = document_of("a.pdf", {"one two three", "four five six", "seven"});
  const Coverage coverage = measure_coverage(
      {{&document, false, {{1, 0, 7}, {1, 8, 13}, {2, 0, 4}}, document_tokens(document, count_)}}, count_);
  expect_sums(coverage);
  EXPECT_EQ(coverage.pages_given, 2);
  EXPECT_EQ(coverage.pages_omitted, 1);
  EXPECT_EQ(coverage.given_tokens, 4);
  EXPECT_EQ(coverage.dropped_tokens, 3);
}

TEST_F(CoverageTest, NeverCountsAPagesTokensTwice) {
  const documents::Document document = document_of("a.pdf", {"one"});
  const Coverage coverage = measure_coverage({{&document, false, {{1, 0, 1}, {1, 1, 2}, {1, 2, 3}}, 1}}, count_);
  expect_sums(coverage);
  EXPECT_EQ(coverage.given_tokens, 1);
}

TEST_F(CoverageTest, SumsSeveralDocuments) {
  const documents::Document one = document_of("a.pdf", {"one two", ""});
  const documents::Document two = document_of("b.pdf", {"", "three"});
  const Coverage coverage = measure_coverage({{&one, true, {}, 2}, {&two, false, {}, 1}}, count_);
  expect_sums(coverage);
  EXPECT_EQ(coverage.pages, 4);
  EXPECT_EQ(coverage.pages_given, 1);
  EXPECT_EQ(coverage.pages_omitted, 1);
  EXPECT_EQ(coverage_sentence(coverage),
            "Read 1 of 4 pages, 2 tokens, 1 dropped; a.pdf: page 2 has no text (scan or empty); "
            "b.pdf: page 1 has no text (scan or empty)");
}

TEST_F(CoverageTest, SaysWhatWasReadInOneSentence) {
  Coverage coverage;
  coverage.pages = 312;
  coverage.pages_given = 306;
  coverage.tokens = coverage.given_tokens = 198440;
  for (const int page : {2, 44, 45, 46, 47, 60}) coverage.pages_without_text.push_back({"a.pdf", page});
  EXPECT_EQ(coverage_sentence(coverage),
            "Read 306 of 312 pages, 198,440 tokens, 0 dropped; pages 2, 44-47, 60 have no text (scan or empty)");
  AnswerReport report;
  report.coverage = coverage;
  report.coverage.pages_without_text.clear();
  report.turns_left_out = 2;
  EXPECT_EQ(coverage_sentence(report),
            "Read 306 of 312 pages, 198,440 tokens, 0 dropped; the window is full: 2 earlier questions were left out");
}

TEST(WithThousands, GroupsDigits) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1000), "1,000");
  EXPECT_EQ(with_thousands(198440), "198,440");
  EXPECT_EQ(with_thousands(1234567890), "1,234,567,890");
  EXPECT_EQ(with_thousands(-1000), "-1,000");
  EXPECT_EQ(with_thousands(-100), "-100");
}

}  // namespace
}  // namespace lectern::app

#include "app/records_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace lectern::app {
namespace {

Citation sample_citation() {
  Citation citation;
  citation.marker = 2;
  citation.origin = CitationOrigin::model;
  citation.status = CitationStatus::elsewhere;
  citation.fingerprint = "abc";
  citation.document = "agreement.pdf";
  citation.page = 9;
  citation.claimed_page = 8;
  citation.lines = {3, 4};
  citation.quote = "the laws of \"Austria\"\n";
  citation.start = 11;
  citation.end = 33;
  citation.answer_end = 70;
  return citation;
}

AnswerReport sample_report() {
  AnswerReport report;
  report.finish_reason = inference::FinishReason::window;
  report.coverage.pages = 12;
  report.coverage.pages_given = 10;
  report.coverage.pages_omitted = 1;
  report.coverage.pages_without_text = {{"agreement.pdf", 4}};
  report.coverage.tokens = 900;
  report.coverage.given_tokens = 800;
  report.coverage.dropped_tokens = 100;
  report.usage.prompt_tokens = 850;
  report.usage.reused_tokens = 50;
  report.usage.computed_tokens = 800;
  report.usage.generated_tokens = 7;
  report.usage.miss_reasons = {inference::MissReason::first_read, inference::MissReason::cache_off};
  report.timing.prefill_s = 1.5;
  report.timing.decode_tokens_per_s = 42.25;
  report.ingest_s = 0.5;
  report.model.name = "Tiny";
  report.model.window = 8192;
  report.unsupported = {{"A false sentence.", 5, 22}};
  return report;
}

TEST(RecordsJson, GivesBackEveryFieldOfACitation) {
  const std::vector<Citation> back = citations_from_text(citations_to_text({sample_citation()}));
  ASSERT_EQ(back.size(), 1U);
  const Citation expected = sample_citation();
  EXPECT_EQ(back[0].marker, expected.marker);
  EXPECT_EQ(back[0].origin, expected.origin);
  EXPECT_EQ(back[0].status, expected.status);
  EXPECT_EQ(back[0].fingerprint, expected.fingerprint);
  EXPECT_EQ(back[0].document, expected.document);
  EXPECT_EQ(back[0].page, expected.page);
  EXPECT_EQ(back[0].claimed_page, expected.claimed_page);
  EXPECT_EQ(back[0].lines, expected.lines);
  EXPECT_EQ(back[0].quote, expected.quote);
  EXPECT_EQ(back[0].start, expected.start);
  EXPECT_EQ(back[0].end, expected.end);
  EXPECT_EQ(back[0].answer_end, expected.answer_end);
}

TEST(RecordsJson, GivesBackEveryFieldOfAReport) {
  const AnswerReport expected = sample_report();
  const std::string text = report_to_text(expected);
  const AnswerReport back = report_from_text(text);
  EXPECT_EQ(back.finish_reason, expected.finish_reason);
  EXPECT_EQ(back.coverage.pages, 12);
  EXPECT_EQ(back.coverage.pages_given, 10);
  ASSERT_EQ(back.coverage.pages_without_text.size(), 1U);
  EXPECT_EQ(back.coverage.pages_without_text[0].page, 4);
  EXPECT_EQ(back.coverage.dropped_tokens, 100);
  EXPECT_EQ(back.usage.prompt_tokens, 850);
  EXPECT_EQ(back.usage.miss_reasons, expected.usage.miss_reasons);
  EXPECT_DOUBLE_EQ(back.timing.decode_tokens_per_s, 42.25);
  EXPECT_DOUBLE_EQ(back.ingest_s, 0.5);
  EXPECT_EQ(back.model.name, "Tiny");
  EXPECT_EQ(back.model.window, 8192);
  ASSERT_EQ(back.unsupported.size(), 1U);
  EXPECT_EQ(back.unsupported[0].sentence, "A false sentence.");
  EXPECT_EQ(back.unsupported[0].end, 22);
  EXPECT_EQ(report_to_text(back), text);
}

TEST(RecordsJson, SurvivesDamagedText) {
  for (const char* text : {"", "[", "null", "7", "\"x\"", "[1, \"a\", {\"marker\": \"five\", \"lines\": [1]}]",
                           "{\"coverage\": 3, \"usage\": [], \"unsupported\": \"no\", \"model\": {\"name\": 4}}"}) {
    EXPECT_NO_THROW({
      const AnswerReport report = report_from_text(text);
      EXPECT_EQ(report.coverage.pages, 0) << text;
      (void)citations_from_text(text);
    }) << text;
  }
  EXPECT_EQ(citations_from_text("[{\"status\": \"proven\"}]")[0].status, CitationStatus::absent);
}

TEST(RecordsJson, ReplacesInvalidUtf8InsteadOfThrowing) {
  Citation citation = sample_citation();
  citation.quote = "cut \xE4\xB8";
  EXPECT_NO_THROW((void)citations_to_text({citation}));
}

TEST(RecordsJson, PrintsTheCitationOfTheContract) {
  Citation citation = sample_citation();
  EXPECT_EQ(citation_json(citation)["lines"], nlohmann::ordered_json::array({3, 4}));
  citation.lines.reset();
  std::vector<std::string> keys;
  const nlohmann::ordered_json json = citation_json(citation);
  for (const auto& item : json.items()) keys.push_back(item.key());
  EXPECT_EQ(keys, (std::vector<std::string>{"marker", "origin", "document", "page", "claimed_page", "lines", "quote",
                                            "status"}));
  EXPECT_TRUE(json["lines"].is_null());
}

TEST(RecordsJson, NamesReadBackToTheirValues) {
  for (const MessageState state :
       {MessageState::partial, MessageState::complete, MessageState::stopped, MessageState::failed}) {
    EXPECT_EQ(message_state(name(state)), state);
  }
  for (const inference::Role value : {inference::Role::system, inference::Role::user, inference::Role::assistant}) {
    EXPECT_EQ(role(name(value)), value);
  }
}

}  // namespace
}  // namespace lectern::app

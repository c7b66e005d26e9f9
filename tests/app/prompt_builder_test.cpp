#include "app/prompt_builder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "documents/segments.h"
#include "documents/utf8.h"
#include "tests/app/fake_engine.h"

namespace lectern::app {
namespace {

using inference::Role;
using inference::Segment;

documents::Document document_of(const std::string& name, int pages, int words) {
  documents::Document document;
  document.fingerprint = "fingerprint-" + name;
  document.name = name;
  document.kind = documents::DocumentKind::pdf;
  for (int at = 1; at <= pages; ++at) {
    documents::Page page;
    page.number = at;
    for (int word = 0; word < words; ++word)
      page.text += (word > 0 ? " w" : "w") + std::to_string(at) + "x" + std::to_string(word);
    document.pages.push_back(std::move(page));
  }
  return document;
}

Message message(std::int64_t id, Role role, const std::string& text) {
  Message result;
  result.id = id;
  result.role = role;
  result.text = text;
  return result;
}

class PromptBuilderTest : public ::testing::Test {
 protected:
  PromptInput input_for(const std::string& question) {
    PromptInput input;
    for (const documents::Document& document : documents_) input.documents.push_back(&document);
    input.question = message(++last_id_, Role::user, question);
    input.max_tokens = 100;
    input.search = [this](const std::string& text, int limit) {
      ++searches_;
      std::vector<PassageHit> hits;
      for (const documents::Document& document : documents_) {
        for (const documents::Page& page : document.pages) {
          if (page.text.find(text.substr(0, text.find(' '))) == std::string::npos ||
              static_cast<int>(hits.size()) >= limit)
            continue;
          hits.push_back({document.fingerprint, page.number, 0, documents::code_points(page.text), page.text, 1});
        }
      }
      return hits;
    };
    return input;
  }
  void remember(PromptInput& next, const PromptInput& before, const std::string& text) {
    next.history = before.history;
    next.history.push_back(before.question);
    Message answer = message(++last_id_, Role::assistant, text);
    answer.token_ids = {7, 8, 9};
    answer.report.emplace();
    answer.report->model.file = engine_.describe().file;
    next.history.push_back(answer);
  }
  /// `before` without its last segment's turn must begin `after`.
  static void expect_prefix(const Prompt& before, const Prompt& after) {
    ASSERT_GE(after.segments.size(), before.segments.size());
    for (std::size_t at = 0; at < before.segments.size(); ++at) {
      EXPECT_EQ(after.segments[at].text, before.segments[at].text) << at;
      EXPECT_EQ(after.segments[at].id, before.segments[at].id) << at;
      EXPECT_EQ(after.segments[at].message, before.segments[at].message) << at;
    }
  }
  test::FakeEngine engine_;
  std::vector<documents::Document> documents_;
  std::int64_t last_id_ = 0;
  int searches_ = 0;
};

TEST_F(PromptBuilderTest, PutsDocumentsFirstInTheFirstUserTurn) {
  documents_ = {document_of("a.pdf", 2, 10), document_of("b.pdf", 1, 10)};
  const Prompt prompt = PromptBuilder(engine_).build(input_for("What is it?"));
  ASSERT_EQ(prompt.segments.size(), 4U);
  EXPECT_EQ(prompt.segments[0].kind, Segment::Kind::system);
  EXPECT_EQ(prompt.segments[1].kind, Segment::Kind::document);
  EXPECT_EQ(prompt.segments[1].id, "fingerprint-a.pdf");
  EXPECT_EQ(prompt.segments[1].text, documents::document_segment_text(documents_[0], 1));
  EXPECT_EQ(prompt.segments[2].text, documents::document_segment_text(documents_[1], 2));
  EXPECT_EQ(prompt.segments[3].kind, Segment::Kind::message);
  for (std::size_t at = 1; at < 4; ++at) {
    EXPECT_EQ(prompt.segments[at].message, 1);
    EXPECT_EQ(prompt.segments[at].role, Role::user);
  }
  EXPECT_NE(prompt.segments[3].text.find("What is it?"), std::string::npos);
  EXPECT_TRUE(prompt.whole_documents);
  EXPECT_EQ(searches_, 0);
}

TEST_F(PromptBuilderTest, LetsAFollowUpBeginWithTheBytesOfTheTurnBefore) {
  documents_ = {document_of("a.pdf", 2, 10)};
  const PromptInput first = input_for("What is it?");
  PromptInput second = input_for("And why?");
  remember(second, first, "It is this.");
  const Prompt before = PromptBuilder(engine_).build(first);
  const Prompt after = PromptBuilder(engine_).build(second);
  expect_prefix(before, after);
  ASSERT_EQ(after.segments.size(), 5U);
  EXPECT_EQ(after.segments[3].role, Role::assistant);
  EXPECT_EQ(after.segments[3].token_ids, (std::vector<inference::TokenId>{7, 8, 9}));
  EXPECT_EQ(after.segments[3].message, 2);
  EXPECT_EQ(after.segments[4].message, 3);
  EXPECT_EQ(after.segments[4].text, "And why?");
}

TEST_F(PromptBuilderTest, ReadsTheTextOfAnAnswerThatAnotherModelWrote) {
  const PromptInput first = input_for("What is it?");
  PromptInput second = input_for("And why?");
  remember(second, first, "It is this.");
  second.history[1].report->model.file = "/models/other.gguf";
  const Prompt prompt = PromptBuilder(engine_).build(second);
  EXPECT_TRUE(prompt.segments[2].token_ids.empty());
  EXPECT_EQ(prompt.segments[2].text, "It is this.");
}

TEST_F(PromptBuilderTest, SkipsAnAnswerThatFailedBeforeItsFirstWord) {
  const PromptInput first = input_for("What is it?");
  PromptInput second = input_for("And why?");
  remember(second, first, "");
  const Prompt prompt = PromptBuilder(engine_).build(second);
  ASSERT_EQ(prompt.segments.size(), 2U);
  EXPECT_EQ(prompt.segments[1].text, "And why?");
}

TEST_F(PromptBuilderTest, ChoosesPassagesWhenTheDocumentsDoNotFit) {
  engine_.window = 1000;
  documents_ = {document_of("a.pdf", 40, 100)};
  const Prompt prompt = PromptBuilder(engine_).build(input_for("w33x5 where?"));
  EXPECT_FALSE(prompt.whole_documents);
  EXPECT_GE(searches_, 1);
  ASSERT_EQ(prompt.given.size(), 1U);
  EXPECT_TRUE(std::any_of(prompt.given[0].begin(), prompt.given[0].end(),
                          [](const auto& passage) { return passage.page == 33; }));
  inference::GenerationRequest request;
  request.segments = prompt.segments;
  EXPECT_LE(engine_.count_prompt(request), 1000 - 100);
  // What is said to be given is what stands in the prompt.
  for (const documents::Page& page : documents_[0].pages) {
    const bool said = std::any_of(prompt.given[0].begin(), prompt.given[0].end(),
                                  [&](const auto& p) { return p.page == page.number; });
    const bool stands = prompt.segments[1].text.find("w" + std::to_string(page.number) + "x0 ") != std::string::npos;
    EXPECT_EQ(said, stands) << page.number;
  }
}

TEST_F(PromptBuilderTest, GivesAFollowUpItsOwnPassagesBehindTheEarlierTurns) {
  engine_.window = 2000;
  documents_ = {document_of("a.pdf", 60, 100)};
  const PromptInput first = input_for("w33x5 where?");
  PromptInput second = input_for("w50x1 where?");
  remember(second, first, "There.");
  const Prompt before = PromptBuilder(engine_).build(first);
  const Prompt after = PromptBuilder(engine_).build(second);
  EXPECT_EQ(after.turns_left_out, 0);
  expect_prefix(before, after);
  EXPECT_TRUE(std::any_of(after.given[0].begin(), after.given[0].end(),
                          [](const auto& passage) { return passage.page == 50; }));
  // Nothing is given twice.
  for (std::size_t at = 1; at < after.given[0].size(); ++at) {
    EXPECT_TRUE(after.given[0][at - 1].page < after.given[0][at].page ||
                after.given[0][at - 1].end <= after.given[0][at].start);
  }
}

TEST_F(PromptBuilderTest, LeavesOutTheOldestTurnsAndSaysSo) {
  engine_.window = 400;
  documents_ = {document_of("a.pdf", 1, 100)};
  PromptInput input = input_for("Start?");
  for (int turn = 0; turn < 12; ++turn) {
    PromptInput next = input_for("Question " + std::to_string(turn) + "?");
    remember(next, input, "word ");
    // A long answer without kept ids.
    next.history.back().token_ids.clear();
    for (int word = 0; word < 20; ++word) next.history.back().text += "word ";
    input = next;
  }
  const Prompt prompt = PromptBuilder(engine_).build(input);
  EXPECT_TRUE(prompt.whole_documents);
  EXPECT_GT(prompt.turns_left_out, 0);
  EXPECT_LT(prompt.turns_left_out, 12);
  EXPECT_EQ(prompt.segments[1].text, documents::document_segment_text(documents_[0], 1));
  EXPECT_EQ(prompt.segments.back().text, "Question 11?");
  inference::GenerationRequest request;
  request.segments = prompt.segments;
  EXPECT_LE(engine_.count_prompt(request), 400 - 100);
}

TEST_F(PromptBuilderTest, RefusesAQuestionThatIsLongerThanTheWindow) {
  engine_.window = 300;
  std::string question;
  for (int word = 0; word < 400; ++word) question += "why ";
  try {
    (void)PromptBuilder(engine_).build(input_for(question));
    FAIL() << "it must not fit";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_request);
    EXPECT_NE(std::string(error.what()).find("300"), std::string::npos) << error.what();
  }
}

TEST_F(PromptBuilderTest, KeepsTheSystemBlockFreeOfAnythingThatChanges) {
  const Prompt one = PromptBuilder(engine_).build(input_for("One?"));
  const Prompt two = PromptBuilder(engine_).build(input_for("Two?"));
  EXPECT_EQ(one.segments[0].text, two.segments[0].text);
  EXPECT_FALSE(one.segments[0].text.empty());
}

TEST_F(PromptBuilderTest, GivesWhatANextQuestionStandsBehind) {
  documents_ = {document_of("a.pdf", 2, 10)};
  PromptInput first = input_for("What is it?");
  const std::vector<Segment> before = PromptBuilder(engine_).before_question(first);
  const std::vector<Segment> asked = PromptBuilder(engine_).build(first).segments;
  ASSERT_EQ(before.size(), asked.size());
  EXPECT_EQ(before[1].text, asked[1].text);
  EXPECT_EQ(before.back().text, "\nQuestion: ");
  PromptInput next = input_for("And then?");
  remember(next, first, "It is so.");
  EXPECT_EQ(PromptBuilder(engine_).before_question(next).size(), asked.size() + 2);
  documents_ = {document_of("a.pdf", 60, 100)};
  EXPECT_TRUE(PromptBuilder(engine_).before_question(input_for("What is it?")).empty());
  EXPECT_EQ(searches_, 0);
}

TEST_F(PromptBuilderTest, ReadsDocumentsAheadOnlyIfTheyFit) {
  documents_ = {document_of("a.pdf", 2, 10)};
  const PromptBuilder builder(engine_);
  const auto segments = builder.documents_only({&documents_[0]});
  ASSERT_EQ(segments.size(), 2U);
  const Prompt prompt = builder.build(input_for("What?"));
  EXPECT_EQ(prompt.segments[1].text, segments[1].text);
  const documents::Document large = document_of("b.pdf", 100, 100);
  EXPECT_TRUE(builder.documents_only({&large}).empty());
}

}  // namespace
}  // namespace lectern::app

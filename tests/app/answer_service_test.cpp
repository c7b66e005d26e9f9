#include "app/answer_service.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "app/library.h"
#include "app/session_store.h"
#include "tests/app/fake_engine.h"
#include "tests/app/temporary_folder.h"

namespace lectern::app {
namespace {

using inference::Role;

documents::Document agreement() {
  documents::Document document;
  document.fingerprint = "0123456789abcdef0123456789abcdef";
  document.name = "agreement.pdf";
  document.path = "/documents/agreement.pdf";
  document.kind = documents::DocumentKind::pdf;
  const std::vector<std::string> texts = {
      "SERVICES AGREEMENT\n\nThis Agreement is made between Norfield Logistics GmbH and Alder Data Ltd.\n",
      "4. Payment\n\nThe Client shall pay each invoice within thirty-five (35) days after it has received it.\n", "",
      "9. Governing law\n\nThis Agreement shall be governed by the laws of the Republic of Austria.\n"};
  for (std::size_t at = 0; at < texts.size(); ++at) {
    documents::Page page;
    page.number = static_cast<int>(at) + 1;
    page.text = texts[at];
    document.pages.push_back(std::move(page));
  }
  document.report.pages = 4;
  document.report.pages_without_text = {3};
  return document;
}

class AnswerServiceTest : public ::testing::Test {
 protected:
  AnswerServiceTest() : writer_(folder_.file("library.sqlite")) {
    session_ = writer_.call([](Database& database) {
      Library(database).add(agreement(), "");
      SessionStore store(database);
      const std::int64_t session = store.create("test");
      store.set_documents(session, {agreement().fingerprint});
      return session;
    });
  }
  std::optional<Message> stored(std::int64_t id) {
    return writer_.call([id](Database& database) { return SessionStore(database).message(id); });
  }
  std::vector<Message> branch() {
    return writer_.call([this](Database& database) { return SessionStore(database).branch(session_); });
  }
  AnswerService service() { return AnswerService(engine_, writer_); }

  testing::TemporaryFolder folder_;
  test::FakeEngine engine_;
  DatabaseWriter writer_;
  std::int64_t session_ = 0;
  std::stop_source stop_;
};

TEST_F(AnswerServiceTest, StreamsProvesAndSavesAnAnswer) {
  engine_.answer = "The agreement is governed by the laws of the Republic of Austria. It costs 99 euros.";
  std::string streamed;
  std::int64_t question = 0, answer_id = 0;
  AskObserver observer;
  observer.started = [&](std::int64_t q, std::int64_t a) { question = q, answer_id = a; };
  observer.text = [&](std::string_view text) { streamed += text; };
  AskOptions options;
  options.ingest_s = 1.5;
  const Message answer =
      service().ask(session_, "Which law governs this agreement?", 0, options, observer, stop_.get_token());
  EXPECT_EQ(streamed, engine_.answer);
  EXPECT_EQ(answer.text, engine_.answer);
  EXPECT_EQ(answer.id, answer_id);
  EXPECT_EQ(answer.parent, question);
  EXPECT_EQ(answer.state, MessageState::complete);
  ASSERT_TRUE(answer.report);
  EXPECT_EQ(answer.report->coverage.pages, 4);
  EXPECT_EQ(answer.report->coverage.pages_given, 3);
  EXPECT_EQ(answer.report->coverage.pages_without_text.size(), 1U);
  EXPECT_EQ(answer.report->coverage.dropped_tokens, 0);
  EXPECT_GT(answer.report->coverage.tokens, 20);
  EXPECT_EQ(answer.report->ingest_s, 1.5);
  EXPECT_EQ(answer.report->model.name, "Fake");
  ASSERT_FALSE(answer.citations.empty());
  EXPECT_EQ(answer.citations[0].page, 4);
  EXPECT_EQ(answer.citations[0].origin, CitationOrigin::program);
  ASSERT_EQ(answer.report->unsupported.size(), 1U);
  EXPECT_EQ(answer.report->unsupported[0].sentence, "It costs 99 euros.");

  const std::optional<Message> kept = stored(answer.id);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->text, answer.text);
  EXPECT_EQ(kept->state, MessageState::complete);
  EXPECT_EQ(kept->token_ids, answer.token_ids);
  EXPECT_EQ(kept->citations.size(), answer.citations.size());
  ASSERT_TRUE(kept->report);
  EXPECT_EQ(kept->report->coverage.tokens, answer.report->coverage.tokens);
  EXPECT_EQ(stored(question)->text, "Which law governs this agreement?");
}

TEST_F(AnswerServiceTest, GivesAFollowUpTheTurnsBefore) {
  AnswerService asked = service();
  (void)asked.ask(session_, "One?", 0, {}, {}, stop_.get_token());
  (void)asked.ask(session_, "Two?", 0, {}, {}, stop_.get_token());
  ASSERT_EQ(engine_.requests.size(), 2U);
  const auto& first = engine_.requests[0];
  const auto& second = engine_.requests[1];
  EXPECT_EQ(first.conversation, second.conversation);
  ASSERT_EQ(second.segments.size(), first.segments.size() + 2);
  for (std::size_t at = 0; at < first.segments.size(); ++at)
    EXPECT_EQ(second.segments[at].text, first.segments[at].text);
  EXPECT_FALSE(second.segments[first.segments.size()].token_ids.empty());
  EXPECT_EQ(branch().size(), 4U);
}

TEST_F(AnswerServiceTest, BeginsAnewBelowZero) {
  AnswerService asked = service();
  (void)asked.ask(session_, "One?", 0, {}, {}, stop_.get_token());
  const Message second = asked.ask(session_, "Two?", -1, {}, {}, stop_.get_token());
  EXPECT_EQ(engine_.requests[1].segments.size(), engine_.requests[0].segments.size());
  EXPECT_EQ(stored(second.parent)->parent, 0);
  EXPECT_EQ(branch().size(), 2U);
}

TEST_F(AnswerServiceTest, AsksSeveralQuestionsTogetherAsFirstMessages) {
  engine_.answer = "The agreement is governed by the laws of the Republic of Austria.";
  const std::vector<std::string> questions = {"Which law?", "When is an invoice due?", "Who pays?"};
  std::vector<std::string> streamed(3);
  std::vector<Message> finished(3);
  std::mutex mutex;
  BatchObserver observer;
  observer.text = [&](std::size_t index, std::string_view text) {
    const std::scoped_lock lock(mutex);
    streamed[index] += text;
  };
  observer.finished = [&](std::size_t index, const Message& answer) { finished[index] = answer; };
  AskOptions options;
  options.ingest_s = 2;
  const std::vector<Message> answers =
      service().ask_together(session_, questions, options, observer, stop_.get_token());
  ASSERT_EQ(answers.size(), 3U);
  ASSERT_EQ(engine_.requests.size(), 3U);
  for (std::size_t at = 0; at < 3; ++at) {
    EXPECT_TRUE(engine_.requests[at].segments.back().text.ends_with(questions[at]));
    EXPECT_EQ(streamed[at], engine_.answer);
    EXPECT_EQ(finished[at].id, answers[at].id);
    EXPECT_EQ(answers[at].text, engine_.answer);
    EXPECT_EQ(answers[at].state, MessageState::complete);
    ASSERT_TRUE(answers[at].report);
    EXPECT_EQ(answers[at].report->ingest_s, at == 0 ? 2 : 0);
    EXPECT_FALSE(answers[at].citations.empty());
    const std::optional<Message> question = stored(answers[at].parent);
    ASSERT_TRUE(question);
    EXPECT_EQ(question->parent, 0);
    EXPECT_EQ(question->text, questions[at]);
    EXPECT_EQ(stored(answers[at].id)->state, MessageState::complete);
  }
  EXPECT_EQ(branch().size(), 2U);
}

TEST_F(AnswerServiceTest, SavesWhatFailsInABatchAndWhatIsStopped) {
  engine_.answer = "one two three four";
  engine_.fails_with = "device: it stopped working; start the program again";
  for (const Message& answer : service().ask_together(session_, {"One?", "Two?"}, {}, {}, stop_.get_token())) {
    EXPECT_EQ(answer.state, MessageState::failed);
    EXPECT_EQ(answer.problem, engine_.fails_with);
    EXPECT_EQ(stored(answer.id)->text, "one two three ");
  }
  engine_.fails_with.clear();
  engine_.pause = std::chrono::milliseconds(20);
  BatchObserver observer;
  observer.text = [&](std::size_t index, std::string_view) {
    if (index == 0) stop_.request_stop();
  };
  const std::vector<Message> answers =
      service().ask_together(session_, {"One?", "Two?"}, {}, observer, stop_.get_token());
  for (const Message& answer : answers) EXPECT_EQ(stored(answer.id)->state, MessageState::stopped);
  EXPECT_EQ(answers[0].text, "one ");
  engine_.window = 20;
  for (const Message& answer : service().ask_together(session_, {"One?", "Two?"}, {}, {}, {}))
    EXPECT_EQ(stored(answer.id)->state, MessageState::failed);
}

TEST_F(AnswerServiceTest, RegeneratesAsABranchBesideTheOldAnswer) {
  AnswerService asked = service();
  const Message old = asked.ask(session_, "One?", 0, {}, {}, stop_.get_token());
  const Message fresh = asked.regenerate(session_, old.id, {}, {}, stop_.get_token());
  EXPECT_EQ(fresh.parent, old.parent);
  EXPECT_NE(fresh.id, old.id);
  EXPECT_EQ(branch().back().id, fresh.id);
  EXPECT_TRUE(stored(old.id));
  EXPECT_THROW((void)asked.regenerate(session_, old.parent, {}, {}, stop_.get_token()), Error);
  EXPECT_THROW((void)asked.regenerate(session_, 999, {}, {}, stop_.get_token()), Error);
}

TEST_F(AnswerServiceTest, KeepsWhatWasWrittenWhenItIsStopped) {
  engine_.answer = "one two three four five six seven eight nine ten";
  engine_.pause = std::chrono::milliseconds(20);
  AskObserver observer;
  int words = 0;
  observer.text = [&](std::string_view) {
    if (++words == 3) stop_.request_stop();
  };
  const Message answer = service().ask(session_, "One?", 0, {}, observer, stop_.get_token());
  EXPECT_EQ(answer.state, MessageState::stopped);
  EXPECT_EQ(answer.text, "one two three ");
  EXPECT_EQ(stored(answer.id)->state, MessageState::stopped);
  EXPECT_EQ(answer.report->finish_reason, inference::FinishReason::cancelled);
}

TEST_F(AnswerServiceTest, SavesAFailureWithItsReasonAndWhatWasWritten) {
  engine_.answer = "one two three four";
  engine_.fails_with = "device: it stopped working; start the program again";
  std::int64_t answer = 0;
  AskObserver observer;
  observer.started = [&](std::int64_t, std::int64_t id) { answer = id; };
  EXPECT_THROW((void)service().ask(session_, "One?", 0, {}, observer, stop_.get_token()), Error);
  const std::optional<Message> kept = stored(answer);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->state, MessageState::failed);
  EXPECT_EQ(kept->problem, engine_.fails_with);
  EXPECT_EQ(kept->text, "one two three ");
}

TEST_F(AnswerServiceTest, FailsClearlyWhenTheWindowIsTooSmall) {
  engine_.window = 20;
  EXPECT_THROW((void)service().ask(session_, "Which law governs this agreement of ours?", 0, {}, {}, stop_.get_token()),
               Error);
  EXPECT_EQ(branch().back().state, MessageState::failed);
  EXPECT_FALSE(branch().back().problem.empty());
}

TEST_F(AnswerServiceTest, SavesThePartialAnswerAtLeastEverySecond) {
  engine_.answer = "one two three four five six seven eight";
  engine_.pause = std::chrono::milliseconds(250);
  std::atomic<std::int64_t> answer = 0;
  AskObserver observer;
  observer.started = [&](std::int64_t, std::int64_t id) { answer = id; };
  std::jthread asking([&] { (void)service().ask(session_, "One?", 0, {}, observer, stop_.get_token()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  const std::optional<Message> kept = stored(answer);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->state, MessageState::partial);
  EXPECT_TRUE(kept->text.starts_with("one ")) << kept->text;
}

TEST_F(AnswerServiceTest, RefusesAQuestionAfterAMessageOfAnotherSession) {
  const std::int64_t other = writer_.call([](Database& database) { return SessionStore(database).create("other"); });
  AnswerService asked = service();
  const Message answer = asked.ask(other, "One?", 0, {}, {}, stop_.get_token());
  EXPECT_THROW((void)asked.ask(session_, "Two?", answer.id, {}, {}, stop_.get_token()), Error);
}

TEST_F(AnswerServiceTest, ReadsTheDocumentsWithoutAsking) {
  const AnswerReport report = service().read(session_, {}, stop_.get_token());
  ASSERT_EQ(engine_.requests.size(), 1U);
  EXPECT_EQ(engine_.requests[0].max_tokens, 0);
  EXPECT_EQ(report.coverage.pages_given, 3);
  EXPECT_EQ(report.coverage.dropped_tokens, 0);
  EXPECT_TRUE(branch().empty());
}

TEST_F(AnswerServiceTest, GivesPassagesOfDocumentsThatDoNotFitAndSaysSo) {
  documents::Document large = agreement();
  large.fingerprint = "fedcba9876543210fedcba9876543210";
  large.path = "/documents/large.pdf";
  for (int number = 5; number <= 60; ++number) {
    documents::Page page;
    page.number = number;
    for (int word = 0; word < 60; ++word) page.text += "filler" + std::to_string(word) + " ";
    page.text += "\n";
    large.pages.push_back(std::move(page));
  }
  large.report.pages = 60;
  writer_.call([&](Database& database) {
    Library(database).add(large, "");
    SessionStore(database).set_documents(session_, {large.fingerprint});
  });
  engine_.window = 800;
  engine_.answer = "The laws of the Republic of Austria govern this agreement.";
  const Message answer = service().ask(session_, "Which law governs this agreement?", 0, {}, {}, stop_.get_token());
  const Coverage& coverage = answer.report->coverage;
  EXPECT_GT(coverage.pages_omitted, 0);
  EXPECT_GT(coverage.pages_given, 0);
  EXPECT_EQ(coverage.pages, coverage.pages_given + coverage.pages_omitted + 1);
  EXPECT_EQ(coverage.tokens, coverage.given_tokens + coverage.dropped_tokens);
  EXPECT_GT(coverage.dropped_tokens, 0);
  ASSERT_FALSE(answer.citations.empty());
  EXPECT_EQ(answer.citations[0].page, 4);
  EXPECT_TRUE(answer.report->unsupported.empty());
}

}  // namespace
}  // namespace lectern::app

#include "app/session_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "app/database_writer.h"
#include "app/migrations.h"
#include "tests/app/temporary_folder.h"

namespace lectern::app {
namespace {

using testing::TemporaryFolder;

struct Store {
  Store() { migrate(database, migrations()); }
  TemporaryFolder folder;
  Database database{folder.file("library.sqlite"), Database::Mode::read_write};
  SessionStore sessions{database};

  std::int64_t add(std::int64_t session, std::int64_t parent, inference::Role role, const std::string& text,
                   MessageState state = MessageState::complete) {
    Message message;
    message.session = session;
    message.parent = parent;
    message.role = role;
    message.text = text;
    message.state = state;
    return sessions.add_message(message);
  }
  std::int64_t ask(std::int64_t session, std::int64_t parent, const std::string& text) {
    return add(session, parent, inference::Role::user, text);
  }
  std::int64_t answer(std::int64_t session, std::int64_t parent, const std::string& text) {
    return add(session, parent, inference::Role::assistant, text);
  }
};

std::vector<std::string> texts(const std::vector<Message>& messages) {
  std::vector<std::string> result;
  for (const Message& message : messages) result.push_back(message.text);
  return result;
}

std::vector<std::int64_t> ids(const std::vector<SessionRow>& sessions) {
  std::vector<std::int64_t> result;
  for (const SessionRow& session : sessions) result.push_back(session.id);
  return result;
}

using Texts = std::vector<std::string>;
using Ids = std::vector<std::int64_t>;

TEST(SessionStore, ShowsOneBranchAndKeepsTheOthers) {
  Store store;
  const std::int64_t session = store.sessions.create("");
  const std::int64_t question = store.ask(session, 0, "Q1");
  const std::int64_t first = store.answer(session, question, "A1");
  store.ask(session, first, "Q2");
  EXPECT_EQ(texts(store.sessions.branch(session)), (Texts{"Q1", "A1", "Q2"}));
  store.answer(session, question, "A1 again");
  EXPECT_EQ(texts(store.sessions.branch(session)), (Texts{"Q1", "A1 again"}));
  store.sessions.show_branch(session, first);
  EXPECT_EQ(texts(store.sessions.branch(session)), (Texts{"Q1", "A1"}));
  EXPECT_EQ(texts(store.sessions.all_messages(session)), (Texts{"Q1", "A1", "Q2", "A1 again"}));
  const std::int64_t edited = store.ask(session, 0, "Q1, edited");
  EXPECT_EQ(store.sessions.message(edited)->parent, 0);
  EXPECT_EQ(texts(store.sessions.branch(session)), (Texts{"Q1, edited"}));
}

TEST(SessionStore, KnowsTheConversationsThatStandBesideEachOtherAndTheirEnds) {
  Store store;
  const std::int64_t session = store.sessions.create("");
  EXPECT_TRUE(store.sessions.first_questions(session).empty());
  const std::int64_t one = store.ask(session, 0, "Q1");
  store.answer(session, one, "A1");
  const std::int64_t two = store.ask(session, 0, "Q2");
  const std::int64_t again = store.answer(session, one, "A1 again");
  EXPECT_EQ(store.sessions.first_questions(session), (std::vector<std::int64_t>{one, two}));
  EXPECT_EQ(store.sessions.newest_after(one), again);
  EXPECT_EQ(store.sessions.newest_after(two), two);
}

TEST(SessionStore, GivesTheNewestReportsFirst) {
  Store store;
  const std::int64_t session = store.sessions.create("");
  const std::int64_t question = store.ask(session, 0, "Q");
  for (const std::int64_t tokens : {100, 200, 300}) {
    Message answer = *store.sessions.message(store.answer(session, question, "A"));
    answer.report.emplace();
    answer.report->usage.computed_tokens = tokens;
    answer.report->model.file = "/models/m.gguf";
    store.sessions.finish_message(answer);
  }
  const std::vector<AnswerReport> reports = store.sessions.newest_reports(2);
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_EQ(reports[0].usage.computed_tokens, 300);
  EXPECT_EQ(reports[1].usage.computed_tokens, 200);
  EXPECT_EQ(reports[0].model.file, "/models/m.gguf");
}

TEST(SessionStore, RefusesAParentOfAnotherSessionAndASessionThatIsGone) {
  Store store;
  const std::int64_t one = store.sessions.create("one"), two = store.sessions.create("two");
  const std::int64_t question = store.ask(one, 0, "Q");
  EXPECT_THROW(store.ask(two, question, "x"), DatabaseError);
  EXPECT_THROW(store.ask(999, 0, "x"), DatabaseError);
  EXPECT_THROW(store.sessions.show_branch(two, question), DatabaseError);
  EXPECT_TRUE(store.sessions.branch(two).empty());
}

TEST(SessionStore, GivesBackAFinishedAnswerAsItWasSaved) {
  Store store;
  const std::int64_t session = store.sessions.create("s");
  const std::int64_t question = store.ask(session, 0, "Q");
  Message answer;
  answer.session = session;
  answer.parent = question;
  answer.role = inference::Role::assistant;
  answer.state = MessageState::partial;
  answer.id = store.sessions.add_message(answer);
  store.sessions.save_partial(answer.id, "The answ");
  EXPECT_EQ(store.sessions.message(answer.id)->text, "The answ");
  EXPECT_EQ(store.sessions.message(answer.id)->state, MessageState::partial);

  answer.state = MessageState::complete;
  answer.text = "The answer [1:3].";
  answer.token_ids = {1, 49151, 0, 7};
  Citation quoted;
  quoted.marker = 1;
  quoted.status = CitationStatus::elsewhere;
  quoted.fingerprint = "f00d";
  quoted.document = "a \"contract\".pdf";
  quoted.page = 4;
  quoted.claimed_page = 3;
  quoted.lines = {10, 12};
  quoted.quote = "governed by the laws";
  quoted.start = 120;
  quoted.end = 140;
  quoted.answer_end = 16;
  Citation absent;
  absent.marker = 2;
  absent.origin = CitationOrigin::program;
  answer.citations = {quoted, absent};
  AnswerReport report;
  report.coverage.pages = 12;
  report.coverage.pages_without_text = {{"a.pdf", 3}};
  report.usage.reused_tokens = 77;
  report.model.name = "tiny";
  report.unsupported = {{"It rains.", 5, 14}};
  answer.report = report;
  store.sessions.finish_message(answer);
  store.sessions.save_partial(answer.id, "too late");

  const Message kept = *store.sessions.message(answer.id);
  EXPECT_EQ(kept.state, MessageState::complete);
  EXPECT_EQ(kept.text, answer.text);
  EXPECT_EQ(kept.token_ids, answer.token_ids);
  EXPECT_GT(kept.created_ms, 0);
  ASSERT_EQ(kept.citations.size(), 2U);
  EXPECT_EQ(kept.citations[0].status, CitationStatus::elsewhere);
  EXPECT_EQ(kept.citations[0].origin, CitationOrigin::model);
  EXPECT_EQ(kept.citations[0].fingerprint, "f00d");
  EXPECT_EQ(kept.citations[0].document, quoted.document);
  EXPECT_EQ(kept.citations[0].page, 4);
  EXPECT_EQ(kept.citations[0].claimed_page, 3);
  EXPECT_EQ(kept.citations[0].lines, (std::pair{10, 12}));
  EXPECT_EQ(kept.citations[0].quote, quoted.quote);
  EXPECT_EQ(kept.citations[0].start, 120);
  EXPECT_EQ(kept.citations[0].end, 140);
  EXPECT_EQ(kept.citations[0].answer_end, 16);
  EXPECT_EQ(kept.citations[1].origin, CitationOrigin::program);
  EXPECT_FALSE(kept.citations[1].lines);
  ASSERT_TRUE(kept.report);
  EXPECT_EQ(kept.report->coverage.pages, 12);
  ASSERT_EQ(kept.report->coverage.pages_without_text.size(), 1U);
  EXPECT_EQ(kept.report->usage.reused_tokens, 77);
  EXPECT_EQ(kept.report->model.name, "tiny");
  ASSERT_EQ(kept.report->unsupported.size(), 1U);
  EXPECT_FALSE(store.sessions.message(question)->report);
}

TEST(SessionStore, RefusesToFinishAnAnswerWhoseSessionWasDeleted) {
  Store store;
  const std::int64_t session = store.sessions.create("s");
  Message message = *store.sessions.message(store.ask(session, 0, "Q"));
  store.sessions.remove(session);
  EXPECT_THROW(store.sessions.finish_message(message), DatabaseError);
}

TEST(SessionStore, FindsASessionByNumberNameOrFirstQuestion) {
  Store store;
  const std::int64_t unnamed = store.sessions.create("");
  store.ask(unnamed, 0, "Who\nsigns?");
  const std::int64_t named = store.sessions.create("Lease");
  EXPECT_EQ(store.sessions.find(std::to_string(unnamed))->name, "Who signs?");
  EXPECT_EQ(store.sessions.find("Who signs?")->id, unnamed);
  EXPECT_EQ(store.sessions.find("Lease")->id, named);
  store.sessions.rename(unnamed, "Lease");
  store.sessions.rename(named, "42");
  EXPECT_EQ(store.sessions.find("42")->id, named);
  EXPECT_EQ(store.sessions.find("Lease")->messages, 1);
  EXPECT_FALSE(store.sessions.find("nothing"));
  EXPECT_FALSE(store.sessions.find(""));
  EXPECT_FALSE(store.sessions.find("99999999999999999999999999"));
}

TEST(SessionStore, SearchesNamesAndMessagesAndTakesNoQuerySyntax) {
  Store store;
  const std::int64_t one = store.sessions.create("Office lease 100%");
  const std::int64_t two = store.sessions.create("");
  store.ask(two, 0, "When may the tenant terminate?");
  const std::int64_t three = store.sessions.create("");
  store.ask(three, 0, "这份合同的租金是多少？");
  const std::int64_t partial = store.add(three, 0, inference::Role::assistant, "half", MessageState::partial);
  EXPECT_EQ(ids(store.sessions.list("lease")), (Ids{one}));
  EXPECT_EQ(ids(store.sessions.list("terminate tenant")), (Ids{two}));
  EXPECT_EQ(ids(store.sessions.list("termi")), (Ids{two}));
  EXPECT_EQ(ids(store.sessions.list("租金")), (Ids{three}));
  EXPECT_EQ(ids(store.sessions.list("100%")), (Ids{one}));
  EXPECT_EQ(ids(store.sessions.list("%")), (Ids{one}));
  EXPECT_EQ(store.sessions.list().size(), 3U);
  for (const char* hostile : {"\"", "a\" OR \"b", "text:tenant", "NEAR(a b)", "*", "^", "-", "AND",
                              "'; DROP TABLE messages; --", "\xFF\xFE", "{a b}: c", "\\"})
    EXPECT_NO_THROW(store.sessions.list(hostile)) << hostile;
  EXPECT_EQ(store.sessions.list("AND").size(), 0U);
  EXPECT_EQ(store.sessions.mark_interrupted(three), 1);
  EXPECT_EQ(store.sessions.message(partial)->state, MessageState::stopped);
  EXPECT_EQ(ids(store.sessions.list("half")), (Ids{three}));
  store.sessions.remove(three);
  EXPECT_TRUE(store.sessions.list("half").empty());
  Statement left(store.database, "SELECT count(*) FROM message_index WHERE message_index MATCH '\"half\"'");
  left.step();
  EXPECT_EQ(left.integer(0), 0);
}

TEST(SessionStore, KeepsDocumentsInOrderAndWhatTheWindowRemembers) {
  Store store;
  const std::int64_t session = store.sessions.create("s");
  store.sessions.set_documents(session, {"b", "a", "c"});
  store.sessions.set_documents(session, {"c", "a"});
  EXPECT_EQ(store.sessions.documents(session), (Texts{"c", "a"}));
  store.sessions.remember(session, "page", "3");
  store.sessions.remember(session, "page", "4");
  store.sessions.remember(0, "splitter", "x");
  EXPECT_EQ(store.sessions.remembered(session, "page"), "4");
  EXPECT_EQ(store.sessions.remembered(session, "zoom"), "");
  store.sessions.pin(session, true);
  EXPECT_TRUE(store.sessions.find("s")->pinned);
  store.sessions.remove(session);
  EXPECT_EQ(store.sessions.remembered(session, "page"), "");
  EXPECT_EQ(store.sessions.remembered(0, "splitter"), "x");
  EXPECT_TRUE(store.sessions.documents(session).empty());
}

TEST(SessionStore, NeverUsesAMessageNumberTwice) {
  Store store;
  const std::int64_t first = store.sessions.create("s");
  const std::int64_t message = store.ask(first, 0, "Q");
  store.sessions.remove(first);
  const std::int64_t second = store.sessions.create("s");
  EXPECT_GT(second, first);
  EXPECT_GT(store.ask(second, 0, "Q"), message);
}

// A process writes a partial answer every few milliseconds and says through a pipe what was saved; it is killed in the
// middle.
TEST(SessionStore, KeepsWhatWasSavedWhenTheProcessIsKilled) {
  const TemporaryFolder folder;
  const std::string path = folder.file("library.sqlite");
  for (int round = 0; round < 5; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(ends[0]);
      DatabaseWriter writer(path);
      const auto [session, answer] = writer.call([&](Database& database) {
        SessionStore sessions(database);
        const std::int64_t id = sessions.create("killed " + std::to_string(round));
        Message question;
        question.session = id;
        question.text = "Q";
        Message reply;
        reply.session = id;
        reply.parent = sessions.add_message(question);
        reply.role = inference::Role::assistant;
        reply.state = MessageState::partial;
        return std::pair(id, sessions.add_message(reply));
      });
      std::string text;
      for (std::int32_t saved = 1;; ++saved) {
        text += "word ";
        writer.call([&, id = answer](Database& database) { SessionStore(database).save_partial(id, text); });
        if (write(ends[1], &saved, sizeof saved) != sizeof saved) _exit(1);
      }
    }
    ASSERT_GT(child, 0);
    close(ends[1]);
    std::int32_t saved = 0;
    for (std::int32_t got = 0; saved < 20 + 13 * round && read(ends[0], &got, sizeof got) == sizeof got;) saved = got;
    kill(child, SIGKILL);
    for (std::int32_t got = 0; read(ends[0], &got, sizeof got) == sizeof got;) saved = got;
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    ASSERT_GE(saved, 20);

    DatabaseWriter writer(path);
    writer.call([&](Database& database) {
      Statement check(database, "PRAGMA integrity_check");
      check.step();
      EXPECT_EQ(check.text(0), "ok");
      SessionStore sessions(database);
      const SessionRow session = *sessions.find("killed " + std::to_string(round));
      EXPECT_EQ(sessions.mark_interrupted(session.id), 1);
      const std::vector<Message> messages = sessions.branch(session.id);
      ASSERT_EQ(messages.size(), 2U);
      EXPECT_EQ(messages[0].text, "Q");
      EXPECT_EQ(messages[1].state, MessageState::stopped);
      EXPECT_GE(messages[1].text.size(), static_cast<std::size_t>(saved) * 5);
    });
  }
}

}  // namespace
}  // namespace lectern::app

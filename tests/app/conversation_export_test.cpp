#include "app/conversation_export.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "app/migrations.h"
#include "app/session_store.h"
#include "tests/app/temporary_folder.h"

namespace lectern::app {
namespace {

using testing::TemporaryFolder;

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Conversation sample() {
  Conversation conversation;
  conversation.session.id = 3;
  conversation.session.name = "Lease <b>";
  DocumentRow document;
  document.fingerprint = "f1";
  document.name = "a*b.pdf";
  document.pages = 12;
  conversation.documents = {document};
  Message question;
  question.id = 5;
  question.text = "What <script>alert(1)</script> & *why*?";
  Message answer;
  answer.id = 6;
  answer.parent = 5;
  answer.role = inference::Role::assistant;
  answer.text = "The **rent** [1:4].";
  answer.state = MessageState::stopped;
  Citation citation;
  citation.marker = 1;
  citation.status = CitationStatus::elsewhere;
  citation.fingerprint = "f1";
  citation.document = "a*b.pdf";
  citation.page = 4;
  citation.claimed_page = 2;
  citation.quote = "rent <is>\n due";
  answer.citations = {citation};
  AnswerReport report;
  report.coverage.pages = 12;
  report.coverage.pages_given = 11;
  report.coverage.pages_without_text = {{"a*b.pdf", 7}};
  report.unsupported = {{"It <rains>.", 0, 5}};
  answer.report = report;
  conversation.messages = {question, answer};
  return conversation;
}

TEST(ConversationExport, KnowsItsFormats) {
  EXPECT_EQ(export_format("md"), ExportFormat::markdown);
  EXPECT_EQ(export_format("html"), ExportFormat::html);
  EXPECT_EQ(export_format("json"), ExportFormat::json);
  EXPECT_FALSE(export_format("docx"));
}

TEST(ConversationExport, WritesMarkdownWithCitations) {
  const std::string text = export_conversation(sample(), ExportFormat::markdown);
  EXPECT_TRUE(holds(text, "# Lease \\<b\\>\n")) << text;
  EXPECT_TRUE(holds(text, "- a\\*b.pdf (12 pages)")) << text;
  EXPECT_TRUE(holds(text, "The **rent** [1:4].")) << text;
  EXPECT_TRUE(holds(text, "\\*why\\*")) << text;
  EXPECT_TRUE(
      holds(text, "- \\[1\\] a\\*b.pdf, page 4 (the answer said page 2) (found elsewhere): \"rent \\<is\\> due\""))
      << text;
  EXPECT_TRUE(holds(text, "stopped before its end")) << text;
  EXPECT_TRUE(holds(text, "Not supported by the text: \"It \\<rains\\>.\"")) << text;
  EXPECT_TRUE(holds(text, "Read 11 of 12 pages")) << text;
}

TEST(ConversationExport, WritesHtmlInWhichNothingIsMarkupButItsOwn) {
  const std::string text = export_conversation(sample(), ExportFormat::html);
  EXPECT_FALSE(holds(text, "<script")) << text;
  EXPECT_TRUE(holds(text, "&lt;script&gt;alert(1)&lt;/script&gt; &amp;")) << text;
  EXPECT_TRUE(holds(text, "<li value=\"1\" class=\"elsewhere\">")) << text;
  EXPECT_TRUE(holds(text, "<q>rent &lt;is&gt; due</q>")) << text;
  EXPECT_TRUE(holds(text, "<title>Lease &lt;b&gt;</title>")) << text;
}

TEST(ConversationExport, WritesJsonThatHoldsEverything) {
  const auto json = nlohmann::json::parse(export_conversation(sample(), ExportFormat::json));
  EXPECT_EQ(json["session"], 3);
  EXPECT_EQ(json["documents"][0]["fingerprint"], "f1");
  EXPECT_EQ(json["messages"][1]["parent"], 5);
  EXPECT_EQ(json["messages"][1]["citations"][0]["status"], "elsewhere");
  EXPECT_EQ(json["messages"][1]["report"]["coverage"]["pages_given"], 11);
  const auto messages = nlohmann::json::parse(sessions_json(sample().messages));
  ASSERT_EQ(messages.size(), 2U);
  for (const char* key : {"id", "parent", "role", "text", "state", "citations"})
    EXPECT_TRUE(messages[0].contains(key)) << key;
  EXPECT_EQ(messages[1]["state"], "stopped");
  EXPECT_EQ(sessions_json({}), "[]\n");
}

TEST(ConversationExport, TakesAnAnswerThatIsCutInsideACharacter) {
  Conversation conversation = sample();
  conversation.messages[1].text = "half \xE4\xBD";
  EXPECT_FALSE(
      nlohmann::json::parse(export_conversation(conversation, ExportFormat::json), nullptr, false).is_discarded());
}

TEST(ConversationExport, LoadsASessionWithADocumentThatIsGone) {
  const TemporaryFolder folder;
  Database database(folder.file("library.sqlite"), Database::Mode::read_write);
  migrate(database, migrations());
  SessionStore sessions(database);
  const std::int64_t session = sessions.create("s");
  sessions.set_documents(session, {"gone"});
  Message message;
  message.session = session;
  message.text = "one";
  sessions.add_message(message);
  message.text = "two";
  sessions.add_message(message);
  EXPECT_EQ(load_conversation(database, session, false)->messages.size(), 1U);
  EXPECT_EQ(load_conversation(database, session, true)->messages.size(), 2U);
  EXPECT_TRUE(
      holds(export_conversation(*load_conversation(database, session, true), ExportFormat::markdown), "- gone"));
  EXPECT_FALSE(load_conversation(database, 99, false));
}

}  // namespace
}  // namespace lectern::app

#include "app/library.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "app/migrations.h"
#include "app/session_store.h"
#include "tests/app/temporary_folder.h"

namespace lectern::app {
namespace {

using documents::Document;
using documents::Page;
using testing::TemporaryFolder;

Page page(int number, const std::string& text) {
  Page result;
  result.number = number;
  result.text = text;
  return result;
}

Document document(const std::string& fingerprint, const std::string& name, const std::vector<std::string>& pages) {
  Document result;
  result.fingerprint = fingerprint;
  result.name = name;
  result.path = "/nowhere/" + name;
  result.kind = documents::DocumentKind::pdf;
  for (const std::string& text : pages) result.pages.push_back(page(static_cast<int>(result.pages.size()) + 1, text));
  result.report.pages = static_cast<int>(pages.size());
  return result;
}

struct Shelf {
  Shelf() { migrate(database, migrations()); }
  TemporaryFolder folder;
  Database database{folder.file("library.sqlite"), Database::Mode::read_write};
  Library library{database};

  std::int64_t count(const std::string& table) {
    Statement row(database, "SELECT count(*) FROM " + table);
    row.step();
    return row.integer(0);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const DocumentRow& row : library.list()) result.push_back(row.name);
    return result;
  }
};

TEST(Library, GivesADocumentBackWithItsGeometry) {
  Shelf shelf;
  Document original = document("f1", "a.pdf", {"First page", "", "第三页"});
  original.title = "A \"title\"";
  original.author = "Nobody";
  original.outline = {{"One", 1, 0}, {"One, \\ two", 3, 1}, {"nowhere", 0, 0}};
  original.report.pages_without_text = {2};
  original.report.problems = 4;
  original.report.replaced_characters = 1;
  original.report.encoding = "GB18030";
  original.report.warnings = {"page 2 took too long"};
  original.pages[0].width_pt = 595.28;
  original.pages[0].height_pt = 841.89;
  original.pages[0].words = {{0, 5, {72, 80.25, 99.5, 92}}, {6, 10, {103, 80.25, 130, 92}}};
  original.pages[1].has_image = true;
  original.pages[2].first_line = 10;
  original.pages[2].last_line = 20;
  shelf.library.add(original, "");
  EXPECT_TRUE(shelf.library.contains("f1"));
  EXPECT_FALSE(shelf.library.contains("f2"));
  EXPECT_FALSE(shelf.library.load("f2"));

  const Document loaded = shelf.library.load("f1").value();
  EXPECT_EQ(loaded.fingerprint, "f1");
  EXPECT_EQ(loaded.name, "a.pdf");
  EXPECT_EQ(loaded.path, "/nowhere/a.pdf");
  EXPECT_EQ(loaded.kind, documents::DocumentKind::pdf);
  EXPECT_EQ(loaded.title, original.title);
  EXPECT_EQ(loaded.author, "Nobody");
  ASSERT_EQ(loaded.outline.size(), 3U);
  EXPECT_EQ(loaded.outline[1].title, "One, \\ two");
  EXPECT_EQ(loaded.outline[1].page, 3);
  EXPECT_EQ(loaded.outline[1].depth, 1);
  EXPECT_EQ(loaded.report.pages, 3);
  EXPECT_EQ(loaded.report.pages_without_text, std::vector<int>{2});
  EXPECT_EQ(loaded.report.problems, 4);
  EXPECT_EQ(loaded.report.replaced_characters, 1);
  EXPECT_EQ(loaded.report.encoding, "GB18030");
  EXPECT_EQ(loaded.report.warnings, original.report.warnings);
  ASSERT_EQ(loaded.pages.size(), 3U);
  EXPECT_EQ(loaded.pages[0].width_pt, 595.28);
  EXPECT_EQ(loaded.pages[0].height_pt, 841.89);
  ASSERT_EQ(loaded.pages[0].words.size(), 2U);
  EXPECT_EQ(loaded.pages[0].words[1].start, 6);
  EXPECT_EQ(loaded.pages[0].words[1].end, 10);
  EXPECT_NEAR(loaded.pages[0].words[0].box.x1, 99.5, 0.006);
  EXPECT_NEAR(loaded.pages[0].words[1].box.y0, 80.25, 0.006);
  EXPECT_TRUE(loaded.pages[1].has_image);
  EXPECT_EQ(loaded.pages[2].text, "第三页");
  EXPECT_EQ(loaded.pages[2].last_line, 20);
  EXPECT_EQ(shelf.library.page("f1", 3)->text, "第三页");
  EXPECT_FALSE(shelf.library.page("f1", 4));

  const DocumentRow row = shelf.library.row("f1").value();
  EXPECT_EQ(row.pages, 3);
  EXPECT_EQ(row.pages_without_text, 1);
  EXPECT_EQ(row.kind, "pdf");
  EXPECT_EQ(row.state, DocumentState::ready);
  EXPECT_NE(row.problem.find("page 2 has no text"), std::string::npos) << row.problem;
}

TEST(Library, StoresAContentOnceAndItsPathsEach) {
  Shelf shelf;
  Document one = document("f1", "a.pdf", {"text"});
  shelf.library.add(one, "");
  one.path = "/elsewhere/b.pdf";
  one.name = "sub/b.pdf";
  shelf.library.add(one, "papers");
  EXPECT_EQ(shelf.count("documents"), 1);
  EXPECT_EQ(shelf.count("pages"), 1);
  ASSERT_EQ(shelf.library.list().size(), 1U);
  EXPECT_EQ(shelf.library.list()[0].name, "sub/b.pdf");
  EXPECT_EQ(shelf.library.list()[0].collection, "papers");
}

TEST(Library, KnowsAnUnchangedFileAndOneThatChanged) {
  Shelf shelf;
  const std::string path = shelf.folder.write("a.txt", "one");
  Document one = document("f1", "a.txt", {"one"});
  one.path = path;
  EXPECT_FALSE(shelf.library.unchanged(path));
  shelf.library.add(one, "");
  EXPECT_EQ(shelf.library.unchanged(path), "f1");
  shelf.library.move_to_collection(path, "sub/a.txt", "sub folder");
  EXPECT_EQ(shelf.library.row("f1")->collection, "sub folder");
  const auto time = std::filesystem::last_write_time(path);
  shelf.folder.write("a.txt", "two");
  std::filesystem::last_write_time(path, time + std::chrono::seconds(2));
  EXPECT_FALSE(shelf.library.unchanged(path));
  std::filesystem::last_write_time(path, time);
  EXPECT_EQ(shelf.library.unchanged(path), "f1");
  shelf.folder.write("a.txt", "longer");
  std::filesystem::last_write_time(path, time);
  EXPECT_FALSE(shelf.library.unchanged(path));
  std::filesystem::remove(path);
  EXPECT_FALSE(shelf.library.unchanged(path));
}

TEST(Library, TakesTheStampFromBeforeTheReading) {
  Shelf shelf;
  const std::string path = shelf.folder.write("a.txt", "one");
  const FileStamp before = file_stamp(path).value();
  shelf.folder.write("a.txt", "changed while it was read");
  Document one = document("f1", "a.txt", {"one"});
  one.path = path;
  shelf.library.add(one, "", before);
  EXPECT_FALSE(shelf.library.unchanged(path));
}

TEST(Library, DropsAnOlderVersionUnlessASessionRestsOnIt) {
  Shelf shelf;
  Document version = document("v1", "a.txt", {"one"});
  shelf.library.add(version, "");
  version.fingerprint = "v2";
  shelf.library.add(version, "");
  EXPECT_FALSE(shelf.library.contains("v1"));
  SessionStore sessions(shelf.database);
  sessions.set_documents(sessions.create("s"), {"v2"});
  version.fingerprint = "v3";
  shelf.library.add(version, "");
  EXPECT_TRUE(shelf.library.contains("v2"));
  EXPECT_NE(shelf.library.row("v2")->problem.find("older version"), std::string::npos);
  EXPECT_EQ(shelf.library.load("v2")->pages.size(), 1U);
}

TEST(Library, KnowsWhatLayAtAPathBefore) {
  Shelf shelf;
  Document version = document("v1", "a.txt", {"one"});
  for (const char* fingerprint : {"v1", "v2", "v3"}) {
    version.fingerprint = fingerprint;
    shelf.library.add(version, "");
  }
  using Fingerprints = std::vector<std::string>;
  const auto meant = [&](const std::string& named) { return shelf.library.fingerprints_of(named, "/here/" + named); };
  EXPECT_EQ(meant("/nowhere/a.txt"), (Fingerprints{"v1", "v2", "v3"}));
  EXPECT_EQ(meant("a.txt"), (Fingerprints{"v1", "v2", "v3"}));
  EXPECT_EQ(meant("/nowhere"), Fingerprints{});
  EXPECT_EQ(shelf.library.fingerprints_of("nowhere", "/nowhere"), (Fingerprints{"v1", "v2", "v3"})) << "a folder";
  version.path = "/elsewhere/copy.txt";
  version.name = "copy.txt";
  shelf.library.add(version, "papers");
  EXPECT_EQ(meant("/nowhere/a.txt"), (Fingerprints{"v1", "v2", "v3"})) << "the copy was added last";
  EXPECT_EQ(meant("papers"), Fingerprints{"v3"});
  EXPECT_EQ(meant("papers/copy.txt"), Fingerprints{"v3"});
  EXPECT_EQ(meant("v3"), Fingerprints{"v3"});
  EXPECT_EQ(meant("nothing"), Fingerprints{});
  version = document("v3", "a.txt", {"one"});
  EXPECT_EQ(shelf.library.former_versions("v3"), (Fingerprints{"v1", "v2"}));
  SessionStore sessions(shelf.database);
  sessions.set_documents(sessions.create("s"), {"v3"});
  version.fingerprint = "v1";  // as it was
  shelf.library.add(version, "");
  EXPECT_EQ(shelf.library.former_versions("v1"), Fingerprints{"v2"}) << "v3 lies elsewhere, and a session rests on it";
  shelf.library.remove("v1");
  EXPECT_EQ(shelf.count("former_contents"), 0);
}

TEST(Library, RemovesADocumentWithAllThatBelongsToIt) {
  Shelf shelf;
  shelf.library.add(document("f1", "a.pdf", {"unique words", "more"}), "");
  shelf.library.add(document("f2", "b.pdf", {"unique words"}), "");
  shelf.library.set_tokens("f1", "m", 10);
  shelf.library.remove("f1");
  EXPECT_FALSE(shelf.library.contains("f1"));
  EXPECT_EQ(shelf.count("pages"), 1);
  EXPECT_EQ(shelf.count("passages"), 1);
  EXPECT_EQ(shelf.count("passage_index"), 1);
  EXPECT_EQ(shelf.count("document_tokens"), 0);
  EXPECT_EQ(shelf.library.search({"f1", "f2"}, "unique", 10).size(), 1U);
  EXPECT_NO_THROW(shelf.database.execute("INSERT INTO passage_index(passage_index) VALUES ('integrity-check')"));
}

TEST(Library, ListsTheNewestFirstAndFoldersTogether) {
  Shelf shelf;
  shelf.library.add(document("f1", "old.pdf", {"x"}), "");
  shelf.database.execute("UPDATE document_paths SET added_ms = added_ms - 5000");
  shelf.library.add(document("f2", "z.cpp", {"x"}), "code");
  shelf.database.execute("UPDATE document_paths SET added_ms = added_ms - 1000");
  shelf.library.add(document("f3", "single.pdf", {"x"}), "");
  shelf.database.execute("UPDATE document_paths SET added_ms = added_ms - 1000");
  shelf.library.add(document("f4", "a.cpp", {"x"}), "code");
  EXPECT_EQ(shelf.names(), (std::vector<std::string>{"a.cpp", "z.cpp", "single.pdf", "old.pdf"}));
}

TEST(Library, KeepsTokenCountsByModel) {
  Shelf shelf;
  shelf.library.add(document("f1", "a.pdf", {"x"}), "");
  EXPECT_FALSE(shelf.library.tokens("f1", "m"));
  shelf.library.set_tokens("f1", "m", 10);
  shelf.library.set_tokens("f1", "n", 20);
  shelf.library.set_tokens("f1", "m", 11);
  EXPECT_EQ(shelf.library.tokens("f1", "m"), 11);
  EXPECT_EQ(shelf.library.tokens("f1", "n"), 20);
  shelf.library.set_tokens("missing", "m", 1);
  EXPECT_FALSE(shelf.library.tokens("missing", "m"));
}

TEST(Library, FindsPassagesByWordsOfTheQuestionInTheDocumentsAskedFor) {
  Shelf shelf;
  shelf.library.add(document("lease", "lease.pdf",
                             {"The tenant pays rent monthly.", "This agreement is governed by the laws of Norway.",
                              "Notices are sent by post."}),
                    "");
  shelf.library.add(document("other", "other.pdf", {"Governed by the laws of Peru."}), "");
  const std::vector<PassageHit> hits = shelf.library.search({"lease"}, "Which laws govern? (governed by)", 5);
  ASSERT_FALSE(hits.empty());
  EXPECT_EQ(hits[0].fingerprint, "lease");
  EXPECT_EQ(hits[0].page, 2);
  EXPECT_EQ(hits[0].text, "This agreement is governed by the laws of Norway.");
  EXPECT_EQ(hits[0].start, 0);
  EXPECT_EQ(hits[0].end, 49);
  EXPECT_GT(hits[0].score, 0);
  EXPECT_EQ(shelf.library.search({"lease", "other"}, "laws", 5).size(), 2U);
  EXPECT_EQ(shelf.library.search({"lease", "other"}, "laws", 1).size(), 1U);
  EXPECT_TRUE(shelf.library.search({}, "laws", 5).empty());
  EXPECT_TRUE(shelf.library.search({"lease"}, "zebra", 5).empty());
  EXPECT_TRUE(shelf.library.search({"lease"}, "", 5).empty());
}

TEST(Library, FindsAWordInItsOtherForms) {
  Shelf shelf;
  shelf.library.add(document("f1", "a.pdf", {"Rent is due monthly.", "Termination: either party may leave."}), "");
  const std::vector<PassageHit> hits = shelf.library.search({"f1"}, "When can the lease be terminated?", 5);
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits[0].page, 2);
}

TEST(Library, WeighsTheTitleOfTheDocument) {
  Shelf shelf;
  for (int i = 0; i < 10; ++i) {
    Document contract = document("c" + std::to_string(i), "c" + std::to_string(i) + ".pdf",
                                 {"The term of this agreement is five years."});
    contract.title = i == 7 ? "Hosting Agreement of Acme" : "Lease " + std::to_string(i);
    shelf.library.add(contract, "");
  }
  std::vector<std::string> all;
  for (int i = 0; i < 10; ++i) all.push_back("c" + std::to_string(i));
  const std::vector<PassageHit> hits = shelf.library.search(all, "What is the term of the hosting agreement?", 3);
  ASSERT_FALSE(hits.empty());
  EXPECT_EQ(hits[0].fingerprint, "c7");
}

TEST(Library, FindsChineseInsideAClauseAndGivesItsOffsetsInCodePoints) {
  Shelf shelf;
  shelf.library.add(
      document("zh", "合同.pdf", {"甲方应当按月支付租金人民币五千元。", "本合同适用中华人民共和国法律。"}), "");
  const std::vector<PassageHit> rent = shelf.library.search({"zh"}, "租金是多少？", 5);
  ASSERT_FALSE(rent.empty());
  EXPECT_EQ(rent[0].page, 1);
  const std::vector<PassageHit> law = shelf.library.search({"zh"}, "适用哪国的法律", 5);
  ASSERT_FALSE(law.empty());
  EXPECT_EQ(law[0].page, 2);
  EXPECT_EQ(law[0].text, "本合同适用中华人民共和国法律。");
  EXPECT_EQ(law[0].end - law[0].start, 15);
}

TEST(Library, TakesNoQuerySyntaxFromAQuestion) {
  Shelf shelf;
  shelf.library.add(document("f1", "a.pdf", {"some ordinary text"}), "");
  for (const char* hostile : {"\"", "\"\"\"", "a AND", "NOT", "OR OR", "NEAR(ordinary text, 5)", "title:ordinary",
                              "{title body}: x", "ordin*", "^text", "- + ( ) : ;", "'; DROP TABLE documents; --",
                              "\xFF\xFE\xC3", "%s%n", "\\", "ordinary\" OR \"text"})
    EXPECT_NO_THROW(shelf.library.search({"f1"}, hostile, 5)) << hostile;
  EXPECT_NO_THROW(shelf.library.search({"f1"}, std::string("a\0b", 3), 5));
  EXPECT_NO_THROW(shelf.library.search({"\"]'); DROP TABLE documents", "\xFF"}, "text", 5));
  EXPECT_NO_THROW(shelf.library.search({"f1"}, std::string(1'000'000, 'x') + " ordinary", 5));
  EXPECT_EQ(shelf.library.search({"f1"}, "title:ordinary", 5).size(), 1U);
  EXPECT_TRUE(shelf.library.contains("f1"));
}

TEST(Library, SaysThatStoredPagesAreDamaged) {
  Shelf shelf;
  shelf.library.add(document("f1", "a.pdf", {"x"}), "");
  shelf.database.execute("UPDATE pages SET words = x'FFFF'");
  EXPECT_THROW(shelf.library.load("f1"), DatabaseError);
  shelf.database.execute("UPDATE documents SET outline = '{'");
  EXPECT_THROW(shelf.library.load("f1"), DatabaseError);
}

TEST(Library, SaysInOneSentenceWhatReadingDidNotBring) {
  documents::ReadingReport report;
  report.pages = 50;
  EXPECT_EQ(reading_problem(report), "");
  report.pages_without_text = {1, 3, 4, 7, 8, 9};
  EXPECT_EQ(reading_problem(report), "pages 1, 3, 4, 7-9 have no text");
  report.problems = 1;
  report.warnings = {"two\nlines"};
  EXPECT_EQ(reading_problem(report),
            "pages 1, 3, 4, 7-9 have no text; the file is damaged in 1 place, text may be missing; two lines");
  report = {};
  report.pages = 1;
  report.pages_without_text = {1};
  EXPECT_EQ(reading_problem(report), "no page has text (a scan?)");
}

}  // namespace
}  // namespace lectern::app

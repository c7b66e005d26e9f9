// Reads real files through the real lectern-reader, which the build puts beside this program.
#include "app/ingest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "app/library.h"
#include "tests/app/temporary_folder.h"

namespace lectern::app {
namespace {

using testing::TemporaryFolder;

const std::string agreement = LECTERN_SOURCE_DIR "/resources/samples/services-agreement.pdf";

struct Desk {
  TemporaryFolder folder;
  TemporaryFolder home;
  DatabaseWriter writer{home.file("library.sqlite")};
  std::vector<IngestEvent> events;

  IngestResult read(const std::vector<std::string>& paths, std::stop_token stop = {}) {
    events.clear();
    return ingest(
        writer, paths, "", [this](const IngestEvent& event) { events.push_back(event); }, stop);
  }
  std::int64_t count(IngestEvent::Kind kind) const {
    return std::count_if(events.begin(), events.end(), [&](const IngestEvent& event) { return event.kind == kind; });
  }
  std::vector<DocumentRow> rows() {
    return writer.call([](Database& database) { return Library(database).list(); });
  }
};

using Kind = IngestEvent::Kind;

TEST(Ingest, ReadsAPdfPageByPageAndStoresIt) {
  Desk desk;
  const IngestResult result = desk.read({agreement});
  ASSERT_EQ(result.fingerprints.size(), 1U);
  EXPECT_TRUE(result.failures.empty());
  EXPECT_GT(result.seconds, 0);
  const auto document =
      desk.writer.call([&](Database& database) { return Library(database).load(result.fingerprints[0]); });
  ASSERT_TRUE(document);
  EXPECT_GE(document->pages.size(), 12U);
  EXPECT_FALSE(document->pages[0].words.empty());
  ASSERT_FALSE(desk.events.empty());
  EXPECT_EQ(desk.events.front().kind, Kind::started);
  EXPECT_EQ(desk.events.back().kind, Kind::finished);
  EXPECT_EQ(desk.events.back().fingerprint, result.fingerprints[0]);
  EXPECT_EQ(desk.count(Kind::progress), static_cast<std::int64_t>(document->pages.size()));
  const IngestEvent& last_page = desk.events[desk.events.size() - 2];
  EXPECT_EQ(last_page.pages_read, last_page.pages);
  EXPECT_EQ(last_page.seconds_left, 0);
}

TEST(Ingest, ReadsAnUnchangedFileOnce) {
  Desk desk;
  const std::string path = desk.folder.write("a.txt", "one line\n");
  const IngestResult first = desk.read({path});
  ASSERT_EQ(first.fingerprints.size(), 1U);
  EXPECT_EQ(desk.count(Kind::started), 1);
  const IngestResult second = desk.read({path});
  EXPECT_EQ(second.fingerprints, first.fingerprints);
  EXPECT_EQ(desk.count(Kind::started), 0);
  EXPECT_EQ(desk.count(Kind::finished), 1);
  desk.folder.write("a.txt", "another line altogether\n");
  const IngestResult third = desk.read({path});
  EXPECT_EQ(desk.count(Kind::started), 1);
  EXPECT_NE(third.fingerprints, first.fingerprints);
  EXPECT_EQ(desk.rows().size(), 1U);
}

TEST(Ingest, GoesOnPastBadFilesAndSaysWhatIsWrongWithEach) {
  Desk desk;
  const std::string good = desk.folder.write("good.txt", "good\n");
  const std::string broken = desk.folder.write("broken.pdf", "this is no PDF at all, whatever its name says\n");
  const std::string empty = desk.folder.write("empty.pdf", "");
  const std::string missing = desk.folder.file("missing.pdf");
  std::filesystem::create_directory(desk.folder.file("nothing"));
  const IngestResult result = desk.read({missing, broken, good, empty, desk.folder.file("nothing")});
  EXPECT_EQ(result.fingerprints.size(), 1U);
  std::map<std::string, std::string> problems;
  for (const IngestResult::Failure& failure : result.failures) {
    problems[failure.path] = failure.problem;
    EXPECT_EQ(failure.problem.find('\n'), std::string::npos) << failure.problem;
    EXPECT_NE(failure.problem.find(failure.path), std::string::npos) << failure.problem;
  }
  EXPECT_EQ(problems.size(), 4U);
  for (const std::string& path : {missing, broken, empty, desk.folder.file("nothing")})
    EXPECT_TRUE(problems.contains(path)) << path;
  EXPECT_EQ(desk.count(Kind::failed), 4);
  EXPECT_EQ(desk.rows().size(), 1U);
}

TEST(Ingest, ReadsAFolderAsACollectionInTheOrderOfItsNames) {
  Desk desk;
  desk.folder.write("tree/src/z.cpp", "int z() { return 26; }\n");
  desk.folder.write("tree/src/a.cpp", "int a() { return 1; }\n");
  desk.folder.write("tree/README.md", "# Tree\n\nWords.\n");
  desk.folder.write("tree/.gitignore", "ignored.txt\n");
  desk.folder.write("tree/ignored.txt", "not this\n");
  desk.folder.write("tree/blob.bin", std::string(2000, '\0'));
  const IngestResult result = desk.read({desk.folder.file("tree") + "/"});
  EXPECT_TRUE(result.failures.empty());
  ASSERT_EQ(result.notes.size(), 1U);
  EXPECT_NE(result.notes[0].find("folder tree: skipped"), std::string::npos) << result.notes[0];
  std::vector<std::string> names;
  for (const std::string& fingerprint : result.fingerprints) {
    const DocumentRow row =
        desk.writer.call([&](Database& database) { return Library(database).row(fingerprint).value(); });
    EXPECT_EQ(row.collection, "tree");
    names.push_back(row.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"README.md", "src/a.cpp", "src/z.cpp"}));
}

TEST(Ingest, MovesAFileThatWasReadAloneIntoItsFolder) {
  Desk desk;
  const std::string path = desk.folder.write("tree/a.cpp", "int a();\n");
  desk.read({path});
  EXPECT_EQ(desk.rows().at(0).collection, "");
  desk.read({desk.folder.file("tree")});
  EXPECT_EQ(desk.count(Kind::started), 0);
  EXPECT_EQ(desk.rows().at(0).collection, "tree");
}

TEST(Ingest, GivesEachContentAndEachPathOnce) {
  Desk desk;
  const std::string one = desk.folder.write("one.txt", "same\n");
  const std::string two = desk.folder.write("two.txt", "same\n");
  const IngestResult result = desk.read({one, two, one, desk.folder.path() + "/./one.txt"});
  EXPECT_EQ(result.fingerprints.size(), 1U);
  EXPECT_EQ(desk.count(Kind::started), 2);
}

TEST(Ingest, StopsSoonAndKeepsWhatWasRead) {
  Desk desk;
  std::vector<std::string> paths;
  for (int i = 0; i < 30; ++i)
    paths.push_back(desk.folder.write(std::to_string(i) + ".txt", "file " + std::to_string(i) + "\n"));
  std::stop_source source;
  int finished = 0;
  const IngestResult result = ingest(
      desk.writer, paths, "",
      [&](const IngestEvent& event) {
        if (event.kind == Kind::finished && ++finished == 3) source.request_stop();
      },
      source.get_token());
  EXPECT_GE(result.fingerprints.size(), 3U);
  EXPECT_LT(result.fingerprints.size(), 30U);
  EXPECT_EQ(desk.rows().size(), result.fingerprints.size());
  EXPECT_EQ(desk.read(paths).fingerprints.size(), 30U);
}

TEST(Ingest, EndsWithTheErrorOfALibraryThatCannotBeWritten) {
  Desk desk;
  desk.writer.call([](Database& database) { database.execute("PRAGMA max_page_count = 60"); });
  std::vector<std::string> paths;
  for (int i = 0; i < 10; ++i) {
    std::string text;
    for (int j = 0; j < 4000; ++j) text += "word" + std::to_string(i * j) + " ";
    paths.push_back(desk.folder.write(std::to_string(i) + ".txt", text));
  }
  try {
    desk.read(paths);
    FAIL() << "nothing was thrown";
  } catch (const DatabaseError& error) {
    EXPECT_EQ(error.kind(), DatabaseError::Kind::disk_full) << error.what();
  }
}

}  // namespace
}  // namespace lectern::app

#include "app/migrations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "app/database_writer.h"
#include "app/embedded_files.h"
#include "tests/app/temporary_folder.h"

namespace lectern::app {
namespace {

using testing::TemporaryFolder;

std::int64_t version(Database& database) {
  Statement row(database, "PRAGMA user_version");
  row.step();
  return row.integer(0);
}

TEST(Migrations, CarryEverySchemaFileOfTheProject) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LECTERN_SOURCE_DIR "/resources/schema")) {
    ++files;
    EXPECT_EQ(embedded_file("schema/" + entry.path().filename().string()), testing::read_file(entry.path().string()));
  }
  EXPECT_EQ(migrations().size(), files);
  for (std::size_t i = 0; i < migrations().size(); ++i) EXPECT_EQ(migrations()[i].version, static_cast<int>(i) + 1);
}

TEST(Migrations, MakeStrictTablesOnly) {
  const TemporaryFolder folder;
  Database database(folder.file("a.sqlite"), Database::Mode::read_write);
  migrate(database, migrations());
  Statement loose(database,
                  "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 "
                  "AND name NOT LIKE 'sqlite_%'");
  while (loose.step()) ADD_FAILURE() << loose.text(0) << " is not STRICT";
  EXPECT_EQ(version(database), static_cast<std::int64_t>(migrations().size()));
}

TEST(Migrations, DoNothingTheSecondTime) {
  const TemporaryFolder folder;
  Database database(folder.file("a.sqlite"), Database::Mode::read_write);
  migrate(database, migrations());
  database.execute("INSERT INTO remembered VALUES (0, 'a', 'b')");
  migrate(database, migrations());
  Statement row(database, "SELECT value FROM remembered");
  ASSERT_TRUE(row.step());
  EXPECT_EQ(row.text(0), "b");
}

TEST(Migrations, ApplyOnlyTheStepsThatAreMissing) {
  const TemporaryFolder folder;
  Database database(folder.file("a.sqlite"), Database::Mode::read_write);
  std::vector<Migration> steps = migrations();
  migrate(database, steps);
  database.execute("INSERT INTO remembered VALUES (0, 'a', 'b')");
  const int next = static_cast<int>(steps.size()) + 1;
  steps.push_back({next, "ALTER TABLE remembered ADD COLUMN more TEXT NOT NULL DEFAULT 'c'"});
  migrate(database, steps);
  Statement row(database, "SELECT value || more FROM remembered");
  ASSERT_TRUE(row.step());
  EXPECT_EQ(row.text(0), "bc");
  EXPECT_EQ(version(database), next);
}

TEST(Migrations, LeaveTheFileAtTheStepBeforeOneThatFails) {
  const TemporaryFolder folder;
  Database database(folder.file("a.sqlite"), Database::Mode::read_write);
  std::vector<Migration> steps = migrations();
  const std::int64_t last = static_cast<std::int64_t>(steps.size());
  steps.push_back({static_cast<int>(last) + 1, "CREATE TABLE half (i INTEGER) STRICT; CREATE NONSENSE"});
  EXPECT_THROW(migrate(database, steps), DatabaseError);
  EXPECT_EQ(version(database), last);
  Statement half(database, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'");
  half.step();
  EXPECT_EQ(half.integer(0), 0);
}

TEST(Migrations, RefuseAFileOfANewerProgram) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.sqlite");
  {
    Database database(path, Database::Mode::read_write);
    migrate(database, migrations());
    database.execute("PRAGMA user_version = 99");
  }
  const std::string before = testing::read_file(path);
  try {
    DatabaseWriter writer(path);
    FAIL() << "a newer file was opened";
  } catch (const DatabaseError& error) {
    EXPECT_EQ(error.kind(), DatabaseError::Kind::newer_version);
    const std::string message = error.what();
    EXPECT_NE(message.find(path), std::string::npos) << message;
    EXPECT_NE(message.find("update Lectern"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  EXPECT_EQ(testing::read_file(path), before);
  Database reader(path, Database::Mode::read_only);
  EXPECT_THROW(require_current(reader, migrations()), DatabaseError);
}

TEST(Migrations, RefuseTheDatabaseOfAnotherProgramAndADamagedOne) {
  const TemporaryFolder folder;
  {
    Database database(folder.file("other.sqlite"), Database::Mode::read_write);
    database.execute("CREATE TABLE bookmarks (url TEXT)");
  }
  EXPECT_THROW(DatabaseWriter(folder.file("other.sqlite")), DatabaseError);
  folder.write("damaged.sqlite", "SQLite format 3" + std::string(1, '\0') + std::string(4080, '\x7F'));
  try {
    DatabaseWriter writer(folder.file("damaged.sqlite"));
    FAIL() << "a damaged file was opened";
  } catch (const DatabaseError& error) {
    EXPECT_EQ(error.kind(), DatabaseError::Kind::damaged) << error.what();
  }
}

}  // namespace
}  // namespace lectern::app

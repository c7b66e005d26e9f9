#include "app/database.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/app/temporary_folder.h"

namespace lectern::app {
namespace {

using testing::TemporaryFolder;

/// Runs the task and gives the error it must throw.
template <class Task>
DatabaseError error_of(Task task) {
  try {
    task();
  } catch (const DatabaseError& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return {DatabaseError::Kind::other, ""};
}

bool mentions(const DatabaseError& error, const std::string& text) {
  return std::string(error.what()).find(text) != std::string::npos;
}

std::int64_t pragma(Database& database, const std::string& name) {
  Statement statement(database, "PRAGMA " + name);
  statement.step();
  return statement.integer(0);
}

TEST(Database, KeepsValuesOfEveryKind) {
  const TemporaryFolder folder;
  Database database(folder.file("a.sqlite"), Database::Mode::read_write);
  database.execute("CREATE TABLE t (i INTEGER, r REAL, s TEXT, b BLOB, n TEXT) STRICT");
  const std::string text = std::string("a\0b", 3) + "\xE4\xBD\xA0";
  const std::string bytes("\x00\xFF\x10", 3);
  Statement(database, "INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5)")
      .bind(1, std::int64_t{-9'000'000'000})
      .bind(2, 0.125)
      .bind(3, text)
      .bind_blob(4, bytes)
      .bind_null(5)
      .run();
  EXPECT_EQ(database.changes(), 1);
  Statement row(database, "SELECT * FROM t");
  ASSERT_TRUE(row.step());
  EXPECT_EQ(row.integer(0), -9'000'000'000);
  EXPECT_EQ(row.real(1), 0.125);
  EXPECT_EQ(row.text(2), text);
  EXPECT_EQ(row.blob(3), bytes);
  EXPECT_TRUE(row.is_null(4));
  EXPECT_FALSE(row.step());
}

TEST(Database, TakesAnEmptyViewForAnEmptyTextAndNotForNull) {
  const TemporaryFolder folder;
  Database database(folder.file("a.sqlite"), Database::Mode::read_write);
  database.execute("CREATE TABLE t (s TEXT NOT NULL, b BLOB NOT NULL) STRICT");
  Statement(database, "INSERT INTO t VALUES (?1, ?2)").bind(1, std::string_view()).bind_blob(2, {}).run();
  EXPECT_EQ(database.last_insert_id(), 1);
}

TEST(Database, OpensInWalModeWithForeignKeysAndFullSynchronisation) {
  const TemporaryFolder folder;
  Database database(folder.file("a.sqlite"), Database::Mode::read_write);
  Statement mode(database, "PRAGMA journal_mode");
  mode.step();
  EXPECT_EQ(mode.text(0), "wal");
  EXPECT_EQ(pragma(database, "foreign_keys"), 1);
  EXPECT_EQ(pragma(database, "synchronous"), 2);
}

TEST(Database, RollsBackATransactionThatWasNotCommittedAndOnlyTheInnerOneOfTwo) {
  const TemporaryFolder folder;
  Database database(folder.file("a.sqlite"), Database::Mode::read_write);
  database.execute("CREATE TABLE t (i INTEGER) STRICT");
  {
    Transaction outer(database);
    database.execute("INSERT INTO t VALUES (1)");
    {
      Transaction inner(database);
      database.execute("INSERT INTO t VALUES (2)");
    }
    {
      Transaction inner(database);
      database.execute("INSERT INTO t VALUES (4)");
      inner.commit();
    }
    outer.commit();
  }
  {
    Transaction outer(database);
    database.execute("INSERT INTO t VALUES (8)");
  }
  Statement sum(database, "SELECT sum(i) FROM t");
  ASSERT_TRUE(sum.step());
  EXPECT_EQ(sum.integer(0), 5);
}

TEST(Database, LetsAReaderSeeTheLastCommitWhileAnotherConnectionWrites) {
  const TemporaryFolder folder;
  Database writer(folder.file("a.sqlite"), Database::Mode::read_write);
  writer.execute("CREATE TABLE t (i INTEGER) STRICT; INSERT INTO t VALUES (1)");
  Database reader(folder.file("a.sqlite"), Database::Mode::read_only);
  Transaction transaction(writer);
  writer.execute("INSERT INTO t VALUES (2)");
  Statement count(reader, "SELECT count(*) FROM t");
  ASSERT_TRUE(count.step());
  EXPECT_EQ(count.integer(0), 1);
  EXPECT_THROW(reader.execute("INSERT INTO t VALUES (3)"), DatabaseError);
}

TEST(Database, SaysThatADiskIsFullAndWorksOnAfterwards) {
  const TemporaryFolder folder;
  Database database(folder.file("a.sqlite"), Database::Mode::read_write);
  database.execute("CREATE TABLE t (b BLOB) STRICT; PRAGMA max_page_count = 10");
  const DatabaseError error = error_of([&] {
    Transaction transaction(database);
    database.execute("INSERT INTO t VALUES (zeroblob(1000000))");
    transaction.commit();
  });
  EXPECT_EQ(error.kind(), DatabaseError::Kind::disk_full);
  EXPECT_TRUE(mentions(error, folder.file("a.sqlite")) && mentions(error, "free some space")) << error.what();
  database.execute("INSERT INTO t VALUES (zeroblob(10))");
  EXPECT_EQ(database.changes(), 1);
}

TEST(Database, SaysThatAFileIsNoDatabaseOrDamaged) {
  const TemporaryFolder folder;
  const std::string garbage = folder.write("garbage.sqlite", std::string(5000, 'x'));
  const DatabaseError first = error_of([&] { Database(garbage, Database::Mode::read_write); });
  EXPECT_EQ(first.kind(), DatabaseError::Kind::damaged);
  EXPECT_TRUE(mentions(first, garbage) && mentions(first, "move it away")) << first.what();

  const std::string torn = folder.file("torn.sqlite");
  {
    Database database(torn, Database::Mode::read_write);
    database.execute("CREATE TABLE t (b BLOB) STRICT");
    for (int i = 0; i < 50; ++i) database.execute("INSERT INTO t VALUES (randomblob(3000))");
  }
  {
    std::fstream file(torn, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(4096 * 20, '\xAB');
  }
  const DatabaseError second = error_of([&] {
    Database database(torn, Database::Mode::read_write);
    Statement rows(database, "SELECT length(hex(b)) FROM t");
    while (rows.step()) {
    }
  });
  EXPECT_EQ(second.kind(), DatabaseError::Kind::damaged);
}

TEST(Database, NamesTheFileThatCannotBeOpened) {
  const TemporaryFolder folder;
  for (const std::string& path : {folder.path(), folder.file("missing/a.sqlite")}) {
    const DatabaseError error = error_of([&] { Database(path, Database::Mode::read_write); });
    EXPECT_TRUE(mentions(error, path)) << error.what();
  }
  EXPECT_THROW(Database(folder.file("missing.sqlite"), Database::Mode::read_only), DatabaseError);
}

// Root may write everywhere, so a child process without root's rights opens the file and gives the message through a
// pipe.
TEST(Database, SaysThatAFolderCannotBeWritten) {
  const TemporaryFolder folder;
  ASSERT_EQ(chmod(folder.path().c_str(), 0555), 0);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(2);
    const DatabaseError error = error_of([&] { Database(folder.file("a.sqlite"), Database::Mode::read_write); });
    const std::string text =
        (error.kind() == DatabaseError::Kind::read_only ? "read_only " : "other ") + std::string(error.what());
    _exit(write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::string message(2000, '\0');
  const ssize_t length = read(ends[0], message.data(), message.size());
  close(ends[0]);
  waitpid(child, nullptr, 0);
  chmod(folder.path().c_str(), 0700);
  ASSERT_GT(length, 0);
  message.resize(static_cast<std::size_t>(length));
  EXPECT_EQ(message.find("read_only"), 0U) << message;
  EXPECT_NE(message.find("XDG_DATA_HOME"), std::string::npos) << message;
}

}  // namespace
}  // namespace lectern::app

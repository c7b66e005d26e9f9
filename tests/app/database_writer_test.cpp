#include "app/database_writer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/app/temporary_folder.h"

namespace lectern::app {
namespace {

using testing::TemporaryFolder;

std::int64_t count(const std::string& path) {
  Database database(path, Database::Mode::read_only);
  Statement row(database, "SELECT count(*) FROM remembered");
  row.step();
  return row.integer(0);
}

void add(Database& database, const std::string& key) {
  Statement(database, "INSERT INTO remembered VALUES (0, ?1, '')").bind(1, std::string_view(key)).run();
}

TEST(DatabaseWriter, RunsTasksInOrderOnOneThreadAndGivesTheirValues) {
  const TemporaryFolder folder;
  DatabaseWriter writer(folder.file("library.sqlite"));
  std::vector<int> order;
  std::vector<std::thread::id> threads;
  for (int i = 0; i < 20; ++i) {
    writer.post([&, i](Database&) {
      order.push_back(i);
      threads.push_back(std::this_thread::get_id());
    });
  }
  EXPECT_EQ(writer.call([](Database& database) { return database.path(); }), folder.file("library.sqlite"));
  ASSERT_EQ(order.size(), 20U);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
    EXPECT_EQ(threads[static_cast<std::size_t>(i)], threads[0]);
    EXPECT_NE(threads[static_cast<std::size_t>(i)], std::this_thread::get_id());
  }
}

TEST(DatabaseWriter, GivesAnErrorToTheCallerAndWorksOn) {
  const TemporaryFolder folder;
  DatabaseWriter writer(folder.file("library.sqlite"));
  EXPECT_THROW(writer.call([](Database& database) { database.execute("NONSENSE"); }), DatabaseError);
  std::future<void> failed = writer.post([](Database& database) {
    Transaction transaction(database);
    add(database, "lost");
    database.execute("NONSENSE");
  });
  EXPECT_THROW(failed.get(), DatabaseError);
  writer.call([](Database& database) { add(database, "kept"); });
  EXPECT_EQ(count(folder.file("library.sqlite")), 1);
}

TEST(DatabaseWriter, FinishesWhatIsQueuedBeforeItEnds) {
  const TemporaryFolder folder;
  {
    DatabaseWriter writer(folder.file("library.sqlite"));
    for (int i = 0; i < 50; ++i) writer.post([i](Database& database) { add(database, std::to_string(i)); });
  }
  EXPECT_EQ(count(folder.file("library.sqlite")), 50);
}

TEST(DatabaseWriter, SharesAFileWithASecondWriter) {
  const TemporaryFolder folder;
  const std::string path = folder.file("library.sqlite");
  std::atomic<int> failures = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      try {
        DatabaseWriter writer(path);  // all four find no file, and one migrates it
        for (int i = 0; i < 25; ++i) {
          writer.call([&](Database& database) {
            Transaction transaction(database);
            add(database, std::to_string(t) + "/" + std::to_string(i));
            transaction.commit();
          });
        }
      } catch (const std::exception& error) {
        ++failures;
        ADD_FAILURE() << error.what();
      }
    });
  }
  threads.clear();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(count(path), 100);
}

}  // namespace
}  // namespace lectern::app

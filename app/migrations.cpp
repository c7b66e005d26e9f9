// Two processes may open a new file at the same moment, so the version is read again inside the transaction that holds
// the write lock: the second one finds the work done.
#include "app/migrations.h"

#include <cassert>
#include <charconv>
#include <string>

#include "app/embedded_files.h"

namespace lectern::app {
namespace {

constexpr std::int64_t application_id = 0x4C454354;  // "LECT", set by the first schema file

std::int64_t number(Database& database, std::string_view sql) {
  Statement statement(database, sql);
  return statement.step() ? statement.integer(0) : 0;
}

std::int64_t version(Database& database) {
  return number(database, "PRAGMA user_version");
}

void refuse_strangers(Database& database, std::int64_t found, std::int64_t last) {
  const std::int64_t owner = number(database, "PRAGMA application_id");
  const bool empty = found == 0 && number(database, "SELECT count(*) FROM sqlite_schema") == 0;
  if (!empty && owner != application_id)
    throw DatabaseError(DatabaseError::Kind::other,
                        database.path() + ": is a database of another program; move it away and start again");
  if (found > last)
    throw DatabaseError(DatabaseError::Kind::newer_version,
                        database.path() + ": was written by a newer version of Lectern (format " +
                            std::to_string(found) + ", this one knows " + std::to_string(last) +
                            "); update Lectern, or move the file away");
}

}  // namespace

std::vector<Migration> migrations() {
  std::vector<Migration> steps;
  constexpr std::string_view folder = "schema/";
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.name.substr(0, folder.size()) != folder) continue;
    const std::string_view name = file.name.substr(folder.size());
    Migration step{.version = 0, .sql = file.text};
    std::from_chars(name.data(), name.data() + name.size(), step.version);
    assert(step.version == static_cast<int>(steps.size()) + 1);
    steps.push_back(step);
  }
  return steps;
}

void migrate(Database& database, const std::vector<Migration>& steps) {
  const std::int64_t last = static_cast<std::int64_t>(steps.size());
  const std::int64_t found = version(database);
  refuse_strangers(database, found, last);
  for (const Migration& step : steps) {
    if (step.version <= found) continue;
    Transaction transaction(database);
    if (version(database) >= step.version) continue;  // another process was faster
    database.execute(std::string(step.sql).c_str());
    database.execute(("PRAGMA user_version = " + std::to_string(step.version)).c_str());
    transaction.commit();
  }
}

void require_current(Database& database, const std::vector<Migration>& steps) {
  const std::int64_t last = static_cast<std::int64_t>(steps.size());
  const std::int64_t found = version(database);
  refuse_strangers(database, found, last);
  if (found < last)
    throw DatabaseError(DatabaseError::Kind::other,
                        database.path() +
                            ": was written by an older version of Lectern and cannot be changed now; open it "
                            "once with write access");
}

}  // namespace lectern::app

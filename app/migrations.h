// The schema of the library file: numbered SQL files of resources/schema, applied in order.
#pragma once

#include <string_view>
#include <vector>

#include "app/database.h"

namespace lectern::app {

struct Migration {
  int version = 0;  // from 1, without gaps
  std::string_view sql;
};

/// Those of this program, in order.
std::vector<Migration> migrations();

/// Brings the file to the last version, each step in one transaction with its user_version. Throws DatabaseError: a
/// file of a newer program (newer_version), a database of another program, or a step that failed (the file stays at the
/// step before).
void migrate(Database& database, const std::vector<Migration>& steps);

/// Throws unless a read_only connection can be used as it is: the file is at exactly the last version.
void require_current(Database& database, const std::vector<Migration>& steps);

}  // namespace lectern::app

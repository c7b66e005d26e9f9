// Files of resources/ that are part of the program itself. CMake writes the table (app/CMakeLists.txt).
#pragma once

#include <string_view>
#include <vector>

namespace lectern::app {

struct EmbeddedFile {
  std::string_view name;  // relative to resources/: "schema/0001_library_and_sessions.sql"
  std::string_view text;
};

/// All of them, in the order of their names.
const std::vector<EmbeddedFile>& embedded_files();
/// The text of one; an unknown name is a mistake of ours (assert) and gives an empty text.
std::string_view embedded_file(std::string_view name);

}  // namespace lectern::app

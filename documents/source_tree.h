// Walks a folder for files worth reading. Runs inside lectern-reader only: libgit2 parses files that others wrote.
#pragma once

#include <string>

#include "documents/source_list.h"

namespace lectern::documents {

/// .gitignore files count in a Git repository and outside of one. Symbolic links are not followed. At most 64 levels,
/// 20,000 files and 1,000,000 entries. Throws Error if the folder cannot be read; a subfolder that cannot is counted.
SourceList list_source_tree(const std::string& folder);

}  // namespace lectern::documents

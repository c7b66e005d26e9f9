// Which files of a folder are read, and which are not and why: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "documents/document.h"

namespace lectern::documents {

enum class SkipReason {
  ignored,     // by .gitignore
  vendored,    // node_modules, third_party, build outputs
  generated,   // lock files, minified and machine-written code
  binary,      // no text and no known document
  too_large,   // text of more than a few megabytes
  hidden,      // names that begin with a dot
  link,        // symbolic links
  special,     // devices, pipes, sockets
  unreadable,  // no permission
  empty,
  too_many,  // beyond the bounds on depth or count
};
const char* name(SkipReason reason);

struct SourceFile {
  std::string path;      // as given for the folder, joined with `relative`
  std::string relative;  // inside the folder
  DocumentKind kind = DocumentKind::code;
  std::int64_t size_bytes = 0;
};

struct SkipCount {
  SkipReason reason = SkipReason::ignored;
  std::int64_t files = 0;  // a folder that was not entered counts as one
  std::string example;     // relative path of the first
};

struct SourceList {
  std::vector<SourceFile> files;   // by relative path, byte order
  std::vector<SkipCount> skipped;  // in the order of SkipReason; reasons without files are left out
};

/// The kind of a file by its name; code for known source files, text for everything unknown.
DocumentKind kind_by_name(const std::string& file_name);

/// One line for people: "12 binary files, 3 ignored by .gitignore"; empty if nothing was skipped.
std::string skipped_summary(const SourceList& list);

}  // namespace lectern::documents

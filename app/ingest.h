// Reading files and folders into the library: the part that the command line and the window share.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "app/database_writer.h"
#include "app/records.h"

namespace lectern::app {

struct IngestEvent {
  std::string path;
  std::string collection;
  int pages_read = 0;
  int pages = 0;  // 0 while unknown
  double seconds_left = -1;
  enum class Kind { started, progress, finished, failed } kind = Kind::progress;
  std::string fingerprint;  // finished
  std::string problem;      // failed: one line; finished: what could not be read, or empty
  bool password_needed = false;
};

struct IngestResult {
  std::vector<std::string> fingerprints;  // in the order of the paths, files of a folder by name, each once
  struct Failure {
    std::string path;
    std::string problem;
  };
  std::vector<Failure> failures;
  std::vector<std::string> notes;  // "folder x: 12 binary files skipped"
  double seconds = 0;
};

/// Reads every path (files and folders) in child processes and stores what is new; a file that has not changed since it
/// was read is not read again. One bad file does not stop the others. `observer` is called on the calling thread. Paths
/// in events and failures are absolute. A file that was being read when `stop` came is a failure that says so; what was
/// not begun is not mentioned. Throws DatabaseError if the library cannot be written.
IngestResult ingest(DatabaseWriter& writer, const std::vector<std::string>& paths, const std::string& password,
                    const std::function<void(const IngestEvent&)>& observer, std::stop_token stop);

}  // namespace lectern::app

// The error type of everything in documents/.
#pragma once

#include <stdexcept>
#include <string>

namespace lectern::documents {

enum class ErrorKind {
  missing,      // no such file or folder
  permission,   // there, but may not be read
  empty,        // a file without bytes, a folder without readable files
  encrypted,    // needs a password, or another one
  damaged,      // says what it is, but cannot be read as that
  unsupported,  // a kind of file that no reader knows, or not what its name says
  too_large,    // over the limits on memory, pixels or output
  timed_out,    // over the limit on time
  crashed,      // the reader died on it
  cancelled,    // the caller's stop token was set
  setup,        // lectern-reader cannot be started
};
const char* name(ErrorKind kind);

/// What ends the reading of one file. `what()` is one line: file: what is wrong and what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace lectern::documents

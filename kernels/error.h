// The error type of the kernels and inference libraries.
#pragma once

#include <stdexcept>
#include <string>

namespace lectern {

enum class ErrorKind {
  bad_file,       // a file that cannot be used: truncated, lying header, wrong shape
  unsupported,    // well formed, but not something this build can run
  bad_request,    // the caller asked for something impossible (window exceeded, unknown token id)
  out_of_memory,  // host or device
  device,         // a device stopped working; the engine drops its model
  io,             // reading or writing failed
};

/// Thrown for whatever ends the task at hand. `what()` is one sentence that names the file, tensor or
/// layer, says what is wrong and, where it can, what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace lectern

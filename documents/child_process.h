// One lectern-reader process: started, spoken to with time limits, and surely gone afterwards.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <stop_token>
#include <string>

#include "documents/error.h"
#include "documents/reader_protocol.h"

namespace lectern::documents {

/// Closes on destruction; -1 is none.
class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  int get() const { return value_; }
  int release();

 private:
  int value_;
};

class ChildProcess {
 public:
  /// Starts `program` with `document` (may be -1) as its document descriptor. `subject` begins every error. Throws
  /// Error{setup}.
  ChildProcess(const std::string& program, int document, std::string subject);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  /// Kills and reaps.
  ~ChildProcess();

  /// Sends a request and waits for its answer. An answer {"error", "message"} is thrown as Error. If the child dies, is
  /// silent for `timeout`, breaks the protocol, or `stop` is set, it is killed, and this and every later call throws.
  protocol::Message ask(const protocol::Message& request, std::chrono::milliseconds timeout, std::stop_token stop);
  pid_t id() const { return id_; }

 private:
  void wait_until(short events, std::chrono::steady_clock::time_point deadline, int wake, const std::stop_token& stop);
  void send_all(std::string_view bytes, std::chrono::steady_clock::time_point deadline, int wake,
                const std::stop_token& stop);
  std::string receive(std::int64_t bytes, std::chrono::steady_clock::time_point deadline, int wake,
                      const std::stop_token& stop);
  [[noreturn]] void fail(ErrorKind kind, const std::string& what);
  [[noreturn]] void fail_by_death();
  void end();

  std::string subject_;
  Descriptor socket_;
  pid_t id_ = -1;
  int status_ = 0;
  ErrorKind failure_kind_ = ErrorKind::crashed;
  std::string failure_;  // not empty: the process is gone
};

}  // namespace lectern::documents

// Runs programs of the build as child processes, for tests of whole programs.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace lectern::test {

struct ProcessResult {
  int exit_code = -1;  // 128 + signal if it was killed
  std::string output;  // stdout
  std::string errors;  // stderr
};

/// Runs to the end. `environment` is added to (and replaces parts of) this process's own.
ProcessResult run_process(const std::vector<std::string>& command,
                          const std::map<std::string, std::string>& environment = {}, const std::string& input = {});

/// A program that is running; killed when it goes out of scope.
class RunningProcess {
 public:
  RunningProcess(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment);
  ~RunningProcess();
  RunningProcess(const RunningProcess&) = delete;
  RunningProcess& operator=(const RunningProcess&) = delete;

  /// Reads stdout until it holds at least `bytes` bytes or `timeout_s` has passed; returns all that was read so far.
  const std::string& read_output(std::size_t bytes, double timeout_s);
  void send_signal(int signal);
  int wait();  // exit code, 128 + signal if it was killed
  std::string errors() const;

 private:
  int pid_ = -1;
  int output_ = -1;
  std::string text_;
  std::string errors_file_;
};

/// A folder that is removed at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }
  /// XDG_* variables that keep a program inside this folder.
  std::map<std::string, std::string> environment() const;

 private:
  std::string path_;
};

/// The program NAME of this build.
std::string program(const std::string& name);
/// The default model, if installer/run or installer/test has fetched it; else empty.
std::string default_model();

}  // namespace lectern::test

#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace lectern::test {

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Starts the command with the three streams given as file descriptors.
pid_t start(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment, int input,
            int output, int errors) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=');
    variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : environment) variables[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : variables) lines.push_back(name + "=" + value);
  std::vector<char*> arguments, block;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  for (const std::string& line : lines) block.push_back(const_cast<char*>(line.c_str()));
  arguments.push_back(nullptr);
  block.push_back(nullptr);

  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("fork failed");
  if (pid == 0) {
    dup2(input, 0);
    dup2(output, 1);
    dup2(errors, 2);
    execve(arguments[0], arguments.data(), block.data());
    _exit(127);
  }
  return pid;
}

int exit_code(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string temporary_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "lectern-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder could be made");
  return name;
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& command,
                          const std::map<std::string, std::string>& environment, const std::string& input) {
  const TemporaryFolder folder;
  const std::string in = folder.path() + "/in", out = folder.path() + "/out", err = folder.path() + "/err";
  std::ofstream(in, std::ios::binary) << input;
  const int input_file = open(in.c_str(), O_RDONLY | O_CLOEXEC);
  const int output_file = open(out.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const int errors_file = open(err.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const pid_t pid = start(command, environment, input_file, output_file, errors_file);
  int status = 0;
  waitpid(pid, &status, 0);
  close(input_file);
  close(output_file);
  close(errors_file);
  return {exit_code(status), read_file(out), read_file(err)};
}

RunningProcess::RunningProcess(const std::vector<std::string>& command,
                               const std::map<std::string, std::string>& environment) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  errors_file_ = temporary_folder() + "/err";
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int errors_file = open(errors_file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  pid_ = start(command, environment, null, ends[1], errors_file);
  close(null);
  close(errors_file);
  close(ends[1]);
  output_ = ends[0];
}

RunningProcess::~RunningProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (output_ >= 0) close(output_);
  std::error_code ignored;
  std::filesystem::remove_all(std::filesystem::path(errors_file_).parent_path(), ignored);
}

const std::string& RunningProcess::read_output(std::size_t bytes, double timeout_s) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  while (text_.size() < bytes && std::chrono::steady_clock::now() < deadline) {
    pollfd wanted{output_, POLLIN, 0};
    if (poll(&wanted, 1, 50) <= 0) continue;
    char buffer[4096];
    const ssize_t count = read(output_, buffer, sizeof buffer);
    if (count <= 0) break;
    text_.append(buffer, static_cast<std::size_t>(count));
  }
  return text_;
}

void RunningProcess::send_signal(int signal) {
  kill(pid_, signal);
}

int RunningProcess::wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return exit_code(status);
}

std::string RunningProcess::errors() const {
  return read_file(errors_file_);
}

TemporaryFolder::TemporaryFolder() : path_(temporary_folder()) {}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::map<std::string, std::string> TemporaryFolder::environment() const {
  return {
      {"XDG_DATA_HOME", path_ + "/data"}, {"XDG_CONFIG_HOME", path_ + "/config"}, {"XDG_CACHE_HOME", path_ + "/cache"}};
}

std::string program(const std::string& name) {
  return std::string(LECTERN_BINARY_DIR) + "/bin/" + name;
}

std::string default_model() {
  const char* data = std::getenv("XDG_DATA_HOME");
  const char* home = std::getenv("HOME");
  const std::string folder =
      data != nullptr && *data != '\0' ? data : std::string(home == nullptr ? "" : home) + "/.local/share";
  const std::string file = folder + "/lectern/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  return std::filesystem::exists(file) ? file : "";
}

}  // namespace lectern::test

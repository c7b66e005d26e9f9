// posix_spawn with a socket pair as the child's standard input: one descriptor for both directions, MSG_NOSIGNAL
// instead of a global SIGPIPE handler, and nothing that a library prints can reach it (standard output and error go to
// /dev/null unless LECTERN_READER_VERBOSE is set). The environment is reduced to what fonts and encodings need. Waiting
// is poll() on the socket and on an event descriptor that the stop token writes to, so a stop takes effect at once.
#include "documents/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

extern char** environ;

namespace lectern::documents {
namespace {

constexpr std::array<std::string_view, 12> kept_variables = {
    "PATH=",       "HOME=",         "LANG=",          "LC_",
    "TMPDIR=",     "XDG_",          "FONTCONFIG_",    "LD_LIBRARY_PATH=",
    "GCONV_PATH=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LECTERN_READER_VERBOSE="};

std::vector<char*> reduced_environment() {
  std::vector<char*> kept;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (std::any_of(kept_variables.begin(), kept_variables.end(),
                    [&](std::string_view k) { return text.starts_with(k); })) {
      kept.push_back(*variable);
    }
  }
  kept.push_back(nullptr);
  return kept;
}

/// A copy beyond the numbers that the child gets its own descriptors under.
Descriptor moved_up(int descriptor) {
  return Descriptor(fcntl(descriptor, F_DUPFD_CLOEXEC, 16));
}

struct FileActions {
  posix_spawn_file_actions_t actions;
  FileActions() { posix_spawn_file_actions_init(&actions); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
};

struct Attributes {
  posix_spawnattr_t value;
  Attributes() { posix_spawnattr_init(&value); }
  ~Attributes() { posix_spawnattr_destroy(&value); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
};

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    if (value_ >= 0) ::close(value_);
    value_ = other.release();
  }
  return *this;
}

Descriptor::~Descriptor() {
  if (value_ >= 0) ::close(value_);
}

int Descriptor::release() {
  const int value = value_;
  value_ = -1;
  return value;
}

ChildProcess::ChildProcess(const std::string& program, int document, std::string subject)
    : subject_(std::move(subject)) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    throw Error(ErrorKind::setup, subject_ + ": no pipe to the reader: " + std::strerror(errno));
  }
  socket_ = Descriptor(pair[0]);
  const Descriptor low(pair[1]);
  const Descriptor theirs = moved_up(low.get());
  const Descriptor file = document >= 0 ? moved_up(document) : Descriptor();
  if (theirs.get() < 0 || (document >= 0 && file.get() < 0)) {
    throw Error(ErrorKind::setup, subject_ + ": too many open files: " + std::strerror(errno));
  }

  FileActions actions;
  posix_spawn_file_actions_adddup2(&actions.actions, theirs.get(), protocol::socket_descriptor);
  if (getenv("LECTERN_READER_VERBOSE") == nullptr) {
    posix_spawn_file_actions_addopen(&actions.actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions.actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  }
  if (document >= 0) posix_spawn_file_actions_adddup2(&actions.actions, file.get(), protocol::document_descriptor);

  Attributes attributes;
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (int signal : {SIGPIPE, SIGINT, SIGTERM, SIGXCPU, SIGABRT, SIGSEGV, SIGBUS}) sigaddset(&defaults, signal);
  posix_spawnattr_setsigmask(&attributes.value, &none);
  posix_spawnattr_setsigdefault(&attributes.value, &defaults);
  posix_spawnattr_setflags(&attributes.value, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::string name = "lectern-reader";
  std::array<char*, 2> arguments = {name.data(), nullptr};
  std::vector<char*> environment = reduced_environment();
  const int failed =
      posix_spawn(&id_, program.c_str(), &actions.actions, &attributes.value, arguments.data(), environment.data());
  if (failed != 0) {
    id_ = -1;
    throw Error(ErrorKind::setup, program + ": the document reader cannot be started: " + std::strerror(failed));
  }
}

ChildProcess::~ChildProcess() {
  end();
}

void ChildProcess::end() {
  socket_ = Descriptor();
  if (id_ <= 0) return;
  kill(id_, SIGKILL);
  while (waitpid(id_, &status_, 0) < 0 && errno == EINTR) {
  }
  id_ = -1;
}

void ChildProcess::fail(ErrorKind kind, const std::string& what) {
  failure_kind_ = kind;
  failure_ = subject_ + ": " + what;
  end();
  throw Error(failure_kind_, failure_);
}

void ChildProcess::fail_by_death() {
  // The other end is closed: the child is dead or about to be. What it died of decides the error.
  for (int waited_ms = 0; waited_ms < 2000; waited_ms += 10) {
    const pid_t done = waitpid(id_, &status_, WNOHANG);
    if (done == id_) {
      id_ = -1;
      break;
    }
    usleep(10'000);
  }
  if (id_ > 0) fail(ErrorKind::crashed, "the reader stopped answering");
  if (WIFSIGNALED(status_)) {
    const int signal = WTERMSIG(status_);
    if (signal == SIGXCPU) fail(ErrorKind::timed_out, "takes too long to read; it was left out");
    if (signal == SIGKILL) fail(ErrorKind::too_large, "the reader was killed, probably for lack of memory");
    fail(ErrorKind::crashed,
         std::string("the reader crashed on it (") + strsignal(signal) + "); the file is damaged or hostile");
  }
  const int code = WEXITSTATUS(status_);
  if (code == protocol::exit_out_of_memory) fail(ErrorKind::too_large, "needs more memory than a document may use");
  if (code == protocol::exit_no_sandbox)
    fail(ErrorKind::setup, "the reader could not confine itself; nothing was read");
  fail(ErrorKind::crashed, "the reader ended unexpectedly (code " + std::to_string(code) + ")");
}

void ChildProcess::wait_until(short events, std::chrono::steady_clock::time_point deadline, int wake,
                              const std::stop_token& stop) {
  for (;;) {
    if (stop.stop_requested()) fail(ErrorKind::cancelled, "stopped");
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) fail(ErrorKind::timed_out, "takes too long to read; it was left out");
    std::array<pollfd, 2> descriptors = {pollfd{socket_.get(), events, 0}, pollfd{wake, POLLIN, 0}};
    const int ready = poll(descriptors.data(), descriptors.size(), static_cast<int>(std::min<long long>(left, 60'000)));
    if (ready < 0 && errno != EINTR)
      fail(ErrorKind::crashed, std::string("waiting for the reader failed: ") + std::strerror(errno));
    if (ready > 0 && descriptors[0].revents != 0) return;
  }
}

void ChildProcess::send_all(std::string_view bytes, std::chrono::steady_clock::time_point deadline, int wake,
                            const std::stop_token& stop) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      wait_until(POLLOUT, deadline, wake, stop);
    } else if (errno != EINTR) {
      fail_by_death();
    }
  }
}

std::string ChildProcess::receive(std::int64_t bytes, std::chrono::steady_clock::time_point deadline, int wake,
                                  const std::stop_token& stop) {
  // Grows with what really comes, so that a lying length costs nothing.
  std::string out;
  std::vector<char> buffer(std::size_t{1} << 18U);
  while (static_cast<std::int64_t>(out.size()) < bytes) {
    wait_until(POLLIN, deadline, wake, stop);
    const auto want = std::min(buffer.size(), static_cast<std::size_t>(bytes) - out.size());
    const ssize_t got = recv(socket_.get(), buffer.data(), want, MSG_DONTWAIT);
    if (got > 0) {
      out.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
      fail_by_death();
    }
  }
  return out;
}

protocol::Message ChildProcess::ask(const protocol::Message& request, std::chrono::milliseconds timeout,
                                    std::stop_token stop) {
  if (!failure_.empty()) throw Error(failure_kind_, failure_);
  const Descriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const std::stop_callback on_stop(stop, [&wake] {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake.get(), &one, sizeof(one));
  });
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  send_all(protocol::encode(request), deadline, wake.get(), stop);

  protocol::Message answer;
  try {
    const protocol::FrameLengths lengths =
        protocol::decode_lengths(receive(protocol::frame_bytes, deadline, wake.get(), stop));
    answer.header = nlohmann::json::parse(receive(lengths.header, deadline, wake.get(), stop));
    answer.body = receive(lengths.body, deadline, wake.get(), stop);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& broken) {
    fail(ErrorKind::crashed, std::string("the reader answered nonsense: ") + broken.what());
  }
  if (!answer.header.is_object()) fail(ErrorKind::crashed, "the reader answered nonsense: no object");
  if (const auto error = answer.header.find("error"); error != answer.header.end()) {
    const auto message = answer.header.value("message", std::string("cannot be read"));
    for (ErrorKind kind : {ErrorKind::missing, ErrorKind::permission, ErrorKind::empty, ErrorKind::encrypted,
                           ErrorKind::damaged, ErrorKind::unsupported, ErrorKind::too_large, ErrorKind::timed_out}) {
      if (*error == name(kind)) throw Error(kind, subject_ + ": " + message);
    }
    throw Error(ErrorKind::damaged, subject_ + ": " + message);
  }
  return answer;
}

}  // namespace lectern::documents

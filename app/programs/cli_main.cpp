// lectern-cli: the program without a window. Signals are taken by a thread of their own, so that a stop is an ordinary
// value.
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "app/cli.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  signal(SIGPIPE, SIG_IGN);  // a reader that went away is a failed write
  sigset_t stopping;
  sigemptyset(&stopping);
  sigaddset(&stopping, SIGINT);
  sigaddset(&stopping, SIGTERM);
  sigaddset(&stopping, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &stopping, nullptr);

  std::stop_source stop;
  std::atomic<int> received = 0;
  std::jthread watcher([&](std::stop_token end) {
    const timespec pause = {0, 100'000'000};
    while (!end.stop_requested()) {
      const int signal_number = sigtimedwait(&stopping, nullptr, &pause);
      if (signal_number <= 0) continue;
      if (received.exchange(signal_number) != 0) _exit(128 + signal_number);  // the second one does not wait
      stop.request_stop();
    }
  });
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const lectern::app::CliStreams streams{std::cin, std::cout, std::cerr, isatty(STDERR_FILENO) != 0};
  const int status = lectern::app::run_cli(arguments, streams, stop.get_token());
  return status == 0 && received != 0 ? 128 + received : status;
}

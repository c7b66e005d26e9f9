#include "faults.h"

#include <signal.h>

#include <cstdio>
#include <cstdlib>

#include "device_memory.h"
#include "machine.h"
#include "sanitizers.h"

namespace emu {

namespace {

// Not what a signal handler may do in general (it allocates); here the fault was in a kernel, on another stack.
void explain(int number, siginfo_t* info, void*) {
  signal(number, SIG_DFL);
  if (active_machine && machine().is_running()) {
    const std::string what = machine().is_stack_overflow(info->si_addr) ? "stack overflow of a CUDA thread"
                                                                        : memory().describe(info->si_addr);
    std::fprintf(stderr, "cuda emulator (order %s): memory fault at %p: %s%s\n", describe(settings()).c_str(),
                 info->si_addr, what.empty() ? "not the device's memory" : what.c_str(), machine().where().c_str());
  }
  raise(number);
}

}  // namespace

void install_fault_handler() {
  static bool installed = false;
  if (installed || address_sanitized || thread_sanitized) return;
  installed = true;
  static char stack[1 << 16];
  stack_t alternate{};
  alternate.ss_sp = stack;
  alternate.ss_size = sizeof stack;
  sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_sigaction = explain;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace emu

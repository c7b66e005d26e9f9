// The allow-list was written from what earlier trials needed and checked with real files and a Chinese PDF: poppler's
// character maps, fontconfig and iconv open files at any time, so opening for reading stays allowed, and so does
// mapping code (iconv loads its tables as libraries). What is not listed fails with ENOSYS, which the C library knows
// how to live with on kernels and versions newer than this list.
#include "documents/sandbox.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "documents/reader_protocol.h"

namespace lectern::documents {
namespace {

constexpr int allowed[] = {SCMP_SYS(read),
                           SCMP_SYS(write),
                           SCMP_SYS(writev),
                           SCMP_SYS(pread64),
                           SCMP_SYS(readv),
                           SCMP_SYS(close),
                           SCMP_SYS(fstat),
                           SCMP_SYS(newfstatat),
                           SCMP_SYS(stat),
                           SCMP_SYS(lstat),
                           SCMP_SYS(statx),
                           SCMP_SYS(statfs),
                           SCMP_SYS(fstatfs),
                           SCMP_SYS(lseek),
                           SCMP_SYS(getdents64),
                           SCMP_SYS(access),
                           SCMP_SYS(faccessat),
                           SCMP_SYS(faccessat2),
                           SCMP_SYS(readlink),
                           SCMP_SYS(readlinkat),
                           SCMP_SYS(getcwd),
                           SCMP_SYS(fcntl),
                           SCMP_SYS(dup),
                           SCMP_SYS(fadvise64),
                           SCMP_SYS(mmap),
                           SCMP_SYS(munmap),
                           SCMP_SYS(mremap),
                           SCMP_SYS(mprotect),
                           SCMP_SYS(madvise),
                           SCMP_SYS(brk),
                           SCMP_SYS(futex),
                           SCMP_SYS(clock_gettime),
                           SCMP_SYS(gettimeofday),
                           SCMP_SYS(time),
                           SCMP_SYS(clock_nanosleep),
                           SCMP_SYS(nanosleep),
                           SCMP_SYS(getpid),
                           SCMP_SYS(gettid),
                           SCMP_SYS(tgkill),
                           SCMP_SYS(rt_sigaction),
                           SCMP_SYS(rt_sigprocmask),
                           SCMP_SYS(rt_sigreturn),
                           SCMP_SYS(sigaltstack),
                           SCMP_SYS(exit),
                           SCMP_SYS(exit_group),
                           SCMP_SYS(uname),
                           SCMP_SYS(getuid),
                           SCMP_SYS(geteuid),
                           SCMP_SYS(getgid),
                           SCMP_SYS(getegid),
                           SCMP_SYS(getrandom),
                           SCMP_SYS(sysinfo),
                           SCMP_SYS(sched_getaffinity),
                           SCMP_SYS(sched_yield),
                           SCMP_SYS(getrlimit),
                           SCMP_SYS(getrusage),
                           SCMP_SYS(times),
                           SCMP_SYS(restart_syscall),
                           SCMP_SYS(set_robust_list),
                           SCMP_SYS(rseq),
                           SCMP_SYS(poll),
                           SCMP_SYS(getppid),
                           SCMP_SYS(chdir),
                           SCMP_SYS(fchdir)};

void check(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + " failed");
}

void install_filter() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), seccomp_release);
  if (!filter) throw std::runtime_error("seccomp_init failed");
  for (int call : allowed) {
    const int result = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
    if (result != -EDOM) check(result, "seccomp_rule_add");  // EDOM: no such call on this processor
  }
  constexpr std::uint64_t writing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
  const auto read_only = [&filter](int call, unsigned argument) {
    const int result =
        seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 1, SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, writing, 0));
    if (result != -EDOM) check(result, "seccomp_rule_add");
  };
  read_only(SCMP_SYS(open), 1);
  read_only(SCMP_SYS(openat), 2);
  // Only its own limits, and only the one on processor time, which is set anew for each request.
  check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0),
                         SCMP_A1(SCMP_CMP_EQ, RLIMIT_CPU)),
        "seccomp_rule_add");
  check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0),
                         SCMP_A2(SCMP_CMP_EQ, 0)),
        "seccomp_rule_add");
  check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, TCGETS)),
        "seccomp_rule_add");
  check(seccomp_load(filter.get()), "seccomp_load");
}

void set_limit(__rlimit_resource resource, rlim_t value) {
  rlimit limit{};
  check(getrlimit(resource, &limit), "getrlimit");
  limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? value : std::min(value, limit.rlim_max);
  if (resource != RLIMIT_CPU) limit.rlim_max = limit.rlim_cur;
  check(setrlimit(resource, &limit), "setrlimit");
}

extern "C" void leave_out_of_memory(int) {
  // poppler aborts when malloc fails. Other aborts keep their own cause: memory is short only if little can still be
  // mapped.
  void* probe = mmap(nullptr, std::size_t{128} << 20U, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (probe == MAP_FAILED) _exit(protocol::exit_out_of_memory);
  signal(SIGABRT, SIG_DFL);
  raise(SIGABRT);
}

}  // namespace

void allow_processor_time(double seconds) {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const double so_far = static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1;
  set_limit(RLIMIT_CPU, static_cast<rlim_t>(std::ceil(so_far + seconds)));
}

void confine(std::int64_t memory_bytes) {
  set_limit(RLIMIT_CORE, 0);
#ifndef __SANITIZE_ADDRESS__  // its shadow memory needs terabytes of address space
  set_limit(RLIMIT_AS, static_cast<rlim_t>(memory_bytes));
#endif
  set_limit(RLIMIT_FSIZE, 0);
  std::set_new_handler([] { _exit(protocol::exit_out_of_memory); });
  signal(SIGABRT, leave_out_of_memory);
  check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl");
  check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl");
  install_filter();
}

}  // namespace lectern::documents

// The processor is asked once what it can do; the operating system's support for the wide registers is part of the
// answer
// (__builtin_cpu_supports checks both). One thread per physical core: a second one on the same core shares the
// multipliers that the first keeps busy.
#include "kernels/device.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#endif

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/rotary_table.h"
#include "kernels/cpu/scratch.h"
#include "kernels/error.h"

namespace lectern::kernels {

namespace {

const cpu::InnerLoops& loops_of([[maybe_unused]] CpuPath path) {
#if defined(LECTERN_X86_PATHS)
  if (path == CpuPath::avx512_vnni) return cpu::avx512_vnni_loops();
  if (path == CpuPath::avx512) return cpu::avx512_loops();
  if (path == CpuPath::avx2) return cpu::avx2_loops();
#endif
  return cpu::generic_loops();
}

#if defined(__linux__)
int first_number(const std::string& path) {
  std::ifstream file(path);
  int number = -1;
  file >> number;
  return file ? number : -1;
}
#endif

/// Physical cores among the processors this process may run on.
int usable_cores() {
#if defined(__linux__)
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    std::set<std::pair<int, int>> cores;
    int processors = 0;
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (!CPU_ISSET(i, &allowed)) continue;
      ++processors;
      const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(i) + "/topology/";
      const int core = first_number(topology + "core_id");
      cores.emplace(core < 0 ? -1 - i : first_number(topology + "physical_package_id"), core < 0 ? i : core);
    }
    if (processors > 0) return static_cast<int>(cores.size());
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

}  // namespace

CpuPath best_cpu_path() {
#if defined(LECTERN_X86_PATHS)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return __builtin_cpu_supports("avx512vnni") ? CpuPath::avx512_vnni : CpuPath::avx512;
  if (avx2) return CpuPath::avx2;
#endif
  return CpuPath::generic;
}

const char* name(CpuPath path) {
  switch (path) {
    case CpuPath::avx2: return "avx2";
    case CpuPath::avx512: return "avx512";
    case CpuPath::avx512_vnni: return "avx512 vnni";
    case CpuPath::generic: break;
  }
  return "generic";
}

bool is_available(Backend backend) {
  return backend == Backend::cpu;
}

std::string describe_cpu() {
  const int threads = usable_cores();
  return processor_name() + ", " + std::to_string(threads) + (threads == 1 ? " thread, " : " threads, ") +
         name(best_cpu_path());
}

Stream::Stream(int threads, CpuPath path) : path_(path), loops_(&loops_of(path)) {
  if (path > best_cpu_path())
    throw Error(ErrorKind::unsupported, std::string("this processor cannot run the ") + name(path) + " kernels");
  if (threads <= 0) threads = usable_cores();
  scratch_ = std::make_unique<cpu::Scratch>(threads);
  rotary_table_ = std::make_unique<cpu::RotaryTable>();
  pool_ = std::make_unique<cpu::ThreadPool>(threads);
}

Stream::~Stream() = default;

}  // namespace lectern::kernels

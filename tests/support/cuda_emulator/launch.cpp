// What the driver would refuse, and what it would only crash on, checked at the launch.
#include "launch.h"

#include <unistd.h>

#include <algorithm>
#include <map>

#include "device_memory.h"
#include "faults.h"
#include "sanitizers.h"
#include "streams.h"

namespace emu {

namespace {

std::map<const void*, std::size_t>& allowed_shared() {
  static auto& instance = *new std::map<const void*, std::size_t>;
  return instance;
}

std::string pending_complaint;  // of the arguments of the launch that is being put together

/// Static shared memory is known at a kernel's first use of a variable only; SharedMemory checks the sum.
constexpr std::size_t default_shared_bytes = std::size_t{48} << 10;

std::string argument_name(const char* kernel, int argument) {
  return std::string("kernel ") + kernel + ", argument " + std::to_string(argument);
}

}  // namespace

void allow_shared_bytes(const void* function, std::size_t bytes) {
  allowed_shared()[function] = bytes;
}

void check_pointer(const char* kernel, int argument, const void* pointer) {
  if (pointer == nullptr || memory().kind_of(pointer) != MemoryKind::pageable) return;
  const std::string known = memory().describe(pointer);
  pending_complaint = argument_name(kernel, argument) + ": the pointer is " + (known.empty() ? "the host's" : known);
}

void check_structure(const char* kernel, int argument, const void* structure, std::size_t size) {
  const char* stack_begin = nullptr;
  std::size_t stack_bytes = 0;
  Fiber here;
  here.adopt_host_stack();
  stack_begin = here.stack_bottom();
  stack_bytes = here.stack_bytes();
  static char* const heap_begin = static_cast<char*>(sbrk(0)) - (std::size_t{1} << 20);
  const char* heap_end = static_cast<char*>(sbrk(0));
  for (std::size_t at = 0; at + sizeof(void*) <= size; at += sizeof(void*)) {
    const char* word = nullptr;
    __builtin_memcpy(&word, static_cast<const char*>(structure) + at, sizeof word);
    const bool host = (word >= stack_begin && word < stack_begin + stack_bytes) ||
                      (word >= heap_begin && word < heap_end && heap_begin != nullptr);
    if (host)
      pending_complaint = argument_name(kernel, argument) + ": the pointer at byte " + std::to_string(at) +
                          " of the structure is the host's";
  }
}

cudaError_t submit(Grid grid, const void* function, cudaStream_t stream) {
  const std::string complaint = std::move(pending_complaint);
  pending_complaint.clear();
  if (runtime().fault() != cudaSuccess) return runtime().fault();
  const std::string name = "kernel " + grid.name;
  if (!complaint.empty()) return runtime().refuse(cudaErrorInvalidValue, complaint);
  const dim3 &g = grid.blocks, &b = grid.threads;
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > 0x7FFFFFFFu || g.y > 65535 || g.z > 65535)
    return runtime().refuse(cudaErrorInvalidConfiguration, name + ": a grid of " + std::to_string(g.x) + " x " +
                                                               std::to_string(g.y) + " x " + std::to_string(g.z) +
                                                               " blocks");
  const std::uint64_t threads = std::uint64_t{b.x} * b.y * b.z;
  if (threads == 0 || threads > 1024 || b.z > 64)
    return runtime().refuse(cudaErrorInvalidConfiguration,
                            name + ": blocks of " + std::to_string(threads) + " threads");
  const auto allowed = allowed_shared().find(function);
  grid.shared_limit_bytes = std::max(default_shared_bytes, allowed == allowed_shared().end() ? 0 : allowed->second);
  if (grid.dynamic_shared_bytes > grid.shared_limit_bytes)
    return runtime().refuse(cudaErrorInvalidValue, name + ": " + std::to_string(grid.dynamic_shared_bytes) +
                                                       " bytes of dynamic shared memory, of which " +
                                                       std::to_string(grid.shared_limit_bytes) + " are allowed");
  // The opted-in limit counts dynamic memory; static memory comes on top, up to what a block can have.
  grid.shared_limit_bytes = settings().shared_bytes_limit;
  const std::uint64_t blocks = std::uint64_t{g.x} * g.y * g.z;
  const std::uint64_t resident = static_cast<std::uint64_t>(settings().multiprocessors) *
                                 std::max<std::uint64_t>(1, std::min<std::uint64_t>(2048 / threads, 4));
  if (grid.cooperative && blocks > resident)
    return runtime().refuse(cudaErrorCooperativeLaunchTooLarge, name + ": " + std::to_string(blocks) +
                                                                    " blocks of a cooperative launch, of which " +
                                                                    std::to_string(resident) + " fit");
  install_fault_handler();
  auto shared_grid = std::make_shared<Grid>(std::move(grid));
  Work work;
  work.name = name;
  work.grid = shared_grid;
  work.run = [shared_grid] {
    std::string report = machine_number(0).run(*shared_grid);
    if (!report.empty()) runtime().set_fault(cudaErrorLaunchFailure, std::move(report));
  };
  return runtime().add(stream, std::move(work), cudaGraphNodeTypeKernel);
}

}  // namespace emu

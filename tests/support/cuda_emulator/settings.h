// What a test may choose about the emulated device, and how the emulator reports a fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace emu {

/// Where in a kernel's source something was called. As a default argument, `here()` is the caller's position.
struct Place {
  const char* file = "";
  int line = 0;
  static constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
  bool operator==(const Place& other) const { return file == other.file && line == other.line; }
};

/// In which order ready threads and waiting blocks run.
enum class Order {
  natural,  // first come, first served; blocks from the first to the last
  reverse,  // newest first, threads and blocks from the last to the first
  random,  // even seeds: uniform; odd seeds: newest first with one random choice in 16, so that one warp runs far ahead
};

struct Settings {
  Order order = Order::natural;
  std::uint64_t seed = 0;
  int resident_blocks = 2;                          // blocks that are alive and interleaved at once
  int multiprocessors = 4;                          // reported to the program
  std::size_t shared_bytes_limit = 99 << 10;        // per block, opted in: that of the consumer cards (8.6, 8.9, 12.0)
  std::size_t device_bytes = std::size_t{2} << 30;  // cudaMalloc fails beyond
  std::size_t idle_turns_limit = std::size_t{1} << 22;  // __nanosleep in a row without any other event
};

/// Settings of the following launches. At first LECTERN_CUDA_ORDER=natural|reverse|random:SEED and
/// LECTERN_CUDA_RESIDENT=BLOCKS.
Settings& settings();
/// "random:7", as LECTERN_CUDA_ORDER is written.
std::string describe(const Settings& settings);
/// Throws std::invalid_argument.
void set_order(Settings& settings, const std::string& text);

/// The report of the fault that made the runtime return cudaErrorLaunchFailure or cudaErrorInvalidValue last; empty
/// after cudaDeviceReset() or clear_fault().
const std::string& fault_report();
/// As if the process had started anew: forgets the fault, and work that had not run.
void clear_fault();

/// A small generator of its own: the same numbers on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0x632BE59BD9B4E019u) {}
  std::uint64_t bits() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ * 0x2545F4914F6CDD1Du;
  }
  std::uint64_t below(std::uint64_t n) { return (bits() >> 32) * n >> 32; }

 private:
  std::uint64_t state_;
};

}  // namespace emu

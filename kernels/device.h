// Where operations run: a backend (CPU now, CUDA beside it) and a stream of work on it.
#pragma once

#include <memory>
#include <string>

#include "kernels/cpu/thread_pool.h"

namespace lectern::kernels {

namespace cpu {
struct InnerLoops;
class Scratch;
class RotaryTable;
}  // namespace cpu

enum class Backend { cpu, cuda };

/// Instruction path of the CPU kernels, chosen once at run time from what the processor has.
enum class CpuPath { generic, avx2, avx512, avx512_vnni };

/// Widest path this processor can run.
CpuPath best_cpu_path();
const char* name(CpuPath path);
/// True if this build holds the backend and the machine has a device for it.
bool is_available(Backend backend);
/// One line for people: "AMD EPYC, 2 threads, avx512".
std::string describe_cpu();

/// An ordered queue of operations on one device. On the CPU an operation has finished when its call returns.
/// Not thread-safe: one stream belongs to one thread at a time.
class Stream {
 public:
  /// CPU stream with `threads` workers (0: one per physical core the process may use).
  /// `path` is for tests: never wider than best_cpu_path().
  explicit Stream(int threads = 0, CpuPath path = best_cpu_path());
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Backend backend() const { return Backend::cpu; }
  CpuPath cpu_path() const { return path_; }
  cpu::ThreadPool& pool() { return *pool_; }
  /// For the operations: the loops of this path, and memory that is kept between calls.
  const cpu::InnerLoops& loops() const { return *loops_; }
  cpu::Scratch& scratch() { return *scratch_; }
  cpu::RotaryTable& rotary_table() { return *rotary_table_; }
  /// Waits for all work of this stream.
  void synchronize() {}

 private:
  CpuPath path_;
  const cpu::InnerLoops* loops_;
  std::unique_ptr<cpu::Scratch> scratch_;
  std::unique_ptr<cpu::RotaryTable> rotary_table_;
  std::unique_ptr<cpu::ThreadPool> pool_;
};

}  // namespace lectern::kernels

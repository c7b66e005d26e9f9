// The emulated multiprocessors: threads, warps, blocks, and who runs next. Everything runs on one thread of the host.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fiber.h"
#include "settings.h"
#include "shared_memory.h"

// As in CUDA; rewritten whenever another thread goes on. Not macros: members of CUDA's own structures have these names.
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace emu {

struct Block;
struct Thread;

/// A group of lanes that exchange values: filled as lanes arrive, carried out by the last one.
struct Collective {
  unsigned mask = 0, arrived = 0;
  const char* operation = "";
  int parameter = 0;  // width of a shuffle
  Place place;
  const void* in[32];  // operands and results, on the stacks of their lanes
  void* out[32];
  void (*exchange)(Collective&) = nullptr;  // runs once, on the last lane to arrive
  unsigned phase = 0;
  char edges[2];  // for ThreadSanitizer: alternate, so that who is late acquires nothing of the next phase
};

struct Warp {
  int first_thread = 0;
  unsigned exited = 0;   // lanes; those that the block never had count as exited
  unsigned pending = 0;  // slots in use
  Collective slots[32];  // one per lowest lane of a mask: disjoint masks coexist
};

struct Barrier {
  int arrived = 0;
  int needed = 0;  // 0: every thread that is alive
  Place place;
  int count = 0;                         // of true predicates
  int last_count = 0, last_arrived = 0;  // of the phase that ended last
  unsigned phase = 0;
  char edges[2];
};

/// One cp.async that has been issued and not waited for.
struct AsyncCopy {
  unsigned char* to;
  const unsigned char* from;
  int bytes, valid_bytes;  // the rest is zeroed
};

struct Thread {
  Fiber fiber;
  Block* block = nullptr;
  Warp* warp = nullptr;
  uint3 index{};
  int number = 0, lane = 0;
  bool alive = false;
  bool fenced_block = false, fenced_device = false;  // __threadfence was called since the block's start
  const void* waits_for = nullptr;                   // a Barrier or Collective
  const char* waits_in = "";
  Place waits_at;
  std::vector<AsyncCopy> copies;    // oldest first
  std::vector<std::size_t> groups;  // copies of each committed group, oldest first
  std::size_t uncommitted = 0;      // of `copies`, at the end
};

inline constexpr int named_barriers = 16;  // 0 is __syncthreads

struct Block {
  uint3 index{};
  int thread_count = 0, live = 0;
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<std::unique_ptr<Warp>> warps;
  Barrier barriers[named_barriers];
  SharedMemory shared;
  unsigned generation = 0;
  char end_edges[2];  // threads release to [generation % 2], those of the slot's next block acquire it
};

struct Grid {
  std::string name;
  dim3 blocks, threads;
  std::size_t dynamic_shared_bytes = 0, shared_limit_bytes = 0;
  bool cooperative = false;
  bool dependent = false;     // by LAUNCH_DEPENDENT: may begin before the kernel in front has ended
  std::function<void()> run;  // one thread's work
};

class Machine {
 public:
  /// Runs the whole grid. Returns the report of a fault, empty if there was none.
  std::string run(const Grid& grid);

  enum class Progress { ended, waits };
  /// The same in steps. `ahead`: the kernel in front has not run yet, so threads wait in wait_for_previous_grid();
  /// when no other can go on, begin() returns `waits`, and go_on() runs the rest when the time has come.
  Progress begin(const Grid& grid, bool ahead);
  Progress go_on();
  /// After the end: the host sees what the kernel wrote. Returns the report.
  const std::string& retire();
  /// Instead of go_on(): gives up a kernel that waits.
  void abandon();

  // What device functions call; all run on a CUDA thread.
  Thread& self() { return *current_; }
  /// True while a kernel runs.
  bool is_running() const { return current_ != nullptr; }

  /// Barrier `id` of the block; `needed` 0: all threads that are alive. Returns how many of those that arrived had
  /// `predicate` set, and through `arrived` how many arrived. Without `waits` it returns at once.
  int block_barrier(int id, int needed, bool waits, int predicate, const char* name, Place place,
                    int* arrived = nullptr);
  void grid_barrier(Place place);
  void wait_for_previous_grid(Place place);
  /// Waits for all lanes of `mask` that are alive; `orders_memory`: as __syncwarp does.
  void collective(unsigned mask, const char* operation, int parameter, const void* in, void* out,
                  void (*exchange)(Collective&), bool orders_memory, Place place);
  /// Lets others run. `idle`: the caller waits for what another thread will do (__nanosleep).
  void give_way(bool idle);
  /// True in one of 8 cases if the order is random.
  bool wants_to_yield() { return random_order_ && random_.below(8) == 0; }
  /// Ends the kernel with a report that names the thread and the place.
  [[noreturn]] void fail(const std::string& what, Place place);

  std::uint64_t switches() const { return switches_; }
  /// For the handler of memory faults: what runs, and whether `address` is behind the end of its stack.
  std::string where() const;
  bool is_stack_overflow(const void* address) const;

 private:
  static void thread_main();
  Progress enter();
  void start_block(Block& block);
  void end_thread();
  void finish_block(Block& block);
  void make_ready(Thread& thread) { ready_[tail_++ & (ready_.size() - 1)] = &thread; }
  Thread* take_ready();
  void wait_turn();  // the current thread goes on when it is ready and chosen
  void go_on_with(Thread& next);
  /// The thread that completes a barrier or collective goes on at once in natural order; else all stand in line.
  bool goes_on(const Thread* last) const { return last != nullptr && order_ == Order::natural; }
  int arrive(Barrier& barrier, Block* block, int needed, bool waits, int predicate, const char* name, Place place,
             int* arrived);
  void complete_barrier(Barrier& barrier, Block* block, Thread* last);
  void complete_collective(Block& block, Warp& warp, int slot, Thread* last);
  void recheck_waiters(Block& block, Warp& warp);
  [[noreturn]] void leave(std::string report);
  [[noreturn]] void deadlock();
  uint3 block_at(std::uint64_t step) const;

  const Grid* grid_ = nullptr;
  Fiber host_;
  Thread* current_ = nullptr;
  std::vector<std::unique_ptr<Block>> slots_;
  std::size_t slots_in_use_ = 0;
  std::vector<Thread*> ready_ = std::vector<Thread*>(1024);  // a ring; its size is a power of two
  std::uint64_t head_ = 0, tail_ = 0;
  std::uint64_t next_block_ = 0, block_count_ = 0, stride_ = 1, offset_ = 0;
  std::uint64_t live_threads_ = 0;
  Barrier grid_barrier_;
  Random random_{0};
  bool random_order_ = false, uniform_ = false;
  Order order_ = Order::natural;
  std::size_t idle_turns_ = 0;
  std::uint64_t launches_ = 0, switches_ = 0;
  bool fibers_abandoned_ = false;
  bool ahead_ = false;
  int waiting_for_previous_ = 0;  // threads
  char launch_edge_ = 0, previous_edge_ = 0;
  std::string report_;
};

/// The machine whose kernel runs. There are two, for a kernel and the one that begins ahead; they live until the
/// process ends.
inline Machine* active_machine = nullptr;
inline Machine& machine() {
  return *active_machine;
}
Machine& machine_number(int number);

}  // namespace emu

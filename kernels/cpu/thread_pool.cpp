// Decoding one token issues a few hundred loops of some ten microseconds, so starting and ending a loop must cost about
// one. Everything passes through one atomic word: [generation | open | joined workers]. The caller publishes a loop by
// raising the generation with the open bit set; a worker joins by adding one to the word while it is open, takes pieces
// from a shared counter and leaves by subtracting one. The caller works too, closes the word when the pieces are gone
// and waits only for those that joined: a worker that wakes late finds the word closed and delays nobody. Workers spin
// for some tens of microseconds before they sleep, which covers the gaps between the loops of one token.
#include "kernels/cpu/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lectern::kernels::cpu {

namespace {

constexpr std::uint64_t joined_mask = 0xffff;
constexpr std::uint64_t open_bit = 0x10000;
constexpr std::uint64_t generation_step = 0x20000;
constexpr int spins_before_sleep = 4000;   // about 50 us on a 3 GHz machine
constexpr int spins_before_yield = 20000;  // the caller waiting for the last piece

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

using Body = std::function<void(std::int64_t, std::int64_t, int)>;

}  // namespace

struct ThreadPool::State {
  std::atomic<std::uint64_t> word{0};
  std::atomic<bool> stop{false};
  std::atomic<int> sleepers{0};
  std::mutex mutex;
  std::condition_variable wake;

  // The loop of this generation: written before the word is opened, read only by those who joined.
  const Body* body = nullptr;
  std::int64_t count = 0;
  std::int64_t piece = 1;
  std::atomic<std::int64_t> next{0};
  std::mutex failure_mutex;
  std::exception_ptr failure;

  std::vector<std::thread> threads;

  void take_pieces(int worker) {
    try {
      for (;;) {
        const std::int64_t first = next.fetch_add(piece, std::memory_order_relaxed);
        if (first >= count) return;
        (*body)(first, std::min(first + piece, count), worker);
      }
    } catch (...) {
      next.store(count, std::memory_order_relaxed);
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
  }

  /// Waits for a generation other than `seen`; false when the pool ends.
  bool wait_for_loop(std::uint64_t seen) {
    const auto changed = [&] { return word.load() / generation_step != seen || stop.load(); };
    for (int spin = 0; spin < spins_before_sleep; ++spin) {
      if (changed()) return !stop.load();
      relax();
    }
    std::unique_lock lock(mutex);
    sleepers.fetch_add(1);
    wake.wait(lock, changed);
    sleepers.fetch_sub(1);
    return !stop.load();
  }

  void run_worker(int worker) {
    std::uint64_t seen = 0;
    while (wait_for_loop(seen)) {
      std::uint64_t current = word.load();
      seen = current / generation_step;
      bool joined = false;
      while (!joined && (current & open_bit) && current / generation_step == seen)
        joined = word.compare_exchange_weak(current, current + 1);
      if (!joined) continue;
      take_pieces(worker);
      word.fetch_sub(1);
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  for (int worker = 1; worker < threads; ++worker)
    state_->threads.emplace_back([state = state_.get(), worker] { state->run_worker(worker); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop.store(true);
  }
  state_->wake.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

int ThreadPool::size() const {
  return static_cast<int>(state_->threads.size()) + 1;
}

void ThreadPool::parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  if (size() == 1 || count <= grain) {
    body(0, count, 0);
    return;
  }
  State& state = *state_;
  // Four pieces per worker even out threads that the system delays.
  const std::int64_t share = (count + 4 * size() - 1) / (4 * size());
  state.body = &body;
  state.count = count;
  state.piece = std::max(grain, share);
  state.next.store(0, std::memory_order_relaxed);
  state.word.store(state.word.load() + generation_step + open_bit);  // nobody is joined between loops
  if (state.sleepers.load() > 0) {
    const std::lock_guard lock(state.mutex);
    state.wake.notify_all();
  }
  state.take_pieces(0);
  state.word.fetch_and(~open_bit);
  for (int spin = 0; (state.word.load() & joined_mask) != 0; ++spin) {
    if (spin < spins_before_yield)
      relax();
    else
      std::this_thread::yield();
  }
  if (state.failure) std::rethrow_exception(std::exchange(state.failure, nullptr));
}

}  // namespace lectern::kernels::cpu

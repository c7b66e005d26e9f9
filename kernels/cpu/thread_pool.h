// A fixed set of threads that run one parallel loop at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace lectern::kernels::cpu {

/// Not reentrant. The calling thread works too, so a pool of 1 starts no thread.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;
  /// Calls body(first, last, worker) over [0, count) in pieces of at least `grain`; returns when all are done.
  /// Which worker gets which piece is not fixed: results must not depend on it.
  void parallel_for(std::int64_t count, std::int64_t grain,
                    const std::function<void(std::int64_t first, std::int64_t last, int worker)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lectern::kernels::cpu

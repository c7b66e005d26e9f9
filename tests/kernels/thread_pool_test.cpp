#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace lectern::kernels::cpu {
namespace {

TEST(ThreadPool, VisitsEveryIndexOnceInEveryOfManyLoops) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int loop = 0; loop < 2000; ++loop) {
      const std::int64_t count = loop % 97;
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
      pool.parallel_for(count, 1 + loop % 3, [&](std::int64_t first, std::int64_t last, int worker) {
        EXPECT_TRUE(worker >= 0 && worker < threads);
        for (std::int64_t i = first; i < last; ++i) ++visits[static_cast<std::size_t>(i)];
      });
      for (const std::atomic<int>& visit : visits) ASSERT_EQ(visit.load(), 1);
    }
  }
}

TEST(ThreadPool, WakesWorkersThatWentToSleep) {
  ThreadPool pool(3);
  for (int loop = 0; loop < 3; ++loop) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::atomic<std::int64_t> sum = 0;
    pool.parallel_for(100, 1, [&](std::int64_t first, std::int64_t last, int) {
      for (std::int64_t i = first; i < last; ++i) sum += i;
    });
    EXPECT_EQ(sum.load(), 4950);
  }
}

TEST(ThreadPool, PassesAnExceptionOnAndStaysUsable) {
  ThreadPool pool(3);
  for (int loop = 0; loop < 50; ++loop) {
    EXPECT_THROW(pool.parallel_for(64, 1,
                                   [](std::int64_t first, std::int64_t, int) {
                                     if (first >= 20) throw std::runtime_error("late");
                                   }),
                 std::runtime_error);
    std::atomic<int> pieces = 0;
    pool.parallel_for(64, 1,
                      [&](std::int64_t first, std::int64_t last, int) { pieces += static_cast<int>(last - first); });
    EXPECT_EQ(pieces.load(), 64);
  }
}

}  // namespace
}  // namespace lectern::kernels::cpu

// Every seeded fault is found, in at least the modes that are known to find it: what one mode cannot see, another must.
#include <gtest/gtest.h>

#include <cstdlib>

#include "../support/process.h"
#include "seeded_bugs.h"

namespace lectern::kernels::cuda::test {
namespace {

// Orders of threads, and builds. `reported`: part of what the emulator says, where it says something in natural order.
enum Mode : unsigned { natural = 1, reverse = 2, random = 4, address = 8, thread = 16 };
constexpr unsigned orders = natural | reverse | random, everywhere = orders | address | thread;

struct Expectation {
  const char* bug;
  unsigned modes;
  const char* reported = nullptr;
};

const Expectation expectations[] = {
    {"missing_barrier", everywhere},
    {"barrier_hidden_by_order", reverse | random | thread},
    {"write_after_read_in_loop", everywhere},
    {"missing_syncwarp", everywhere},
    {"divergent_barrier", everywhere, "divergent barrier"},
    {"unequal_barrier_counts", everywhere, "divergent barrier"},
    {"deadlock", everywhere, "32 thread(s) wait in __shfl_xor_sync"},
    {"diverged_shuffle", everywhere, "lanes of the warp do not agree"},
    {"lane_outside_mask", everywhere, "lane 16 is not in its own mask"},
    {"different_barrier_counts", everywhere, "for 96 threads while others wait for 64"},
    {"waits_for_ever", everywhere, "__nanosleep"},
    {"async_no_wait", everywhere},
    {"async_no_barrier", everywhere},
    {"async_wrong_group", everywhere},
    {"async_stage_overwritten", everywhere},
    {"lost_update", thread},
    {"two_blocks_write_one_word", random | thread},
    {"missing_grid_barrier", everywhere},
    {"missing_fence", thread},
    {"uninitialized_shared", everywhere},
    {"shared_overrun_static", everywhere, "0 bytes behind shared variable 1 of 252 bytes"},
    {"shared_overrun_dynamic", everywhere, "0 bytes behind the dynamic array of 252 bytes"},
    {"shared_limit_exceeded", everywhere, "asks for 102400 bytes of shared memory"},
    {"shared_not_allowed", everywhere, "51200 bytes of dynamic shared memory, of which 49152"},
    {"global_overrun_read", everywhere, "0 bytes behind device memory of 4096 bytes"},
    {"global_overrun_write", everywhere, "0 bytes behind device memory of 4096 bytes"},
    {"global_overrun_by_one", everywhere, "0 bytes behind an allocation of 200 bytes"},
    {"ldmatrix_misaligned", everywhere, "not aligned to 16 bytes"},
    {"ldmatrix_not_shared", everywhere, "not in the block's shared variables"},
    {"misaligned_vector_load", address},
    {"stack_overflow", everywhere, "stack overflow of a CUDA thread"},
    {"host_pointer", everywhere, "argument 0: the pointer is the host's"},
    {"host_pointer_in_structure", everywhere, "the pointer at byte 0 of the structure is the host's"},
    {"use_after_free", everywhere, "that was freed"},
    {"use_after_free_in_structure", everywhere, "that was freed"},
    {"copy_beyond_the_end", everywhere},
    {"missing_stream_synchronize", everywhere},
    {"pinned_source_reused", everywhere},
    {"missing_event", reverse | random},
    {"event_recorded_too_late", reverse | random},
    {"missing_edge_in_graph", reverse | random},
    {"dependent_reads_too_early", reverse | random},
    {"dependent_does_not_wait", reverse | random},
    {"dependent_chain_is_broken", reverse | random},
    {"cooperative_grid_too_large", everywhere, "of a cooperative launch"},
    {"empty_grid", everywhere, "a grid of 0 x 1 x 1"},
    {"block_too_large", everywhere, "blocks of 1025 threads"},
};

lectern::test::ProcessResult run(const std::string& bug, const std::string& order, int resident = 2) {
  return lectern::test::run_process({lectern::test::program("lectern_cuda_seeded_bugs"), bug},
                                    {{"LECTERN_CUDA_ORDER", order},
                                     {"LECTERN_CUDA_RESIDENT", std::to_string(resident)},
                                     {"ASAN_OPTIONS", "detect_leaks=0"},
                                     {"TSAN_OPTIONS", "halt_on_error=1"}});
}

TEST(SeededBugs, AreAllExpected) {
  const lectern::test::ProcessResult list =
      lectern::test::run_process({lectern::test::program("lectern_cuda_seeded_bugs")});
  std::string expected;
  for (const Expectation& expectation : expectations) expected += std::string(expectation.bug) + "\n";
  EXPECT_EQ(list.output, expected);
}

TEST(SeededBugs, AreFound) {
  for (const Expectation& expectation : expectations) {
    SCOPED_TRACE(expectation.bug);
    const auto found = [&](const std::string& order, int resident = 2) {
      return run(expectation.bug, order, resident).exit_code != 0;
    };
#if defined(__SANITIZE_ADDRESS__)
    EXPECT_TRUE(!(expectation.modes & address) || found("natural") || found("random:1"));
#elif defined(__SANITIZE_THREAD__)
    EXPECT_TRUE(!(expectation.modes & thread) || found("natural", 4));
#else
    const lectern::test::ProcessResult result = run(expectation.bug, "natural");
    EXPECT_TRUE(!(expectation.modes & natural) || result.exit_code != 0);
    const bool reported = !expectation.reported || result.errors.find(expectation.reported) != std::string::npos;
    EXPECT_TRUE(reported) << result.errors;
    EXPECT_TRUE(!(expectation.modes & reverse) || found("reverse"));
    if (expectation.modes & random) {
      bool any = false;
      for (int seed = 1; seed <= 8 && !any; ++seed) any = found("random:" + std::to_string(seed));
      EXPECT_TRUE(any);
    }
#endif
  }
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

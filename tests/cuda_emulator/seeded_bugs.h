// Kernels and host programs with one fault each, to prove that the emulator finds it.
#pragma once

#include <vector>

namespace lectern::kernels::cuda::test {

/// How one run ended: its exit code, for runs that were not ended by a signal or a sanitizer.
enum class Outcome { right = 0, wrong = 3, reported = 4 };

struct SeededBug {
  const char* name;
  /// True if the result was as if there were no fault. Errors of the runtime are looked up afterwards.
  bool (*run)();
};

const std::vector<SeededBug>& synchronization_bugs();
const std::vector<SeededBug>& memory_bugs();
const std::vector<SeededBug>& host_bugs();

}  // namespace lectern::kernels::cuda::test

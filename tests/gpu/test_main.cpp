// main() of the tests on a GPU: without one they fail, instead of skipping everything.
#include <gtest/gtest.h>

#include <cstdio>

#include "kernels/cuda/queue.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (!lectern::kernels::cuda::has_device()) {
    std::fprintf(stderr, "there is no CUDA device of compute capability 8.0 or more\n");
    return 1;
  }
  return RUN_ALL_TESTS();
}

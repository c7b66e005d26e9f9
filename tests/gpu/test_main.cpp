// main() of the tests on a GPU. Without one they skip, or fail where LECTERN_GPU_REQUIRED is set.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/queue.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (std::getenv("LECTERN_GPU_REQUIRED") && !lectern::kernels::cuda::has_device()) {
    std::fprintf(stderr, "there is no CUDA device of compute capability 8.0 or more\n");
    return 1;
  }
  return RUN_ALL_TESTS();
}

// lectern_cuda_seeded_bugs NAME: runs one of them and says how it ended; without a name it lists them.
#include <cuda_emulator/settings.h>

#include <cstdio>
#include <cstring>

#include "seeded_bugs.h"

int main(int argc, char** argv) {
  using namespace lectern::kernels::cuda::test;
  for (const auto* bugs : {&synchronization_bugs(), &memory_bugs(), &host_bugs()}) {
    for (const SeededBug& bug : *bugs) {
      if (argc < 2) {
        std::puts(bug.name);
      } else if (std::strcmp(argv[1], bug.name) == 0) {
        const bool right = bug.run();
        if (!emu::fault_report().empty()) return static_cast<int>(Outcome::reported);
        return static_cast<int>(right ? Outcome::right : Outcome::wrong);
      }
    }
  }
  return argc < 2 ? 0 : 1;
}

#include <gtest/gtest.h>

#include <cstdio>

#include "settings.h"

namespace {

class ClearFaults : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override { emu::clear_fault(); }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::UnitTest::GetInstance()->listeners().Append(new ClearFaults);
  std::printf("CUDA emulator: order %s, %d resident blocks\n", emu::describe(emu::settings()).c_str(),
              emu::settings().resident_blocks);
  return RUN_ALL_TESTS();
}

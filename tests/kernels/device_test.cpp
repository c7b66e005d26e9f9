#include "kernels/device.h"

#include "kernel_test.h"
#include "kernels/machine_limits.h"

namespace lectern::kernels::test {
namespace {

TEST(Device, DescribesTheProcessorInOneLine) {
  const std::string line = describe_cpu();
  EXPECT_NE(line.find("thread"), std::string::npos);
  EXPECT_NE(line.find(name(best_cpu_path())), std::string::npos);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_TRUE(is_available(Backend::cpu));
}

TEST(Device, GivesAStreamAtLeastOneThread) {
  Stream stream;
  EXPECT_GE(stream.pool().size(), 1);
  EXPECT_EQ(stream.cpu_path(), best_cpu_path());
}

TEST(MachineLimits, AreOrdinaryNumbers) {
  on_every_path([](Stream& stream) {
    const MultiplyPeak peak = measure_multiply_peak(stream);
    EXPECT_TRUE(peak.f32_gflop_per_s > 0.1 && peak.f32_gflop_per_s < 1e6) << peak.f32_gflop_per_s;
    EXPECT_TRUE(peak.i8_gop_per_s > 0.1 && peak.i8_gop_per_s < 1e6) << peak.i8_gop_per_s;
  });
  Stream stream;
  const double rate = measure_read_gigabytes_per_s(stream);
  EXPECT_TRUE(rate > 0.1 && rate < 1e5) << rate;
}

}  // namespace
}  // namespace lectern::kernels::test

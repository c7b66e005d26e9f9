#include "inference/memory_plan.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/inference/gguf_samples.h"

namespace lectern::inference {
namespace {

using samples::error_of;

GgufFile model(const std::string& name) {
  return GgufFile(std::filesystem::path(LECTERN_SOURCE_DIR) / "tests/data/models" / (name + ".gguf"));
}

TEST(MemoryPlan, CountsWholePagesOfTheAttentionLayersAlone) {
  const GgufFile file = model("qwen3next-base");  // 2 attention layers of 2 KV heads of 16, f32
  const ModelConfig config = read_model_config(file);
  const std::int64_t page = 2 * (2 * 2 * 256 * 16 * 4);
  EXPECT_EQ(plan_memory(check_weights(file, config), config, 1, 1).kv, page);
  EXPECT_EQ(plan_memory(check_weights(file, config), config, 256, 1).kv, page);
  EXPECT_EQ(plan_memory(check_weights(file, config), config, 257, 1).kv, 2 * page);
  const MemoryPlan plan = plan_memory(check_weights(file, config), config, 4096, 64);
  EXPECT_EQ(plan.kv, 16 * page);
  EXPECT_EQ(plan.delta_state, 6 * 4 * 8 * 8 * 4);
  EXPECT_EQ(plan.conv_state, 6 * 3 * 64 * 4);
  EXPECT_GT(plan.activations, plan_memory(check_weights(file, config), config, 4096, 32).activations);
  EXPECT_EQ(plan.total(),
            plan.weights_mapped + plan.weights_owned + plan.kv + plan.delta_state + plan.conv_state + plan.activations);
  EXPECT_NE(plan.line().find("for a window of 4096 tokens: weights 347.9 KiB, KV 2.0 MiB, DeltaNet state"),
            std::string::npos)
      << plan.line();
}

TEST(MemoryPlan, KeepsKeysAndValuesOfQuantizedModelsIn16Bits) {
  ModelConfig config = read_model_config(model("qwen3next-blocks-q8_0"));  // 1 attention layer of 2 KV heads of 16
  const MemoryPlan half = plan_memory({}, config, 300, 64);
  EXPECT_EQ(half.kv, 2 * (2 * 2 * 256 * 16 * 2));
  config.quantized = false;
  const MemoryPlan full = plan_memory({}, config, 300, 64);
  EXPECT_EQ(full.kv, 2 * half.kv);
  EXPECT_EQ(full.conv_state, half.conv_state);  // always f32
  EXPECT_EQ(full.delta_state, half.delta_state);
  EXPECT_EQ(plan_memory({}, read_model_config(model("qwen3next-ratio3-bf16")), 300, 64).kv,
            plan_memory({}, read_model_config(model("qwen3next-ratio3")), 300, 64).kv);
}

TEST(MemoryPlan, CountsWhatDraftsTake) {
  const ModelConfig config = read_model_config(model("qwen35moe-gqa16"));
  const MemoryPlan plain = plan_memory({}, config, 300, 64), two = plan_memory({}, config, 300, 64, 2);
  EXPECT_EQ(two.kv, plain.kv / config.attention_layers() * (config.attention_layers() + 1));
  EXPECT_EQ(plain.drafting, 0);
  EXPECT_EQ(two.total() - plain.total(), two.kv - plain.kv + two.drafting);
  // One more row of each DeltaNet layer (inputs of the convolution, k, v, g, beta), and of the two results.
  const DeltaConfig& d = config.delta;
  const std::int64_t row = d.conv_channels() + d.key_heads * d.key_dim + d.value_size() + 2 * d.value_heads;
  EXPECT_EQ(plan_memory({}, config, 300, 64, 3).drafting - two.drafting,
            4 * (config.delta_layers() * row + d.conv_channels() + d.value_size()));
}

TEST(MemoryPlan, HasNoRecurrentStateForLlama) {
  const GgufFile file = model("llama-gqa");
  const MemoryPlan plan = plan_memory(check_weights(file, read_model_config(file)), read_model_config(file), 100, 10);
  EXPECT_EQ(plan.delta_state + plan.conv_state + plan.weights_owned, 0);
}

TEST(MemoryPlan, RefusesWindowsBeyondAnyMemory) {
  const GgufFile file = model("qwen3next-base");
  const ModelConfig config = read_model_config(file);
  EXPECT_NE(error_of([&] {
              plan_memory(check_weights(file, config), config, std::int64_t{1} << 62, 1);
            }).find("larger than any memory"),
            std::string::npos);
  EXPECT_NE(error_of([&] { plan_memory(check_weights(file, config), config, 0, 1); }).find("at least one token"),
            std::string::npos);
}

TEST(MemoryPlan, SaysWhichWindowWouldFit) {
  const GgufFile file = model("qwen3next-base");
  const MemoryPlan plan = plan_memory(check_weights(file, read_model_config(file)), read_model_config(file), 4096, 64);
  EXPECT_NO_THROW(require_fit(file.name(), plan, plan.total()));
  const std::string error = error_of([&] { require_fit(file.name(), plan, plan.total() - 1); });
  EXPECT_NE(error.find("a window of 3840 tokens would fit"), std::string::npos) << error;
  EXPECT_NE(error_of([&] { require_fit(file.name(), plan, 1000); }).find("use a smaller model"), std::string::npos);
}

class FakeSystem : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove_all(root_); }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::filesystem::path root_ = samples::temporary("system");
};

TEST_F(FakeSystem, IsUnknownWithoutProc) {
  EXPECT_EQ(available_memory(root_), std::nullopt);
}

TEST_F(FakeSystem, TakesTheSmallestLimitOfTheGroupsAbove) {
  write("proc/meminfo", "MemTotal: 900 kB\nMemFree: 100 kB\nMemAvailable:   800 kB\n");
  EXPECT_EQ(available_memory(root_), 800 * 1024);
  write("proc/self/cgroup", "0::/user/work\n");
  write("sys/fs/cgroup/user/work/memory.max", "max\n");
  write("sys/fs/cgroup/user/work/memory.current", "5\n");
  EXPECT_EQ(available_memory(root_), 800 * 1024);
  write("sys/fs/cgroup/user/memory.max", "500000\n");
  write("sys/fs/cgroup/user/memory.current", "300000\n");
  EXPECT_EQ(available_memory(root_), 200000);
  write("sys/fs/cgroup/user/memory.stat", "anon 1\ninactive_file 50000\nactive_file 30000\n");
  EXPECT_EQ(available_memory(root_), 280000);
}

TEST_F(FakeSystem, KnowsTheFirstVersionOfControlGroups) {
  write("proc/meminfo", "MemAvailable: 800 kB\n");
  write("proc/self/cgroup", "3:cpu,cpuacct:/a\n2:memory:/a\n");
  write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "400000\n");
  write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "100000\n");
  EXPECT_EQ(available_memory(root_), 300000);
}

TEST(AvailableMemory, IsKnownOnThisMachine) {
  const auto bytes = available_memory();
  ASSERT_TRUE(bytes.has_value());
  EXPECT_GT(*bytes, 0);
}

}  // namespace
}  // namespace lectern::inference

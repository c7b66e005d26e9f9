#include "inference/generation_defaults.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/inference/gguf_samples.h"

namespace lectern::inference {
namespace {

void expect_sampling(const SamplingOptions& options, float temperature, float top_p, int top_k, float presence) {
  EXPECT_EQ(options.temperature, temperature);
  EXPECT_EQ(options.top_p, top_p);
  EXPECT_EQ(options.top_k, top_k);
  EXPECT_EQ(options.presence_penalty, presence);
  EXPECT_EQ(options.min_p, 0.0F);
}

TEST(GenerationDefaults, AreThoseOfTheVariant) {  // model.md 6.3
  expect_sampling(recommended_sampling("qwen3next", {false, false}), 0.7F, 0.8F, 20, 0);
  expect_sampling(recommended_sampling("qwen3next", {true, false}), 0.6F, 0.95F, 20, 0);
  expect_sampling(recommended_sampling("qwen3next", {false, true}), 1.0F, 0.95F, 40, 0);
  expect_sampling(recommended_sampling("qwen35", {true, true}), 1.0F, 0.95F, 20, 1.5F);
  expect_sampling(recommended_sampling("qwen35moe", {false, true}), 0.7F, 0.8F, 20, 1.5F);
  expect_sampling(recommended_sampling("llama", {false, false}), 0, 1, 0, 0);
}

TEST(GenerationDefaults, AreReplacedByThoseOfTheFile) {
  samples::TinyLlama sample;
  sample.more_metadata = [](GgufWriter& writer) {
    writer.add_f32("general.sampling.temp", 0.25F);
    writer.add_i32("general.sampling.top_k", 7);
    writer.add_f32("general.sampling.top_p", 5.0F);  // impossible
    writer.add_text("general.sampling.min_p", "x");  // no number
  };
  const std::filesystem::path path = samples::temporary("defaults.gguf");
  const std::vector<std::byte> bytes = sample.bytes();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  const ModelSource source(path);
  expect_sampling(recommended_sampling(source, source.read_config(), {}), 0.25F, 1, 7, 0);
  std::filesystem::remove(path);
}

TEST(GenerationDefaults, AreReplacedByThoseOfTheFolder) {
  const std::filesystem::path folder = samples::temporary("defaults");
  std::filesystem::copy(std::filesystem::path(LECTERN_SOURCE_DIR) / "tests/data/models/llama-gqa", folder);
  const auto recommended = [&](const char* generation_config) {
    std::ofstream(folder / "generation_config.json") << generation_config;
    const ModelSource source(folder);
    return recommended_sampling(source, source.read_config(), {});
  };
  expect_sampling(recommended(R"({"temperature": 0.5, "top_p": 0.9, "top_k": "x", "min_p": 7})"), 0.5F, 0.9F, 0, 0);
  expect_sampling(recommended(R"({"temperature": 0.5, "do_sample": false})"), 0, 1, 0, 0);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace lectern::inference

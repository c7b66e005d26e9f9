#include "inference/generation_defaults.h"

#include <gtest/gtest.h>

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
  expect_sampling(recommended_sampling(GgufFile(sample.bytes(), "a.gguf"), {}), 0.25F, 1, 7, 0);
}

}  // namespace
}  // namespace lectern::inference

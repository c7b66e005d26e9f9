#include "inference/model_inspect.h"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "tests/inference/gguf_samples.h"

namespace lectern::inference {
namespace {

TEST(ModelInspect, PrintsMetadataTensorsAndWhatTheModelIs) {
  const GgufFile file(std::filesystem::path(LECTERN_SOURCE_DIR) / "tests/data/models/qwen3next-base.gguf");
  const std::string text = inspect_text(file);
  EXPECT_NE(text.find("qwen3next.block_count = 8"), std::string::npos);
  EXPECT_NE(text.find("tokenizer.ggml.tokens = {\"count\":288,\"type\":\"text\",\"first\":["), std::string::npos);
  EXPECT_NE(text.find("[8,8,24]"), std::string::npos);
  EXPECT_NE(text.find("attention_layers = 2"), std::string::npos);
  const auto json = nlohmann::json::parse(inspect_json(file));
  EXPECT_EQ(json["config"]["delta_layers"], 6);
  EXPECT_EQ(json["tensors"].size(), file.tensors().size());
  EXPECT_EQ(json["metadata"]["general.name"], "qwen3next-base");
}

TEST(ModelInspect, ShowsFilesItCannotRunAndSaysWhy) {
  samples::TinyLlama sample;
  sample.architecture = "mamba";
  const GgufFile file(sample.bytes(), "odd.gguf");
  EXPECT_NE(inspect_text(file).find("this build cannot run it: odd.gguf: the model family 'mamba'"), std::string::npos);
  const auto json = nlohmann::json::parse(inspect_json(file));
  EXPECT_TRUE(json.contains("error"));
  EXPECT_FALSE(json.contains("config"));
}

TEST(ModelInspect, PrintsBytesThatAreNoTextAndLongTextsSafely) {
  samples::TinyLlama sample;
  sample.more_metadata = [](GgufWriter& writer) {
    writer.add_text("odd\nkey", "\xff\x1b[2J");
    writer.add_text("long", std::string(199, 'x') + "üüü" + std::string(1000, 'y'));
    writer.add_u64("huge", ~std::uint64_t{0});
  };
  const GgufFile file(sample.bytes(), "odd.gguf");
  const std::string text = inspect_text(file);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("odd\\x0akey"), std::string::npos);
  EXPECT_NE(text.find("... (1205 bytes)"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(inspect_json(file))["metadata"]["huge"], 18446744073709551615.0);
}

}  // namespace
}  // namespace lectern::inference

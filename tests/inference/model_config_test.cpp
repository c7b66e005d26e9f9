#include "inference/model_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/error.h"
#include "tests/inference/gguf_samples.h"

namespace lectern::inference {
namespace {

using samples::error_of;
using samples::TinyLlama;

GgufFile model(const std::string& name) {
  return GgufFile(std::filesystem::path(LECTERN_SOURCE_DIR) / "tests/data/models" / (name + ".gguf"));
}

ModelConfig config_of(const TinyLlama& sample) {
  return read_model_config(GgufFile(sample.bytes(), "tiny.gguf"));
}

std::string error_with(const std::function<void(TinyLlama&)>& change) {
  TinyLlama sample;
  change(sample);
  return error_of([&] { config_of(sample); });
}

std::string error_with_key(const std::function<void(GgufWriter&)>& add) {
  return error_with([&](TinyLlama& sample) { sample.more_metadata = add; });
}

TEST(ModelConfig, ReadsAQwen3NextModel) {
  const ModelConfig config = read_model_config(model("qwen3next-base"));
  EXPECT_EQ(config.family, ModelFamily::qwen3next);
  EXPECT_EQ(config.quantization, "F32");
  EXPECT_FALSE(config.quantized);
  EXPECT_EQ(config.hidden, 24);
  EXPECT_EQ(config.vocabulary, 288);
  EXPECT_EQ(config.tokens, 288);
  EXPECT_EQ(config.dense_hidden, 20);
  EXPECT_FALSE(config.tied_output);
  EXPECT_EQ(config.attention.heads, 4);
  EXPECT_EQ(config.attention.kv_heads, 2);
  EXPECT_EQ(config.attention.head_dim, 16);
  EXPECT_TRUE(config.attention.qk_norm && config.attention.output_gate);
  EXPECT_EQ(config.rope.dimensions, 4);
  EXPECT_EQ(config.rope.pairs, kernels::RotaryPairs::halves);
  ASSERT_EQ(config.rope.frequencies.size(), 2U);
  EXPECT_NEAR(config.rope.frequencies[1], 1 / std::sqrt(1e7), 1e-12);
  EXPECT_EQ(config.delta.key_heads, 2);
  EXPECT_EQ(config.delta.value_heads, 4);
  EXPECT_EQ(config.delta.conv_channels(), 64);
  EXPECT_EQ(config.delta.conv_kernel, 4);
  EXPECT_EQ(config.moe.experts, 8);
  EXPECT_EQ(config.moe.used, 3);
  EXPECT_EQ(config.moe.hidden, 8);
  EXPECT_EQ(config.moe.shared_hidden, 12);
  EXPECT_TRUE(config.moe.normalize);
  ASSERT_EQ(config.layers.size(), 8U);
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(config.layers[i].mixer, i == 3 || i == 7 ? LayerKind::attention : LayerKind::delta) << i;
    EXPECT_EQ(config.layers[i].ffn, i == 1 ? FfnKind::dense : FfnKind::moe) << i;
  }
}

TEST(ModelConfig, ReadsTheVariantsOfQwen3Next) {
  const ModelConfig tied = read_model_config(model("qwen3next-tied"));
  EXPECT_TRUE(tied.tied_output);
  EXPECT_FALSE(tied.moe.normalize);
  EXPECT_EQ(tied.layers.back().mixer, LayerKind::delta);  // 5 layers, interval 2
  EXPECT_EQ(tied.attention_layers(), 2);

  const ModelConfig mixed = read_model_config(model("qwen3next-mixed"));  // attention.recurrent_layers, no interval
  EXPECT_EQ(mixed.layers[0].mixer, LayerKind::attention);
  EXPECT_EQ(mixed.layers[1].mixer, LayerKind::delta);
  EXPECT_EQ(mixed.layers[2].mixer, LayerKind::delta);
  EXPECT_EQ(mixed.layers[3].mixer, LayerKind::attention);
  EXPECT_EQ(mixed.layers[0].ffn, FfnKind::dense);
  EXPECT_EQ(mixed.layers[1].ffn, FfnKind::moe);

  const ModelConfig ratio3 = read_model_config(model("qwen3next-ratio3-bf16"));
  EXPECT_EQ(ratio3.delta.key_dim, 8);
  EXPECT_EQ(ratio3.delta.value_dim, 12);
  EXPECT_EQ(ratio3.quantization, "BF16");
  EXPECT_FALSE(ratio3.quantized);

  const ModelConfig blocks = read_model_config(model("qwen3next-blocks-q8_0"));
  EXPECT_EQ(blocks.quantization, "Q8_0");
  EXPECT_TRUE(blocks.quantized);
}

TEST(ModelConfig, ReadsLlamaWithDefaultsForWhatItsFilesLeaveOut) {
  const ModelConfig config = config_of(TinyLlama());
  EXPECT_EQ(config.name, "tiny");
  EXPECT_EQ(config.attention.head_dim, 4);
  EXPECT_EQ(config.rope.dimensions, 4);
  EXPECT_EQ(config.rope.pairs, kernels::RotaryPairs::adjacent);
  EXPECT_EQ(config.rope.freq_base, 10000.0);
  EXPECT_TRUE(config.tied_output);
  EXPECT_EQ(config.parameters, 48 + 2 * 8 + 8 + 64 + 32 + 32 + 64 + 3 * 64);
  TinyLlama zero_experts;
  zero_experts.more_metadata = [](GgufWriter& writer) { writer.add_u32("llama.expert_count", 0); };
  EXPECT_EQ(config_of(zero_experts).moe.experts, 0);
}

TEST(ModelConfig, ReadsYarn) {
  const ModelConfig config = read_model_config(model("qwen3next-yarn"));
  EXPECT_EQ(config.rope.scaling, "yarn");
  EXPECT_NEAR(config.rope.magnitude, 1.1386294, 1e-6);
  EXPECT_EQ(config.rope.frequencies, yarn_frequencies(16, 10000.0, {.factor = 4.0, .original_length = 32.0}));
}

TEST(ModelConfig, DividesFrequenciesByLlama3Factors) {
  const ModelConfig config = read_model_config(model("llama3-tied"));
  ASSERT_EQ(config.rope.frequencies.size(), 6U);
  EXPECT_EQ(config.rope.scaling, "factors");
  EXPECT_EQ(config.rope.frequencies[0], 1.0);                                          // short wavelength: kept
  EXPECT_NEAR(config.rope.frequencies[5], std::pow(500.0, -10.0 / 12.0) / 8.0, 1e-9);  // long: stretched by 8
}

TEST(ModelConfig, ScalesLinearly) {
  TinyLlama sample;
  sample.more_metadata = [](GgufWriter& writer) {
    writer.add_text("llama.rope.scaling.type", "linear");
    writer.add_f32("llama.rope.scaling.factor", 4.0F);
  };
  EXPECT_EQ(config_of(sample).rope.frequencies[0], 0.25);
}

TEST(ModelConfig, RefusesImpossibleNumbersByName) {
  const auto has = [](const std::string& error, const std::string& part) {
    EXPECT_TRUE(error.starts_with("tiny.gguf: ")) << error;
    EXPECT_NE(error.find(part), std::string::npos) << error;
  };
  has(error_with([](TinyLlama& s) { s.layers = 0; }), "'llama.block_count' is 0");
  has(error_with([](TinyLlama& s) { s.layers = 4000000000U; }), "'llama.block_count' is 4000000000");
  has(error_with([](TinyLlama& s) { s.heads = 3; }), "'llama.embedding_length' is not a multiple");
  has(error_with([](TinyLlama& s) { s.heads = 4, s.kv_heads = 3; }), "not a multiple of the 3 key/value heads");
  has(error_with([](TinyLlama& s) { s.kv_heads = 0; }), "'llama.attention.head_count_kv' is 0");
  has(error_with([](TinyLlama& s) { s.hidden = 16; }), "'token_embd.weight' is not [vocabulary, 16]");
  has(error_with([](TinyLlama& s) { s.eps = std::numeric_limits<float>::quiet_NaN(); }), "not a number above 0");
  has(error_with([](TinyLlama& s) { s.eps = 0; }), "layer_norm_rms_epsilon");
  has(error_with([](TinyLlama& s) { s.architecture = "mamba"; }), "the model family 'mamba' is not known");
  has(error_with([](TinyLlama& s) { s.remove("token_embd.weight"); }), "'token_embd.weight' is missing");
  has(error_with([](TinyLlama& s) {
        s.tensor("token_embd.weight").shape = {5, 8};
      }),
      "the tokenizer has 6 tokens, the model only 5");
  has(error_with_key([](GgufWriter& w) { w.add_u32("llama.vocab_size", 7); }),
      "'llama.vocab_size' is not the number of rows");
  has(error_with_key([](GgufWriter& w) { w.add_u32("llama.rope.dimension_count", 6); }),
      "not an even number up to the head's 4");
  has(error_with_key([](GgufWriter& w) { w.add_f32("llama.rope.freq_base", -1); }), "'llama.rope.freq_base'");
  has(error_with_key([](GgufWriter& w) { w.add_text("llama.rope.scaling.type", "longrope"); }),
      "rotary scaling 'longrope'");
  has(error_with_key([](GgufWriter& w) { w.add_text("llama.rope.scaling.type", "yarn"); }),
      "original_context_length' is missing");
  has(error_with_key([](GgufWriter& w) { w.add_u32("llama.attention.value_length", 8); }), "values of another length");
  has(error_with_key([](GgufWriter& w) { w.add_u32("llama.expert_count", 8); }), "Mixtral");
}

TEST(ModelConfig, ChecksRotaryFactors) {
  const auto with_factor = [](float value) {
    TinyLlama sample;
    sample.tensors.push_back({"rope_freqs.weight", kernels::DType::f32, {2}});
    sample.fill = [value](const std::string& name, std::vector<std::byte>& bytes) {
      if (name == "rope_freqs.weight")
        for (std::size_t i = 0; i < 2; ++i) std::memcpy(bytes.data() + 4 * i, &value, 4);
    };
    return error_of([&] { config_of(sample); });
  };
  EXPECT_EQ(with_factor(2.0F), "no error");
  EXPECT_NE(with_factor(0.0F).find("'rope_freqs.weight' holds a value that is not above 0"), std::string::npos);
  EXPECT_NE(with_factor(std::numeric_limits<float>::infinity()).find("'rope_freqs.weight'"), std::string::npos);
  TinyLlama three;
  three.tensors.push_back({"rope_freqs.weight", kernels::DType::f32, {3}});
  EXPECT_NE(error_of([&] { config_of(three); }).find("is not 2 F32 values"), std::string::npos);
}

}  // namespace
}  // namespace lectern::inference

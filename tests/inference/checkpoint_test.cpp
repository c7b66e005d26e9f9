// Hugging Face folders: what they are made of, and every way in which one can lie.
#include "inference/checkpoint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "inference/model.h"
#include "inference/model_inspect.h"
#include "kernels/error.h"
#include "tests/inference/safetensors_samples.h"

namespace lectern::inference {
namespace {

using nlohmann::json;
using samples::error_of;
using samples::OwnTensor;

const std::filesystem::path models = std::filesystem::path(LECTERN_SOURCE_DIR) / "tests/data/models";

/// A copy of a tiny model whose configuration and tensors a test may change.
class CheckpointFolder : public testing::Test {
 protected:
  void SetUp() override { copy("qwen3next-ratio3"); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void copy(const std::string& name) {
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(models / name, folder_);
    config_ = json::parse(std::ifstream(folder_ / "config.json"));
    tensors_ = samples::own(Checkpoint(folder_).tensors());
  }
  OwnTensor& tensor(const std::string& name) {
    for (OwnTensor& entry : tensors_)
      if (entry.name == name) return entry;
    throw std::runtime_error("no tensor " + name);
  }
  void remove(const std::string& name) {
    std::erase_if(tensors_, [&](const OwnTensor& entry) { return entry.name == name; });
  }
  /// What opening says, with the name of the folder cut off.
  std::string error() const {
    samples::write_file(folder_ / "config.json", config_.dump());
    if (std::filesystem::exists(folder_ / "model.safetensors"))
      samples::write_file(folder_ / "model.safetensors", samples::safetensors(tensors_));
    std::string text = error_of([&] { Model model(folder_); });
    if (text.starts_with(folder_.string() + "/")) text.erase(0, folder_.string().size() + 1);
    return text;
  }
  std::string error_with(const char* key, const json& value) {
    const json before = config_;
    config_[key] = value;
    const std::string text = error();
    config_ = before;
    return text;
  }

  std::filesystem::path folder_ = samples::temporary("checkpoint");
  json config_;
  std::vector<OwnTensor> tensors_;
};

TEST_F(CheckpointFolder, OpensInPlaceWhatNeedsNoChange) {
  EXPECT_EQ(error(), "no error");
  const Checkpoint checkpoint(folder_);
  const ModelConfig config = read_model_config(checkpoint);
  const Weights weights = load_weights(checkpoint, config);
  EXPECT_EQ(weights.embedding.data, checkpoint.find_tensor("model.embed_tokens.weight")->data);
  const auto& delta = std::get<DeltaWeights>(weights.layers[0].mixer);
  EXPECT_EQ(delta.qkv.data, checkpoint.find_tensor("model.layers.0.linear_attn.in_proj_qkv.weight")->data);
  const auto& moe = std::get<MoeWeights>(weights.layers[0].ffn);
  EXPECT_EQ(moe.down.data, checkpoint.find_tensor("model.layers.0.mlp.experts.down_proj")->data);
  const WeightBytes planned = check_weights(checkpoint, config);
  EXPECT_EQ(planned.mapped, weights.mapped_bytes);
  EXPECT_EQ(planned.owned, weights.owned_bytes);
  EXPECT_GT(planned.mapped, planned.owned);
  EXPECT_EQ(config.quantization, "F32");
}

TEST_F(CheckpointFolder, CopiesWhatStandsAtAnAddressThatNoKernelReads) {
  const WeightBytes aligned = Model(folder_).weights().bytes();
  const std::string file = samples::safetensors(tensors_);
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  samples::write_file(folder_ / "model.safetensors",
                      samples::safetensors(file.substr(8, length) + " ", file.substr(8 + length)));
  const Model shifted(folder_);
  EXPECT_EQ(shifted.weights().mapped_bytes, 0);
  EXPECT_EQ(shifted.weights().owned_bytes, aligned.mapped + aligned.owned);
  EXPECT_EQ(
      std::memcmp(shifted.weights().embedding.data, tensor("model.embed_tokens.weight").bytes.data(), 288 * 24 * 4), 0);
}

TEST_F(CheckpointFolder, KeepsALayerForMultiTokenPrediction) {
  for (const char* const name : {"qwen3next-base", "qwen35-ratio3", "qwen35moe-gqa16", "qwen35-ratio3.gguf"}) {
    const Model model(models / name);
    EXPECT_EQ(model.config().mtp_layers, 1) << name;
    ASSERT_TRUE(model.weights().mtp.has_value()) << name;
    EXPECT_EQ(model.weights().mtp->combine.dim(1), 2 * model.config().hidden);
    EXPECT_TRUE(model.weights().mtp->ffn.has_value());
    EXPECT_EQ(model.weights().mtp->output.data, model.weights().output.data);
  }
  EXPECT_EQ(Model(models / "qwen3next-tied").config().mtp_layers, 0);
  copy("qwen35-ratio3");
  remove("mtp.layers.0.self_attn.k_norm.weight");
  EXPECT_NE(error().find("'mtp.layers.0.self_attn.k_norm.weight' is missing"), std::string::npos) << error();
}

TEST_F(CheckpointFolder, NamesTheTensorThatIsMissingMisshapenOrTooMany) {
  const std::string norm = "model.layers.1.input_layernorm.weight";
  const std::vector<OwnTensor> good = tensors_;
  remove(norm);
  EXPECT_NE(error().find("tensor '" + norm + "' is missing (expected [24])"), std::string::npos) << error();
  tensors_ = good;
  tensor("model.layers.0.linear_attn.conv1d.weight").shape = {4, 1, 104};
  EXPECT_EQ(error(),
            "model.safetensors: tensor 'model.layers.0.linear_attn.conv1d.weight' is [4, 1, 104], expected [104, 4]")
      << error();
  tensors_ = good;
  tensors_.push_back({"model.layers.1.self_attn.q_proj.bias", "F32", {1}, "abcd"});
  EXPECT_EQ(error(),
            "model.safetensors: tensor 'model.layers.1.self_attn.q_proj.bias' [1] has no place in this model "
            "family; this build cannot run the model");
  tensors_ = good;
  tensor("lm_head.weight").type = "I32";
  EXPECT_NE(error().find("tensor 'lm_head.weight' is I32, a format this build cannot compute with"), std::string::npos);
  tensors_ = good;
  const float bad = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(tensor("model.layers.0.linear_attn.A_log").bytes.data() + 4, &bad, 4);
  EXPECT_NE(error().find("tensor 'model.layers.0.linear_attn.A_log' holds a value that is not a finite number"),
            std::string::npos)
      << error();
  tensors_ = good;
  const float large = 100;  // exp(100) is beyond float
  std::memcpy(tensor("model.layers.0.linear_attn.A_log").bytes.data(), &large, 4);
  EXPECT_NE(error().find("A_log' holds a value that is not a finite number"), std::string::npos) << error();
}

TEST_F(CheckpointFolder, RefusesImpossibleNumbersByName) {
  const auto has = [&](const char* key, const json& value, const std::string& part) {
    const std::string text = error_with(key, value);
    EXPECT_TRUE(text.starts_with("config.json: ")) << text;
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  has("hidden_size", 0, "'hidden_size' is 0; 1 to 262144 is possible");
  has("hidden_size", nullptr, "'hidden_size' is missing");
  has("hidden_size", "24", "'hidden_size' is not a whole number");
  has("hidden_size", 24.5, "'hidden_size' is not a whole number");
  has("vocab_size", -1, "'vocab_size' is -1");
  has("vocab_size", 18446744073709551615ULL, "'vocab_size' is 18446744073709551615");
  has("num_hidden_layers", 1 << 30, "'num_hidden_layers' is 1073741824");
  has("num_key_value_heads", 3, "not a multiple of the 3 key/value heads");
  has("rms_norm_eps", -1e-6, "'rms_norm_eps' is -1e-06, not a number above 0");
  has("linear_num_value_heads", 5, "not a multiple of the 2 key heads");
  has("num_experts_per_tok", 6, "'num_experts_per_tok' is 6; 1 to 5 is possible");
  has("layer_types", json::array({"full_attention"}), "'layer_types' is not a list of 3 layers");
  has("layer_types", json::array({"sliding_attention", "full_attention", "full_attention"}), "'sliding_attention'");
  has("mlp_only_layers", json::array({3}), "'mlp_only_layers' names layer 3 of 3");
  has("model_type", "qwen4_exp", "the model type 'qwen4_exp' is not known");
  has("hidden_act", "gelu", "'hidden_act' is 'gelu'");
  has("attention_bias", true, "'attention_bias' is true");
  has("rope_parameters", {{"rope_type", "longrope"}, {"rope_theta", 1e4}, {"factor", 2.0}},
      "rotary scaling 'longrope'");
  has("rope_parameters", {{"rope_type", "default"}}, "'rope_theta' is missing");
  has("rope_parameters", {{"rope_type", "yarn"}, {"rope_theta", 1e4}}, "'rope_parameters.factor' is missing");
  has("rope_parameters", {{"rope_type", "yarn"}, {"rope_theta", 1e4}, {"factor", 0.5}},
      "'rope_parameters.factor' is 0.5");
  has("rope_parameters", {{"rope_theta", 1e4}, {"partial_rotary_factor", 0.07}},
      "'partial_rotary_factor' gives 1 rotated");
  has("quantization_config", {{"quant_method", "gptq"}}, "quantized by 'gptq'");
  EXPECT_NE(error_with("vocab_size", 289).find("'model.embed_tokens.weight' is [288, 24], expected [289, 24]"),
            std::string::npos);
}

TEST_F(CheckpointFolder, ReadsRotarySettingsWhereverTheyStand) {
  const auto rope_with = [&](const json& change) {
    json config = config_;
    config.erase("rope_parameters");
    config.update(change);
    samples::write_file(folder_ / "config.json", config.dump());
    const ModelConfig read = read_model_config(Checkpoint(folder_));
    return std::pair(read.rope, read.context_length);
  };
  const auto [old, old_length] =
      rope_with({{"rope_theta", 1e4}, {"partial_rotary_factor", 0.5}, {"rope_scaling", nullptr}});
  EXPECT_EQ(old.frequencies, rope_frequencies(8, 1e4));
  EXPECT_EQ(old_length, 4096);
  EXPECT_EQ(rope_with({{"rope_theta", 1e4}}).first.dimensions, 4);  // a quarter, where nothing is said
  const auto [yarn, length] =
      rope_with({{"rope_theta", 1e7},
                 {"rope_scaling", {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 4096}}}});
  EXPECT_EQ(yarn.frequencies, yarn_frequencies(4, 1e7, {.factor = 4.0, .original_length = 4096.0}));
  EXPECT_NEAR(yarn.magnitude, 1.1386294, 1e-6);
  EXPECT_EQ(length, 16384);  // what the scaling reaches
  EXPECT_EQ(yarn.scaling, "yarn");
  const auto [mscale, ignored] =
      rope_with({{"rope_theta", 1e7},
                 {"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}, {"mscale", 2.0}, {"mscale_all_dim", 1.0}}}});
  EXPECT_NEAR(mscale.magnitude, (0.2 * std::log(4.0) + 1) / (0.1 * std::log(4.0) + 1), 1e-6);
  const auto [linear, same] = rope_with({{"rope_theta", 1e4}, {"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}});
  EXPECT_EQ(linear.frequencies[0], 0.5);
  EXPECT_EQ(same, ignored == 0 ? 0 : 4096);
}

TEST_F(CheckpointFolder, TiesTheOutputAsTheConfigurationOrTheTensorsSay) {
  remove("lm_head.weight");
  EXPECT_NE(error().find("tensor 'lm_head.weight' is missing"), std::string::npos) << error();
  config_["tie_word_embeddings"] = true;
  EXPECT_EQ(error(), "no error");
  config_.erase("tie_word_embeddings");
  EXPECT_EQ(error(), "no error");
  EXPECT_TRUE(Model(folder_).config().tied_output);
}

TEST_F(CheckpointFolder, WidensBlockFp8ByTheScaleOfEachBlock) {
  const Checkpoint checkpoint(models / "qwen3next-mixed-fp8");
  const ModelConfig config = read_model_config(checkpoint);
  EXPECT_EQ(config.quantization, "FP8");
  const Weights weights = load_weights(checkpoint, config);
  const kernels::ConstTensor output = std::get<AttentionWeights>(weights.layers[0].mixer).output;  // [24, 64]
  ASSERT_EQ(output.type, kernels::DType::bf16);
  const StoredTensor& stored = *checkpoint.find_tensor("model.layers.0.self_attn.o_proj.weight");
  const StoredTensor& scales = *checkpoint.find_tensor("model.layers.0.self_attn.o_proj.weight_scale_inv");
  ASSERT_EQ(scales.shape, (std::vector<std::int64_t>{2, 4}));
  for (std::int64_t row = 0; row < 24; ++row)
    for (std::int64_t column = 0; column < 64; ++column) {
      float scale = 0;
      std::memcpy(&scale, scales.data + 4 * (row / 16 * 4 + column / 16), 4);
      const int bits = static_cast<int>(stored.data[row * 64 + column]);
      const int exponent = (bits >> 3) & 15;
      const double magnitude = exponent == 0 ? (bits & 7) / 512.0 : (1 + (bits & 7) / 8.0) * std::exp2(exponent - 7);
      const double expected = ((bits & 128) != 0 ? -magnitude : magnitude) * static_cast<double>(scale);
      std::uint16_t half = 0;
      std::memcpy(&half, output.data + 2 * (row * 64 + column), 2);
      const auto actual = static_cast<double>(std::bit_cast<float>(std::uint32_t{half} << 16));
      EXPECT_NEAR(actual, expected, std::fabs(expected) / 256) << row << ' ' << column;
    }
}

TEST_F(CheckpointFolder, ChecksTheScalesOfFp8) {
  copy("qwen3next-mixed-fp8");
  const std::string scales = "model.layers.0.self_attn.o_proj.weight_scale_inv";
  const std::vector<OwnTensor> good = tensors_;
  remove(scales);
  EXPECT_NE(error().find("its scales '" + scales + "' are missing"), std::string::npos) << error();
  tensors_ = good;
  tensor(scales).shape = {4, 2};
  EXPECT_NE(error().find("'" + scales + "' is [4, 2], expected [2, 4]"), std::string::npos) << error();
  tensors_ = good;
  const float bad = std::numeric_limits<float>::infinity();
  std::memcpy(tensor(scales).bytes.data(), &bad, 4);
  EXPECT_NE(error().find("'" + scales + "' holds a value that is not a finite number"), std::string::npos) << error();
  tensors_ = good;
  config_["quantization_config"]["weight_block_size"] = {0, 16};
  EXPECT_NE(error().find("'quantization_config.weight_block_size' is not a pair of sizes"), std::string::npos);
}

TEST_F(CheckpointFolder, NamesTheShardThatIsMissingOrWrong) {
  copy("qwen3next-base");
  EXPECT_EQ(error(), "no error");
  const std::string second = "model-00002-of-00003.safetensors";
  std::filesystem::rename(folder_ / second, folder_ / "elsewhere");
  EXPECT_EQ(error(), second + ": this shard of the model is missing; fetch it again");
  std::filesystem::copy_file(folder_ / "model-00001-of-00003.safetensors", folder_ / second);
  EXPECT_NE(error().find("is in '"), std::string::npos) << error();
  std::filesystem::remove(folder_ / second);
  std::filesystem::rename(folder_ / "elsewhere", folder_ / second);

  json index = json::parse(std::ifstream(folder_ / "model.safetensors.index.json"));
  const auto error_with_map = [&](const char* name, const json& value) {
    json changed = index;
    changed["weight_map"][name] = value;
    samples::write_file(folder_ / "model.safetensors.index.json", changed.dump());
    return error();
  };
  EXPECT_NE(error_with_map("more.weight", second).find(second + ": tensor 'more.weight' is missing, though"),
            std::string::npos);
  for (const char* const name : {"../x.safetensors", "/etc/passwd", "x.bin", ""})
    EXPECT_NE(error_with_map("lm_head.weight", name).find("which is not the name of a safetensors file"),
              std::string::npos);
  EXPECT_NE(error_with_map("lm_head.weight", 7).find("which is not the name of a safetensors file"), std::string::npos);
  samples::write_file(folder_ / "model.safetensors.index.json", "{\"weight_map\": {}}");
  EXPECT_NE(error().find("has no 'weight_map'"), std::string::npos);
}

TEST_F(CheckpointFolder, SaysWhatAFolderLacks) {
  std::filesystem::remove(folder_ / "model.safetensors");
  EXPECT_NE(
      error_of([&] { Model model(folder_); }).find("holds neither model.safetensors nor model.safetensors.index.json"),
      std::string::npos);
  std::filesystem::remove(folder_ / "config.json");
  EXPECT_NE(error_of([&] { Model model(folder_); }).find("holds no config.json"), std::string::npos);
  samples::write_file(folder_ / "config.json", "{\"a\": 1, \"a\": 2}");
  EXPECT_NE(error_of([&] { Model model(folder_); }).find("config.json: 'a' is given twice"), std::string::npos);
}

TEST_F(CheckpointFolder, BringsItsTokenizer) {
  const Model model(folder_);
  EXPECT_EQ(model.required_tokenizer().vocabulary_size(), 275);
  EXPECT_EQ(model.eos_token(), "<|im_end|>");
  EXPECT_NE(model.chat_template().find("<|im_start|>"), std::string::npos);
  samples::write_file(folder_ / "chat_template.jinja", "from a file of its own");
  EXPECT_EQ(Model(folder_).chat_template(), "from a file of its own");
  config_["eos_token_id"] = {3, 4};
  EXPECT_EQ(error(), "no error");
  EXPECT_TRUE(Model(folder_).required_tokenizer().is_end_of_turn(4));
}

TEST_F(CheckpointFolder, IsInspectedLikeAFile) {
  const json inspected = json::parse(inspect_json(ModelSource(folder_)));
  EXPECT_EQ(inspected["format"], "Hugging Face folder");
  EXPECT_EQ(inspected["config"]["architecture"], "qwen3next");
  EXPECT_EQ(inspected["tensors"].size(), tensors_.size());
  EXPECT_EQ(inspected["metadata"]["model_type"], "qwen3_next");
  EXPECT_NE(inspect_text(ModelSource(folder_)).find("model.embed_tokens.weight"), std::string::npos);
  config_["hidden_act"] = "gelu";
  error();
  EXPECT_NE(inspect_text(ModelSource(folder_)).find("this build cannot run it"), std::string::npos);
}

}  // namespace
}  // namespace lectern::inference

#include "inference/weights.h"

#include <gtest/gtest.h>

#include <cstring>

#include "inference/memory_plan.h"
#include "kernels/error.h"
#include "tests/inference/gguf_samples.h"

namespace lectern::inference {
namespace {

using kernels::ConstTensor;
using kernels::DType;
using samples::error_of;
using samples::TinyLlama;

const char* const tiny_models[] = {
    "llama-gqa",        "llama3-tied",           "qwen3next-base",       "qwen3next-mixed",
    "qwen3next-ratio3", "qwen3next-ratio3-bf16", "qwen3next-ratio3-f16", "qwen3next-ratio3-legacy",
    "qwen3next-tied",   "qwen3next-wide",        "qwen3next-yarn",       "qwen3next-ties",
    "qwen3-gqa8",       "qwen3moe-mixed",        "qwen3moe-plain",       "qwen35-ratio3",
    "qwen35moe-gqa16",  "qwen3next-blocks-q8_0"};

GgufFile model(const std::string& name) {
  return GgufFile(std::filesystem::path(LECTERN_SOURCE_DIR) / "tests/data/models" / (name + ".gguf"));
}

std::string error_with(const std::function<void(TinyLlama&)>& change) {
  TinyLlama sample;
  change(sample);
  const GgufFile file(sample.bytes(), "tiny.gguf");
  return error_of([&] { load_weights(file, read_model_config(file)); });
}

bool equal(const ConstTensor& a, const ConstTensor& b) {
  return a.type == b.type && a.rank == b.rank && a.shape == b.shape &&
         (a.data == b.data || std::memcmp(a.data, b.data, static_cast<std::size_t>(a.size_bytes())) == 0);
}

TEST(Weights, LoadsEveryTinyModelWithinItsPlan) {
  for (const char* const name : tiny_models) {
    const GgufFile file = model(name);
    const ModelConfig config = read_model_config(file);
    const Weights weights = load_weights(file, config);
    ASSERT_EQ(weights.layers.size(), config.layers.size()) << name;
    const MemoryPlan plan = plan_memory(check_weights(file, config), config, 256, 64);
    EXPECT_EQ(weights.mapped_bytes, plan.weights_mapped) << name;
    EXPECT_EQ(weights.owned_bytes, plan.weights_owned) << name;
    EXPECT_EQ(weights.output.data == weights.embedding.data, config.tied_output) << name;
    for (std::size_t i = 0; i < config.layers.size(); ++i) {
      EXPECT_EQ(std::holds_alternative<AttentionWeights>(weights.layers[i].mixer),
                config.layers[i].mixer == LayerKind::attention);
      EXPECT_EQ(std::holds_alternative<MoeWeights>(weights.layers[i].ffn), config.layers[i].ffn == FfnKind::moe);
    }
  }
}

TEST(Weights, GivesTheSameRowsForTheOlderInterleavedLayout) {
  const GgufFile new_file = model("qwen3next-ratio3");
  const GgufFile old_file = model("qwen3next-ratio3-legacy");
  ASSERT_NE(old_file.find_tensor("blk.0.ssm_in.weight"), nullptr);
  ASSERT_NE(old_file.find_tensor("blk.0.ffn_gate_up_exps.weight"), nullptr);
  const Weights now = load_weights(new_file, read_model_config(new_file));
  const Weights then = load_weights(old_file, read_model_config(old_file));
  int compared = 0;
  for (std::size_t i = 0; i < now.layers.size(); ++i) {
    const auto& moe = std::get<MoeWeights>(now.layers[i].ffn);
    const auto& old_moe = std::get<MoeWeights>(then.layers[i].ffn);
    EXPECT_TRUE(equal(moe.gate, old_moe.gate) && equal(moe.up, old_moe.up) && equal(moe.down, old_moe.down));
    const auto* const delta = std::get_if<DeltaWeights>(&now.layers[i].mixer);
    if (delta == nullptr) continue;
    const auto& old_delta = std::get<DeltaWeights>(then.layers[i].mixer);
    EXPECT_TRUE(equal(delta->qkv, old_delta.qkv));
    EXPECT_TRUE(equal(delta->z, old_delta.z));
    EXPECT_TRUE(equal(delta->b, old_delta.b) && equal(delta->a, old_delta.a));
    ++compared;
  }
  EXPECT_EQ(compared, 2);
}

TEST(Weights, TakesGatesApartByKeyHead) {
  const GgufFile file = model("qwen3next-ratio3");  // 2 key heads with 3 value heads each: b b b a a a | b b b a a a
  const Weights weights = load_weights(file, read_model_config(file));
  const auto& delta = std::get<DeltaWeights>(weights.layers[0].mixer);
  const ConstTensor mixed = file.required_tensor("blk.0.ssm_ba.weight");
  const std::int64_t row = 24 * 4;
  const std::int64_t b_rows[] = {0, 1, 2, 6, 7, 8};
  for (std::int64_t head = 0; head < 6; ++head) {
    EXPECT_EQ(std::memcmp(delta.b.data + head * row, mixed.data + b_rows[head] * row, 96), 0) << head;
    EXPECT_EQ(std::memcmp(delta.a.data + head * row, mixed.data + (b_rows[head] + 3) * row, 96), 0) << head;
  }
}

TEST(Weights, ReadsMatricesInPlace) {
  const GgufFile file = model("qwen3next-base");
  const Weights weights = load_weights(file, read_model_config(file));
  EXPECT_EQ(weights.embedding.data, file.required_tensor("token_embd.weight").data);
  const auto& attention = std::get<AttentionWeights>(weights.layers[3].mixer);
  EXPECT_EQ(attention.q.data, file.required_tensor("blk.3.attn_q.weight").data);
  EXPECT_EQ(attention.q.dim(0), 4 * 2 * 16);  // query and gate
  const auto& moe = std::get<MoeWeights>(weights.layers[0].ffn);
  EXPECT_EQ(moe.shared_router.rank, 2);  // [1, H] whichever way the file writes it
  EXPECT_EQ(moe.shared_router.dim(0), 1);
}

TEST(Weights, StaysValidWhenMoved) {
  const GgufFile file = model("qwen3next-ratio3-bf16");
  Weights first = load_weights(file, read_model_config(file));
  const std::byte* const gates = std::get<DeltaWeights>(first.layers[0].mixer).b.data;
  const Weights second = std::move(first);
  EXPECT_EQ(std::get<DeltaWeights>(second.layers[0].mixer).b.data, gates);
  EXPECT_EQ(std::get<DeltaWeights>(second.layers[0].mixer).b.type, DType::bf16);
}

TEST(Weights, WidensSmallTensorsToFloat32) {
  TinyLlama sample;
  sample.tensor("output_norm.weight").type = DType::f16;
  sample.tensor("blk.0.attn_norm.weight").type = DType::bf16;
  sample.fill = [](const std::string& name, std::vector<std::byte>& bytes) {
    const std::uint16_t halves[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000, 0x3555, 0x0400, 0x03ff};
    const std::uint16_t brains[] = {0x3f80, 0xc000, 0x4040, 0x0000, 0x8000, 0x3eaa, 0x7f7f, 0x0001};
    if (name == "output_norm.weight") std::memcpy(bytes.data(), halves, 16);
    if (name == "blk.0.attn_norm.weight") std::memcpy(bytes.data(), brains, 16);
  };
  const GgufFile file(sample.bytes(), "tiny.gguf");
  const ModelConfig config = read_model_config(file);
  const Weights weights = load_weights(file, config);
  EXPECT_EQ(weights.owned_bytes, 64);
  EXPECT_EQ(plan_memory(check_weights(file, config), config, 1, 1).weights_owned, 64);
  ASSERT_EQ(weights.output_norm.type, DType::f32);
  const auto* const norm = reinterpret_cast<const float*>(weights.output_norm.data);
  const float halves[] = {1.0F,  -2.0F,           5.9604644775390625e-8F, 65504.0F,
                          -0.0F, 0.333251953125F, 6.103515625e-5F,        6.097555160522461e-5F};
  for (int i = 0; i < 8; ++i) EXPECT_EQ(norm[i], halves[i]) << i;
  const auto* const input = reinterpret_cast<const float*>(weights.layers[0].input_norm.data);
  EXPECT_EQ(input[0], 1.0F);
  EXPECT_EQ(input[1], -2.0F);
  EXPECT_EQ(input[2], 3.0F);
}

TEST(Weights, NamesTheTensorThatIsMissingMisshapenOrTooMany) {
  EXPECT_EQ(error_with([](TinyLlama&) {}), "no error");
  EXPECT_EQ(error_with([](TinyLlama& s) { s.remove("blk.0.ffn_up.weight"); }),
            "tiny.gguf: tensor 'blk.0.ffn_up.weight' is missing (expected [8, 8])");
  EXPECT_EQ(error_with([](TinyLlama& s) {
              s.tensor("blk.0.attn_k.weight").shape = {8, 4};
            }),
            "tiny.gguf: tensor 'blk.0.attn_k.weight' is [8, 4], expected [4, 8]");
  EXPECT_NE(error_with([](TinyLlama& s) {
              s.tensors.push_back({"blk.0.attn_q.bias", DType::f32, {8}});
            }).find("tensor 'blk.0.attn_q.bias' [8] has no place in this model family"),
            std::string::npos);
  EXPECT_NE(error_with([](TinyLlama& s) {
              s.tensors.push_back({"blk.1.attn_norm.weight", DType::f32, {8}});
            }).find("'blk.1.attn_norm.weight'"),
            std::string::npos);
  EXPECT_NE(error_with([](TinyLlama& s) { s.tensor("blk.0.attn_q.weight").type = DType::i32; }).find("holds integers"),
            std::string::npos);
  EXPECT_EQ(error_with([](TinyLlama& s) {
              s.tensors.push_back({"blk.0.attn_rot_embd.weight", DType::f32, {2}});
            }),
            "no error");
}

TEST(Weights, RefusesNumbersThatAreNotFiniteInSmallTensors) {
  for (const std::uint32_t bits : {0x7f800000U, 0xff800000U, 0x7fc00000U})
    EXPECT_NE(error_with([&](TinyLlama& sample) {
                sample.fill = [bits](const std::string& name, std::vector<std::byte>& bytes) {
                  if (name == "blk.0.ffn_norm.weight") std::memcpy(bytes.data() + 28, &bits, 4);
                };
              }).find("'blk.0.ffn_norm.weight' holds a value that is not a finite number"),
              std::string::npos);
}

TEST(Weights, ChecksWithoutCopying) {
  for (const char* const name : tiny_models) {
    const GgufFile file = model(name);
    EXPECT_NO_THROW(check_weights(file, read_model_config(file))) << name;
  }
}

TEST(Weights, LoadsTheDefaultModelWhereItIsInstalled) {
  const char* const home = std::getenv("HOME");
  const std::filesystem::path path = std::filesystem::path(home == nullptr ? "" : home) /
                                     ".local/share/lectern/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "the default model is not installed: installer/run fetches it";
  const GgufFile file(path);
  const ModelConfig config = read_model_config(file);
  const Weights weights = load_weights(file, config);
  EXPECT_EQ(config.quantization, "Q4_1");
  EXPECT_EQ(config.parameters, 134515008);
  EXPECT_EQ(weights.embedding.type, DType::q8_0);
  EXPECT_EQ(weights.owned_bytes, 0);
}

}  // namespace
}  // namespace lectern::inference

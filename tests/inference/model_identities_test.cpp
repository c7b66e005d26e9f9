// Changes of a model's files after which it must compute the same (model.md 8.3, identities 5 and 6).
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <numeric>

#include "inference/checkpoint.h"
#include "kernels/moe_route.h"
#include "tests/inference/model_samples.h"
#include "tests/inference/safetensors_samples.h"

namespace lectern::inference {
namespace {

using samples::OwnTensor;
using samples::read;
using samples::tokens_of;

class ModelIdentities : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// A tiny model whose tensors may be changed before it is written as one file beside its config.json.
  std::map<std::string, OwnTensor> take(const std::string& name) {
    name_ = name;
    std::map<std::string, OwnTensor> tensors;
    const Checkpoint checkpoint(samples::models / name);
    for (OwnTensor& tensor : samples::own(checkpoint.tensors())) tensors[tensor.name] = tensor;
    return tensors;
  }
  std::vector<float> logits_with(const std::map<std::string, OwnTensor>& tensors) const {
    std::vector<OwnTensor> list;
    for (const auto& [name, tensor] : tensors) list.push_back(tensor);
    samples::write_file(folder_ / "model.safetensors", samples::safetensors(list));
    std::filesystem::copy_file(samples::models / name_ / "config.json", folder_ / "config.json",
                               std::filesystem::copy_options::overwrite_existing);
    return read(Model(folder_), tokens(), {});
  }
  std::vector<float> logits() const { return read(Model(samples::models / name_), tokens(), {}); }
  std::vector<TokenId> tokens() const {
    std::vector<TokenId> ids = tokens_of(name_);
    ids.resize(65);
    return ids;
  }

  std::filesystem::path folder_ = samples::temporary("identities");
  std::string name_;
};

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    most = std::max(most, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return most;
}

/// Rows of an interleaved matrix: of each of `groups` equal groups, the rows [first, first + count).
OwnTensor of_groups(const OwnTensor& mixed, const std::string& name, std::int64_t groups, std::int64_t first,
                    std::int64_t count) {
  OwnTensor result{name, mixed.type, {groups * count, mixed.shape[1]}, ""};
  const std::int64_t group = mixed.shape[0] / groups;
  for (std::int64_t g = 0; g < groups; ++g) result.bytes += mixed.rows(g * group + first, count);
  return result;
}

TEST_F(ModelIdentities, SplitProjectionsAreInterleavedOnes) {
  auto tensors = take("qwen3next-base");  // 2 key heads of 8, 2 value heads of 8 each
  int changed = 0;
  for (const auto& [name, mixed] : std::map(tensors)) {
    const std::size_t at = name.find("in_proj_");
    if (at == std::string::npos) continue;
    const std::string prefix = name.substr(0, at + 8);
    tensors.erase(name);
    const auto put = [&](OwnTensor tensor) { tensors[tensor.name] = tensor; };
    if (name.ends_with("qkvz.weight")) {
      OwnTensor qkv = of_groups(mixed, prefix + "qkv.weight", 2, 0, 8);
      qkv.bytes += of_groups(mixed, "", 2, 8, 8).bytes + of_groups(mixed, "", 2, 16, 16).bytes;
      qkv.shape[0] = 64;
      put(qkv);
      put(of_groups(mixed, prefix + "z.weight", 2, 32, 16));
    } else {
      put(of_groups(mixed, prefix + "b.weight", 2, 0, 2));
      put(of_groups(mixed, prefix + "a.weight", 2, 2, 2));
    }
    ++changed;
  }
  EXPECT_EQ(changed, 12);
  EXPECT_EQ(largest_difference(logits(), logits_with(tensors)), 0.0);
}

TEST_F(ModelIdentities, TiledValueHeadsAreGroupedOnes) {
  name_ = "qwen35-ratio3";
  const Model tiled(samples::models / "qwen35-ratio3.gguf");
  EXPECT_EQ(tiled.config().delta.sharing, kernels::DeltaHeads::tiled);
  EXPECT_LE(largest_difference(logits(), read(tiled, tokens(), {})), 2e-5);
}

TEST_F(ModelIdentities, NormsAndDecaysOfAFolderAreThoseOfGguf) {
  for (const char* const name : {"qwen3next-ratio3", "qwen3-gqa8"}) {
    const Model folder(samples::models / name), gguf(samples::models / (std::string(name) + ".gguf"));
    ASSERT_EQ(folder.weights().layers.size(), gguf.weights().layers.size());
    const auto expect_equal = [](kernels::ConstTensor a, kernels::ConstTensor b, double tolerance) {
      const std::vector<float> x = samples::values_of(a), y = samples::values_of(b);
      ASSERT_EQ(x.size(), y.size());
      for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], tolerance * std::fabs(y[i]));
    };
    expect_equal(folder.weights().output_norm, gguf.weights().output_norm, 0);
    for (std::size_t i = 0; i < folder.weights().layers.size(); ++i) {
      const LayerWeights &a = folder.weights().layers[i], &b = gguf.weights().layers[i];
      expect_equal(a.input_norm, b.input_norm, 0);
      expect_equal(a.ffn_norm, b.ffn_norm, 0);
      if (const auto* const attention = std::get_if<AttentionWeights>(&a.mixer)) {
        expect_equal(attention->q_norm, std::get<AttentionWeights>(b.mixer).q_norm, 0);
      } else {
        expect_equal(std::get<DeltaWeights>(a.mixer).norm, std::get<DeltaWeights>(b.mixer).norm, 0);
        expect_equal(std::get<DeltaWeights>(a.mixer).decay, std::get<DeltaWeights>(b.mixer).decay, 3e-7);
      }
    }
  }
}

TEST_F(ModelIdentities, FusedExpertsAreSingleOnes) {
  auto tensors = take("qwen3next-base");  // 8 experts of 8
  for (int layer = 0; layer < 8; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".mlp.experts.";
    if (!tensors.contains(prefix + "0.up_proj.weight")) continue;
    OwnTensor both{prefix + "gate_up_proj", "F32", {8, 16, 24}, ""}, down{prefix + "down_proj", "F32", {8, 24, 8}, ""};
    for (int expert = 0; expert < 8; ++expert) {
      const std::string one = prefix + std::to_string(expert);
      for (const char* const part : {".gate_proj.weight", ".up_proj.weight"}) {
        both.bytes += tensors[one + part].bytes;
        tensors.erase(one + part);
      }
      down.bytes += tensors[one + ".down_proj.weight"].bytes;
      tensors.erase(one + ".down_proj.weight");
    }
    tensors[both.name] = both;
    tensors[down.name] = down;
  }
  EXPECT_EQ(largest_difference(logits(), logits_with(tensors)), 0.0);
}

TEST_F(ModelIdentities, ExpertsMayStandInAnyOrder) {
  auto tensors = take("qwen3next-base");
  const auto original = tensors;
  for (auto& [name, tensor] : tensors) {
    if (name.ends_with("mlp.gate.weight")) {
      tensor.bytes.clear();
      for (std::int64_t expert = 0; expert < 8; ++expert)
        tensor.bytes += original.at(name).rows((expert * 3 + 1) % 8, 1);
    }
    const std::size_t at = name.find("experts.");
    if (at == std::string::npos || name.starts_with("mtp.")) continue;
    const int expert = name[at + 8] - '0';
    std::string source = name;
    source[at + 8] = static_cast<char>('0' + (expert * 3 + 1) % 8);
    tensor.bytes = original.at(source).bytes;
  }
  EXPECT_LE(largest_difference(logits(), logits_with(tensors)), 2e-5);
  tensors["model.layers.0.mlp.gate.weight"] =
      original.at("model.layers.0.mlp.gate.weight");  // not together: another model
  EXPECT_GT(largest_difference(logits(), logits_with(tensors)), 1e-2);
}

TEST(RouterIdentities, ChosenSharesAreASoftmaxOfTheChosenAndAllOfThemAreADenseMixture) {
  kernels::Stream stream(1);
  constexpr std::int64_t rows = 5, experts = 7;
  std::vector<float> logits(rows * experts);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = 3 * std::sin(static_cast<float>(7 * i + 1));
  const auto route = [&](std::int64_t used, bool normalize, std::vector<std::int32_t>& ids) {
    std::vector<float> shares(static_cast<std::size_t>(rows * used));
    ids.resize(shares.size());
    kernels::moe_route(stream, kernels::f32_view(logits.data(), {rows, experts}), normalize,
                       kernels::Tensor(ids.data(), kernels::DType::i32, {rows, used}),
                       kernels::f32_view(shares.data(), {rows, used}));
    return shares;
  };
  for (const std::int64_t used : {std::int64_t{3}, experts}) {
    std::vector<std::int32_t> ids;
    const std::vector<float> shares = route(used, used < experts, ids);  // all of them: no division
    for (std::int64_t row = 0; row < rows; ++row) {
      double sum = 0;
      const auto exponential = [&](std::int64_t i) {
        return std::exp(static_cast<double>(
            logits[static_cast<std::size_t>(row * experts + ids[static_cast<std::size_t>(row * used + i)])]));
      };
      for (std::int64_t i = 0; i < used; ++i) sum += exponential(i);
      for (std::int64_t i = 0; i < used; ++i)
        EXPECT_NEAR(shares[static_cast<std::size_t>(row * used + i)], exponential(i) / sum, 1e-6);
    }
  }
}

}  // namespace
}  // namespace lectern::inference

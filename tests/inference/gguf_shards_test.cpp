// Models of several files, made from a tiny one by dealing its tensors out.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <filesystem>

#include "inference/gguf_file.h"
#include "inference/weights.h"
#include "tests/inference/gguf_samples.h"

namespace lectern::inference {
namespace {

using samples::error_of;
using samples::TinyLlama;

class GgufShards : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    for (int part = 0; part < 3; ++part) write(part, part, 3, 11);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path path(int part) const {
    char name[64];
    std::snprintf(name, sizeof name, "tiny-%05d-of-00003.gguf", part + 1);
    return folder_ / name;
  }
  /// Part `part` with every third tensor, saying that it is part `number` of `count`.
  void write(int part, std::uint32_t number, std::uint32_t count, std::uint32_t tensors) const {
    TinyLlama sample;
    std::vector<samples::TensorSpec> own;
    for (std::size_t i = static_cast<std::size_t>(part); i < sample.tensors.size(); i += 3)
      own.push_back(sample.tensors[i]);
    sample.tensors = own;
    sample.more_metadata = [=](GgufWriter& writer) {
      writer.add_u32("split.no", number);
      writer.add_u32("split.count", count);
      writer.add_u32("split.tensors.count", tensors);
    };
    const std::vector<std::byte> bytes = sample.bytes();
    std::ofstream(path(part), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  std::string error(int part = 0) const {
    return error_of([&] { GgufFile file(path(part)); });
  }

  std::filesystem::path folder_ = samples::temporary("shards");
};

TEST_F(GgufShards, OpensAllFromAnyPart) {
  const GgufFile whole(TinyLlama().bytes(), "whole.gguf");
  for (int part = 0; part < 3; ++part) {
    GgufFile opened(path(part));
    const GgufFile file = std::move(opened);  // views and names survive a move
    EXPECT_EQ(file.name(), path(0).string());
    ASSERT_EQ(file.tensors().size(), whole.tensors().size());
    std::uintmax_t bytes = 0;
    for (int i = 0; i < 3; ++i) bytes += std::filesystem::file_size(path(i));
    EXPECT_EQ(static_cast<std::uintmax_t>(file.size_bytes()), bytes);
    for (const GgufTensor& tensor : whole.tensors()) {
      const kernels::ConstTensor expected = whole.view(tensor), actual = file.required_tensor(tensor.name);
      ASSERT_EQ(actual.size_bytes(), expected.size_bytes());
      EXPECT_EQ(std::memcmp(actual.data, expected.data, static_cast<std::size_t>(expected.size_bytes())), 0);
    }
    const ModelConfig config = read_model_config(file);
    const Weights weights = load_weights(file, config);
    EXPECT_EQ(weights.layers.size(), 1U);
    EXPECT_EQ(file.file_of(*file.find_tensor("blk.0.attn_norm.weight")), path(2).string());
  }
}

TEST_F(GgufShards, NamesThePartThatIsMissing) {
  std::filesystem::remove(path(1));
  for (int part : {0, 2})
    EXPECT_EQ(error(part), path(1).string() + ": part 2 of 3 of the model is missing; put it beside " +
                               path(part).filename().string());
}

TEST_F(GgufShards, RefusesPartsThatDoNotBelongTogether) {
  write(1, 2, 3, 11);
  EXPECT_NE(error().find(path(1).string() + ": its metadata names another part"), std::string::npos) << error();
  write(1, 1, 4, 11);
  EXPECT_NE(error().find(path(1).string() + ": its metadata names another part"), std::string::npos) << error();
  write(1, 7, 3, 11);
  EXPECT_NE(error().find("'split.no' is 7; 0 to 2 is possible"), std::string::npos) << error();
  std::filesystem::copy_file(path(0), path(1), std::filesystem::copy_options::overwrite_existing);
  EXPECT_NE(error().find("names another part"), std::string::npos) << error();
  EXPECT_NE(error(1).find("its name must end in '-00001-of-00003.gguf'"), std::string::npos) << error(1);
  write(1, 1, 3, 11);
  EXPECT_EQ(error(1), "no error");
  write(0, 0, 3, 12);
  EXPECT_NE(error().find("'split.tensors.count' is 12, but the parts hold 11"), std::string::npos) << error();
  write(0, 0, 4000000000U, 11);
  EXPECT_NE(error().find("'split.count' is 4000000000"), std::string::npos) << error();
}

TEST_F(GgufShards, RefusesATensorThatIsInTwoParts) {
  write(0, 0, 3, 11);
  TinyLlama sample;
  sample.more_metadata = [](GgufWriter& writer) {
    writer.add_u32("split.no", 1);
    writer.add_u32("split.count", 3);
  };
  const std::vector<std::byte> bytes = sample.bytes();
  std::ofstream(path(1), std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  EXPECT_NE(error().find(path(1).string() + ": tensor 'token_embd.weight' is in another part"), std::string::npos)
      << error();
}

TEST(GgufShardNames, AreKnownByTheirNumber) {
  EXPECT_TRUE(is_later_gguf_shard("models/x-00002-of-00003.gguf"));
  EXPECT_FALSE(is_later_gguf_shard("x-00001-of-00003.gguf"));
  EXPECT_FALSE(is_later_gguf_shard("x-0002-of-00003.gguf"));
  EXPECT_FALSE(is_later_gguf_shard("x.gguf"));
}

}  // namespace
}  // namespace lectern::inference

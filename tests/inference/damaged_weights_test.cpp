// A value that is no number, anywhere in a model's files, ends in an error that says where: at loading for small
// tensors and gates, in the layer whose result it reached for the rest.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "inference/checkpoint.h"
#include "kernels/error.h"
#include "tests/inference/model_samples.h"
#include "tests/inference/safetensors_samples.h"

namespace lectern::inference {
namespace {

using samples::OwnTensor;

const std::filesystem::path folder = samples::temporary("damaged");

/// What reading 20 tokens says when `bad` stands in all of a tensor, or in its first value alone.
std::string error_with(const std::string& name, std::vector<OwnTensor> tensors, std::size_t damaged, float bad,
                       bool everywhere) {
  std::string& bytes = tensors[damaged].bytes;
  for (std::size_t at = 0; at < (everywhere ? bytes.size() : 4); at += 4) std::memcpy(bytes.data() + at, &bad, 4);
  samples::write_file(folder / "model.safetensors", samples::safetensors(tensors));
  std::filesystem::copy_file(samples::models / name / "config.json", folder / "config.json",
                             std::filesystem::copy_options::overwrite_existing);
  std::vector<TokenId> tokens = samples::tokens_of(name);
  tokens.resize(20);
  tokens[0] = 0;  // so that the first row of the embedding is read
  return samples::error_of([&] { samples::read(Model(folder), tokens, {}); });
}

TEST(DamagedWeights, AreNamedByTensorOrLayer) {
  for (const std::string name : {"qwen3next-mixed", "qwen35-ratio3", "qwen3-gqa8"}) {
    const std::vector<OwnTensor> tensors = samples::own(Checkpoint(samples::models / name).tensors());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const std::string& tensor = tensors[i].name;
      if (tensor.starts_with("mtp.") || is_vision_tensor(tensor)) continue;  // nothing computes with them
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
        for (const bool everywhere : {true, false}) {
          const std::string error = error_with(name, tensors, i, bad, everywhere);
          const std::size_t at = tensor.find("layers.");
          const std::string layer = at == std::string::npos ? "" : "layer " + tensor.substr(at + 7, 1);
          EXPECT_TRUE(error.find("finite") != std::string::npos &&
                      (error.find(tensor) != std::string::npos || error.find(layer) != std::string::npos))
              << name << ' ' << tensor << ' ' << bad << ": " << error;
        }
    }
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace lectern::inference

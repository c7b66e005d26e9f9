// What is packed and how it is counted. That packed rows are the same numbers is tested in
// tests/kernels/packed_rows_test.cpp, and the logits of models with packed rows in forward_test.cpp.
#include "inference/weight_packing.h"

#include <gtest/gtest.h>

#include <cstring>

#include "inference/model_source.h"
#include "kernels/cpu/packed_rows.h"
#include "kernels/error.h"
#include "model_samples.h"

namespace lectern::inference {
namespace {

using kernels::ConstTensor;
using kernels::DType;

TEST(WeightPacking, PacksWhatIsReadInPlaceAndCountsItOnce) {
  const ModelSource source(samples::models / "qwen3next-blocks-q8_0.gguf");
  const ModelConfig config = source.read_config();
  const Weights before = source.load_weights(config);
  Weights after = source.load_weights(config);
  pack_weights(after);

  std::int64_t packed_bytes = 0;
  const auto compare = [&](const ConstTensor& was, const ConstTensor& is) {
    ASSERT_EQ(was.type, is.type);
    ASSERT_EQ(was.shape, is.shape);
    ASSERT_EQ(is.packed, kernels::cpu::can_pack(was));
    if (!is.packed) return;
    packed_bytes += is.size_bytes();
    const std::int64_t bytes = kernels::row_bytes(is.type, is.columns());
    std::vector<std::byte> row(static_cast<std::size_t>(bytes));
    for (std::int64_t i = 0; i < is.rows(); ++i) {
      kernels::cpu::unpack_row(is, i, row.data());
      ASSERT_EQ(std::memcmp(row.data(), was.data + i * bytes, row.size()), 0) << "row " << i;
    }
  };
  compare(before.embedding, after.embedding);
  compare(before.output, after.output);
  for (std::size_t layer = 0; layer < before.layers.size(); ++layer) {
    SCOPED_TRACE("layer " + std::to_string(layer));
    if (const auto* was = std::get_if<AttentionWeights>(&before.layers[layer].mixer)) {
      const auto& is = std::get<AttentionWeights>(after.layers[layer].mixer);
      compare(was->q, is.q);
      compare(was->k, is.k);
      compare(was->v, is.v);
      compare(was->output, is.output);
    } else {
      const auto& rows = std::get<DeltaWeights>(before.layers[layer].mixer);
      const auto& is = std::get<DeltaWeights>(after.layers[layer].mixer);
      compare(rows.qkv, is.qkv);
      compare(rows.z, is.z);
      compare(rows.output, is.output);
      EXPECT_FALSE(is.b.packed) << "rows that were put in order stay as they are";
    }
    if (const auto* was = std::get_if<MoeWeights>(&before.layers[layer].ffn)) {
      const auto& is = std::get<MoeWeights>(after.layers[layer].ffn);
      compare(was->gate, is.gate);
      compare(was->up, is.up);
      compare(was->down, is.down);
      compare(was->shared.down, is.shared.down);
      packed_bytes += is.shared.gate.packed ? is.shared.gate.size_bytes() + is.shared.up.size_bytes() : 0;
    }
  }
  EXPECT_GT(packed_bytes, 0);
  EXPECT_EQ(after.owned_bytes, before.owned_bytes + packed_bytes);
  EXPECT_EQ(after.mapped_bytes, before.mapped_bytes - packed_bytes);
}

TEST(WeightPacking, KeepsATiedOutputOneMatrix) {
  const std::int64_t rows = 64, columns = 256;
  kernels::Buffer file(rows * kernels::row_bytes(DType::q4_k, columns));  // pages, as a mapped file is
  Weights weights;
  weights.embedding = weights.output = ConstTensor(file.data(), DType::q4_k, {rows, columns});
  weights.mapped_bytes = file.size_bytes();
  pack_weights(weights);
  EXPECT_TRUE(weights.embedding.packed);
  EXPECT_TRUE(weights.output.packed);
  EXPECT_EQ(weights.embedding.data, weights.output.data);
  EXPECT_EQ(weights.owned.size(), 1U);
  EXPECT_EQ(weights.mapped_bytes, 0);
  EXPECT_EQ(weights.owned_bytes, file.size_bytes());
}

TEST(WeightPacking, DoesNotMakeAnOpenModelCountTwiceAgainstFreeMemory) {
  const Model model(samples::models / "qwen3next-blocks-q8_0.gguf");
  ASSERT_GT(model.weights().owned_bytes, 0);
  const std::int64_t window = 512, chunk = 64;
  const std::int64_t needed = plan_memory(model.weights().bytes(), model.config(), window, chunk).total();
  const std::int64_t still_free = needed - model.weights().owned_bytes;  // as the system says once they are loaded
  EXPECT_EQ(choose_window(model, window, chunk, still_free), window);
  EXPECT_THROW(choose_window(model, window, chunk, still_free - 1), Error);
}

}  // namespace
}  // namespace lectern::inference

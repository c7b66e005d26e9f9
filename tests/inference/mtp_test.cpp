// The layer for multi-token prediction against a float64 evaluation (tests/reference/make_mtp_goldens.py).
#include "inference/mtp_layer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "inference/npy_file.h"
#include "kernels/error.h"
#include "tests/inference/model_samples.h"

namespace lectern::inference {
namespace {

using samples::tokens_of;
using samples::values_of;

constexpr std::int64_t window = 1024, chunk = 64;

TEST(MtpLayer, MatchesTheReferenceInOneReadInPiecesAndInDrafts) {
  for (const std::string name : {"qwen3next-base", "qwen35-ratio3", "qwen35moe-gqa16"})
    for (const std::string suffix : {"", ".gguf"}) {
      if (name == "qwen3next-base" && suffix == ".gguf") continue;  // that format has no such layer there
      SCOPED_TRACE(name + suffix);
      const NpyArray golden = read_npy(samples::models.parent_path() / "mtp" / (name + ".npy"));
      const Model model(samples::models / (name + suffix));
      const std::int64_t vocabulary = model.config().vocabulary;
      const auto pairs = static_cast<std::int64_t>(golden.values.size()) / vocabulary - 3;
      const std::vector<TokenId> all = tokens_of(name);
      const std::span<const TokenId> tokens = std::span(all).first(static_cast<std::size_t>(pairs) + 1);
      ModelRun run(model, window, chunk, 1);
      MtpLayer layer(model.config(), model.weights(), run.stream(), vocabulary, chunk, window);
      std::vector<float> hidden;
      run.read(tokens, {}, [&](kernels::ConstTensor rows) { hidden = values_of(rows); });
      const std::int64_t width = model.config().hidden;
      const auto rows_at = [&](std::int64_t first, std::int64_t count) {
        return kernels::f32_view(std::as_const(hidden).data() + first * width, {count, width});
      };
      const auto expect_near = [&](std::span<const float> logits, std::int64_t row) {
        double most = 0, sum = 0;
        for (std::size_t index = 0; index < logits.size(); ++index) {
          const float expected = golden.values[static_cast<std::size_t>(row * vocabulary) + index];
          const double difference = std::fabs(static_cast<double>(logits[index]) - static_cast<double>(expected));
          most = std::max(most, difference);
          sum += difference;
        }
        EXPECT_LE(most, 2e-4) << "row " << row;
        EXPECT_LE(sum / static_cast<double>(logits.size()), 1e-5) << "row " << row;
      };
      std::vector<float> first_bits;
      for (const std::int64_t piece : {pairs, std::int64_t{1}, std::int64_t{5}}) {
        layer.restart();
        std::vector<float> logits;
        for (std::int64_t first = 0; first < pairs; first += piece) {
          const std::int64_t count = std::min(piece, pairs - first);
          const kernels::ConstTensor m =
              layer.run(tokens.subspan(static_cast<std::size_t>(first) + 1, static_cast<std::size_t>(count)),
                        rows_at(first, count), RowKind::prefill);
          std::vector<float> part(static_cast<std::size_t>(count * vocabulary));
          layer.logits(m, RowKind::prefill, kernels::f32_view(part.data(), {count, vocabulary}));
          logits.insert(logits.end(), part.begin(), part.end());
        }
        expect_near(logits, 0);
        if (first_bits.empty()) first_bits = logits;
        EXPECT_TRUE(logits == first_bits) << "pieces of " << piece;
      }
      // Drafts: the last pair again, then each guess with the row that it came from.
      layer.restart();
      layer.read(tokens.subspan(1, static_cast<std::size_t>(pairs) - 1), rows_at(0, pairs - 1), RowKind::prefill);
      const std::vector<TokenId> drafts = layer.propose(tokens.back(), rows_at(pairs - 1, 1), 4);
      EXPECT_EQ(layer.length(), pairs);
      ASSERT_EQ(drafts.size(), 4U);
      for (std::size_t step = 0; step < drafts.size(); ++step) {
        const auto row = golden.values.begin() + (pairs - 1 + static_cast<std::int64_t>(step)) * vocabulary;
        EXPECT_EQ(drafts[step], std::max_element(row, row + vocabulary) - row) << step;
      }
    }
}

TEST(MtpLayer, SaysWhichModelCannotDraft) {
  const Model model(samples::models / "qwen3next-base.gguf");
  kernels::Stream stream(1);
  try {
    const MtpLayer layer(model.config(), model.weights(), stream, 10, chunk, window);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_NE(std::string(error.what()).find(model.config().name), std::string::npos);
  }
}

}  // namespace
}  // namespace lectern::inference

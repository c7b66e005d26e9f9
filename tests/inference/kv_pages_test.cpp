#include "inference/kv_pages.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/error.h"

namespace lectern::inference {
namespace {

constexpr std::int64_t layers = 3;
const kernels::KvShape shape{2, 8, kernels::DType::f32};

/// Writes a value that names layer, half, head, token and owner into every slot of [first, last).
void fill(KvSequence& sequence, std::int64_t first, std::int64_t last, float owner) {
  std::vector<std::byte*> strips(sequence.pages().size());
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const kernels::KvStrips memory = sequence.strips(layer, strips);
    for (std::int64_t token = first; token < last; ++token)
      for (std::int64_t block = 0; block < 2 * shape.heads; ++block) {
        auto* row = reinterpret_cast<float*>(memory[static_cast<std::size_t>(token / kernels::kv_page_tokens)]) +
                    (block * kernels::kv_page_tokens + token % kernels::kv_page_tokens) * shape.head_dim;
        for (std::int64_t d = 0; d < shape.head_dim; ++d)
          row[d] = owner + static_cast<float>(layer * 100 + block * 10) + static_cast<float>(token) * 1000.0F;
      }
  }
}

bool holds(const KvSequence& sequence, std::int64_t first, std::int64_t last, float owner) {
  std::vector<std::byte*> strips(sequence.pages().size());
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const kernels::KvStrips memory = sequence.strips(layer, strips);
    for (std::int64_t token = first; token < last; ++token)
      for (std::int64_t block = 0; block < 2 * shape.heads; ++block) {
        const auto* row =
            reinterpret_cast<const float*>(memory[static_cast<std::size_t>(token / kernels::kv_page_tokens)]) +
            (block * kernels::kv_page_tokens + token % kernels::kv_page_tokens) * shape.head_dim;
        for (std::int64_t d = 0; d < shape.head_dim; ++d)
          if (row[d] != owner + static_cast<float>(layer * 100 + block * 10) + static_cast<float>(token) * 1000.0F)
            return false;
      }
  }
  return true;
}

void grow(KvSequence& sequence, std::int64_t tokens, float owner) {
  const std::int64_t first = sequence.length();
  sequence.reserve(tokens);
  fill(sequence, first, first + tokens, owner);
  sequence.advance(tokens);
}

class KvPages : public ::testing::Test {
 protected:
  KvPagePool pool{layers, shape, 64 * layers* shape.strip_bytes()};
};

TEST_F(KvPages, GrowsWithoutCopyingAndGivesEverythingBack) {
  {
    KvSequence sequence(pool);
    for (std::int64_t step : {1, 254, 1, 1, 255, 256, 300}) grow(sequence, step, 0.5F);
    EXPECT_EQ(sequence.length(), 1068);
    EXPECT_EQ(pool.pages_in_use(), 5);
    EXPECT_TRUE(holds(sequence, 0, 1068, 0.5F));
  }
  EXPECT_EQ(pool.pages_in_use(), 0);
}

TEST_F(KvPages, AForkSharesPagesAndCopiesOnlyThePartFilledOneItWrites) {
  KvSequence first(pool);
  grow(first, 300, 0.25F);
  KvSequence second(pool, first.pages(), 300);
  EXPECT_EQ(pool.pages_in_use(), 2);
  grow(first, 50, 0.25F);  // goes on in place
  EXPECT_EQ(pool.pages_in_use(), 2);
  grow(second, 60, 0.75F);  // must not overwrite what the first wrote
  EXPECT_EQ(pool.pages_in_use(), 3);
  EXPECT_TRUE(first.pages()[0] == second.pages()[0]);
  EXPECT_FALSE(first.pages()[1] == second.pages()[1]);
  EXPECT_TRUE(holds(first, 0, 350, 0.25F));
  EXPECT_TRUE(holds(second, 0, 300, 0.25F));
  EXPECT_TRUE(holds(second, 300, 360, 0.75F));
}

TEST_F(KvPages, AForkAtAPageBoundaryCopiesNothing) {
  KvSequence first(pool);
  grow(first, 512, 0.25F);
  KvSequence second(pool, first.pages(), 512);
  grow(first, 1, 0.25F);
  grow(second, 1, 0.75F);
  EXPECT_EQ(pool.pages_in_use(), 4);
  EXPECT_TRUE(holds(first, 0, 513, 0.25F));
  EXPECT_TRUE(holds(second, 512, 513, 0.75F));
}

TEST_F(KvPages, AfterCuttingBackASharedPageIsCopiedBeforeItIsWritten) {
  KvSequence first(pool);
  grow(first, 100, 0.25F);
  const KvSequence kept(pool, first.pages(), 100);
  first.truncate(40);
  grow(first, 10, 0.75F);
  EXPECT_TRUE(holds(kept, 0, 100, 0.25F));
  EXPECT_TRUE(holds(first, 0, 40, 0.25F));
  EXPECT_TRUE(holds(first, 40, 50, 0.75F));
}

TEST_F(KvPages, AloneOnAPageASequenceWritesInPlaceAfterCuttingBack) {
  KvSequence first(pool);
  grow(first, 100, 0.25F);
  first.truncate(40);
  grow(first, 10, 0.75F);
  EXPECT_EQ(pool.pages_in_use(), 1);
}

TEST_F(KvPages, ARefusedReservationChangesNothing) {
  KvPagePool small(layers, shape, 2 * layers * shape.strip_bytes());
  KvSequence sequence(small);
  grow(sequence, 300, 0.5F);
  EXPECT_THROW(sequence.reserve(300), Error);
  EXPECT_EQ(sequence.length(), 300);
  EXPECT_EQ(small.pages_in_use(), 2);
  EXPECT_NO_THROW(sequence.reserve(212));
}

TEST(KvPagesOfNoLayers, CountTokensWithoutMemory) {
  KvPagePool pool(0, shape, 0);
  KvSequence sequence(pool);
  sequence.reserve(1000);
  sequence.advance(1000);
  EXPECT_EQ(sequence.length(), 1000);
}

}  // namespace
}  // namespace lectern::inference

// The file format: what is written is read back, of every shape and at every place.
#include "inference/disk/extent_file.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/inference/disk/kept_samples.h"
#include "tests/support/memory_file_system.h"

namespace lectern::inference {
namespace {

using samples::Chain;
using samples::Memory;

class ExtentFile : public ::testing::TestWithParam<int> {
 protected:
  static KeptShape shape() {
    switch (GetParam()) {
      case 0: return samples::hybrid_shape();
      case 1: return samples::attention_shape();
      default: return samples::odd_shape();
    }
  }
  test::MemoryFileSystem files;
  Memory memory{shape()};
  ContextDisk disk{{"/kept", std::int64_t{1} << 32}, samples::identity(), shape(), files};
};

INSTANTIATE_TEST_SUITE_P(Shapes, ExtentFile, ::testing::Values(0, 1, 2), [](const auto& shape) {
  return std::string(shape.param == 0 ? "Hybrid" : shape.param == 1 ? "Attention" : "Odd");
});

TEST_P(ExtentFile, ComesBackWhereverItBeginsAndEnds) {
  for (const std::vector<int>& sizes : std::vector<std::vector<int>>{
           {1}, {255}, {256}, {257}, {512}, {1, 1}, {255, 1}, {256, 256}, {100, 27, 600}, {300, 1, 211, 256, 1000}}) {
    std::vector<samples::SampleSegment> segments;
    int seed = static_cast<int>(sizes.size()) * 10;
    for (int size : sizes) {
      seed += size + 1;
      segments.push_back(
          samples::segment(samples::document(seed), size, seed, seed % 3 == 0 ? RowKind::decode : RowKind::prefill));
    }
    const Chain chain(samples::identity(), segments);
    samples::save(disk, memory, chain);
    disk.flush();
    for (std::int64_t first :
         {std::int64_t{0}, std::int64_t{1}, std::int64_t{250}, std::int64_t{256}, chain.length()}) {
      const auto back = samples::read_back(disk, memory, chain, std::min(first, chain.length()));
      EXPECT_EQ(back.position, chain.length()) << first;
      EXPECT_EQ(back.wrong, 0) << first;
    }
  }
  EXPECT_EQ(disk.stats().problem, "");
}

TEST_P(ExtentFile, LayersCanBeWaitedForOneByOne) {
  const Chain chain(samples::identity(), {samples::segment("a", 700, 1)});
  samples::save(disk, memory, chain);
  disk.flush();
  const auto path = samples::kept_path(disk, chain);
  ASSERT_EQ(path.size(), 1U);
  KvSequence sequence(memory.pool());
  sequence.reserve(700);
  DeltaSnapshot snapshot(shape().delta);
  const auto restore = disk.restore(path, chain.tokens(), {&sequence, 0, &snapshot});
  ASSERT_NE(restore, nullptr);
  for (std::int64_t layer = 0; layer < shape().delta.layers; ++layer) EXPECT_TRUE(restore->wait_for_delta(layer));
  for (std::int64_t layer = 0; layer < shape().layers; ++layer) EXPECT_TRUE(restore->wait_for_keys_and_values(layer));
  EXPECT_TRUE(restore->finish());
  EXPECT_GT(restore->bytes(), 0);
  EXPECT_EQ(memory.wrong_rows(sequence, chain, 0, 700), 0);
}

TEST_P(ExtentFile, OtherTokensAreAMissAndNoDamage) {
  const Chain chain(samples::identity(), {samples::segment("a", 300, 1)});
  samples::save(disk, memory, chain);
  disk.flush();
  const auto path = samples::kept_path(disk, chain);
  KvSequence sequence(memory.pool());
  sequence.reserve(300);
  DeltaSnapshot snapshot(shape().delta);
  for (std::size_t token : {0U, 150U, 299U}) {
    std::vector<TokenId> other = chain.tokens();
    ++other[token];
    EXPECT_EQ(disk.restore(path, other, {&sequence, 0, &snapshot}), nullptr);
  }
  EXPECT_EQ(samples::read_back(disk, memory, chain).position, 300);
  EXPECT_EQ(disk.stats().quarantined, 0);
}

TEST_P(ExtentFile, AWholePagesStripIsThePagesMemory) {
  const Chain chain(samples::identity(), {samples::segment("a", 256, 1)});
  const KvSequence sequence = memory.rows(chain);
  ExtentImage image({samples::identity(), chain.root(), chain.extents()[0], shape(), chain.tokens(), 0},
                    sequence.pages(), memory.state(chain, 256));
  for (std::int64_t layer = 0; layer < shape().layers; ++layer) {
    const Strip& strip = image.layout().strips[image.layout().rows_strip(layer, 0)];
    ASSERT_EQ(strip.bytes, shape().kv.strip_bytes());
    EXPECT_EQ(std::memcmp(image.content().data() + strip.offset, sequence.pages()[0].data() + layer * strip.bytes,
                          static_cast<std::size_t>(strip.bytes)),
              0);
  }
}

TEST_P(ExtentFile, StatesThatAreNotFiniteOrNotAtTheEndAreRefused) {
  const Chain chain(samples::identity(), {samples::segment("a", 300, 1)});
  const KvSequence sequence = memory.rows(chain);
  DeltaSnapshot bad = memory.state(chain, 300);
  bad.hidden[0] = std::numeric_limits<float>::infinity();
  disk.save(chain.extents()[0], chain.tokens(), sequence.pages(), bad);
  DeltaSnapshot other = memory.state(chain, 300);
  other.position = 299;
  disk.save(chain.extents()[0], chain.tokens(), sequence.pages(), other);
  if (shape().delta.layers > 0) {
    DeltaSnapshot nan = memory.state(chain, 300);
    *reinterpret_cast<float*>(nan.state.conv(0).data) = std::numeric_limits<float>::quiet_NaN();
    disk.save(chain.extents()[0], chain.tokens(), sequence.pages(), nan);
  }
  disk.flush();
  EXPECT_EQ(disk.stats().extents, 0);
}

// Written by a program that did not look: its checksums hold, its numbers are none.
TEST_P(ExtentFile, StatesThatAreNotFiniteAreRefusedWhenRead) {
  const Chain chain(samples::identity(), {samples::segment("a", 300, 1)});
  samples::save(disk, memory, chain);
  disk.flush();
  const KvSequence sequence = memory.rows(chain);
  DeltaSnapshot bad = memory.state(chain, 300);
  bad.hidden[0] = std::numeric_limits<float>::quiet_NaN();
  ExtentImage image({samples::identity(), chain.root(), chain.extents()[0], shape(), chain.tokens(), files.clock_s},
                    sequence.pages(), bad);
  image.seal();
  auto& content = files.content(files.files()[0]);
  content.assign(image.content().begin(), image.content().end());
  EXPECT_EQ(samples::read_back(disk, memory, chain).position, 0);
  EXPECT_EQ(disk.forgotten(chain.extents()[0].key), Forgotten::damaged);
}

TEST_P(ExtentFile, ASnapshotWithoutAHiddenRowComesBackWithoutOne) {
  const Chain chain(samples::identity(), {samples::segment("a", 10, 1)});
  const KvSequence sequence = memory.rows(chain);
  DeltaSnapshot state = memory.state(chain, 10);
  state.hidden.clear();
  disk.save(chain.extents()[0], chain.tokens(), sequence.pages(), state);
  disk.flush();
  KvSequence target(memory.pool());
  target.reserve(10);
  DeltaSnapshot snapshot(shape().delta);
  const auto restore = disk.restore(samples::kept_path(disk, chain), chain.tokens(), {&target, 0, &snapshot});
  ASSERT_NE(restore, nullptr);
  EXPECT_TRUE(restore->finish());
  EXPECT_TRUE(snapshot.hidden.empty());
}

TEST(ExtentParts, AreReadBackOrRefused) {
  const std::vector<ExtentPart> parts{{0, RowKind::prefill, ""}, {5, RowKind::decode, "fingerprint"}};
  const std::string bytes = pack_parts(parts);
  EXPECT_EQ(unpack_parts(bytes), parts);
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_EQ(unpack_parts(bytes.substr(0, size)), std::nullopt);
  EXPECT_EQ(unpack_parts(bytes + "x"), std::nullopt);
}

}  // namespace
}  // namespace lectern::inference

// A reading that comes back from the disk at any length, or from where it was stopped, goes on with the bits of one
// that was never broken off (contract C2 of the context store).
#include <gtest/gtest.h>

#include "tests/inference/kept_bed.h"
#include "tests/inference/model_samples.h"
#include "tests/support/process.h"

namespace lectern::inference {
namespace {

using samples::Bed;
using samples::chain_of;
using samples::rows_of;

TEST(KeptReadingLengths, AreAllTheSameToAWarmReading) {
  for (const char* name : {"llama-gqa", "qwen3next-base"}) {
    const Model model(samples::models / (std::string(name) + ".gguf"));
    for (const std::int64_t length : {1, 63, 64, 65, 128, 192, 255, 256, 257, 512, 1024, 8191, 8192, 8193}) {
      const test::TemporaryFolder folder;
      const PromptChain part = chain_of({length}), whole = chain_of({length, 40});
      Bed cold(model, {});
      Sequence cold_sequence(cold.pool, cold.shape);
      const ReadOutcome expected = cold.read(whole, cold_sequence);
      {
        Bed first(model, folder.path());
        Sequence sequence(first.pool, first.shape);
        first.read(part, sequence);
      }
      Bed again(model, folder.path());
      Sequence sequence(again.pool, again.shape);
      const ReadOutcome warm = again.read(whole, sequence);
      EXPECT_EQ(warm.loaded, length) << name;
      EXPECT_EQ(warm.hidden, expected.hidden) << name << ", " << length << " tokens";
      EXPECT_EQ(sequence.state, cold_sequence.state) << name << ", " << length << " tokens";
      EXPECT_TRUE(rows_of(again.pool, sequence) == rows_of(cold.pool, cold_sequence))
          << name << ", " << length << " tokens";
    }
  }
}

TEST(KeptReadingLengths, AReadingThatWasStoppedGoesOnFromItsLastMark) {
  const Model model(samples::models / "qwen3next-base.gguf");
  const test::TemporaryFolder folder;
  const PromptChain chain = chain_of({20, 10000});
  const std::int64_t total = chain.tokens();
  {
    Bed bed(model, folder.path());
    Sequence sequence(bed.pool, bed.shape);
    PromptChain read = chain;
    // As a kill would: nothing is published after the mark.
    PromptReader reader(bed.store.get(), bed.pool, sequence, read, PromptReader::Restore::at_once);
    while (reader.position() < 9000) {
      const auto piece = reader.next(512);
      reader.take(bed.forward.run({&*piece, 1}, RowKind::prefill));
    }
  }
  Bed again(model, folder.path());
  Sequence sequence(again.pool, again.shape);
  const ReadOutcome warm = again.read(chain, sequence);
  EXPECT_EQ(warm.loaded, 20 + 8192);
  Bed cold(model, {});
  Sequence cold_sequence(cold.pool, cold.shape);
  EXPECT_EQ(warm.hidden, cold.read(chain, cold_sequence).hidden);
  EXPECT_EQ(sequence.position(), total);
}

}  // namespace
}  // namespace lectern::inference

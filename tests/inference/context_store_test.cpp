// The store against a plain reference model, with a toy payload: a page's slot holds a number made from the whole chain
// up to its token, and so does a snapshot, so that any mix-up of branches, positions or pages shows.
#include "inference/context_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "tests/inference/toy_disk.h"
#include "tests/support/sanitized.h"

namespace lectern::inference {
namespace {

using samples::toy_kv;
using samples::toy_state;
using samples::ToyDisk;

/// A number in (0, 1) made of a chain's ids, segment starts and kinds of rows up to a token.
struct Fold {
  std::uint64_t state = 1469598103934665603U;
  void add(std::uint64_t value) { state = (state ^ value) * 1099511628211U; }
  float value() const { return static_cast<float>(state >> 40) / static_cast<float>(1 << 24) + 1e-6F; }
};

/// Reads chains as the engine does, but computes folds.
class Reader {
 public:
  Reader(KvPagePool& pool, bool hybrid) : pool_(pool), shape_(toy_state(hybrid)) {}

  static std::vector<float> folds(const std::vector<ChainSegment>& chain) {
    Fold fold;
    std::vector<float> values;
    for (const ChainSegment& segment : chain) {
      fold.add(7777777);
      for (TokenId id : segment.tokens) {
        fold.add(static_cast<std::uint64_t>(id) + 13);
        values.push_back(fold.value());
      }
    }
    return values;
  }

  float slot(const KvSequence& sequence, std::int64_t token) {
    std::vector<std::byte*> strips(sequence.pages().size());
    const auto memory = sequence.strips(0, strips);
    return reinterpret_cast<const float*>(memory[static_cast<std::size_t>(token / 256)])[token % 256 * toy_kv.head_dim];
  }

  std::unique_ptr<DeltaSnapshot> snapshot(const std::vector<float>& values, std::int64_t position) {
    auto snapshot = std::make_unique<DeltaSnapshot>(shape_);
    snapshot->position = position;
    snapshot->hidden[0] = values[static_cast<std::size_t>(position - 1)];
    if (shape_.layers > 0) *reinterpret_cast<float*>(snapshot->state.recurrent(0).data) = snapshot->hidden[0];
    return snapshot;
  }

  /// Where a reading of `chain` would begin.
  std::int64_t kept(ContextStore& store, const std::vector<ChainSegment>& chain) {
    Sequence sequence(pool_, shape_);
    return start(store, chain, sequence).position;
  }

  /// Resumes, checks that what is kept is right, reads up to `until`, publishing at segment ends and at `until`.
  std::int64_t read(ContextStore& store, const std::vector<ChainSegment>& chain, std::int64_t until) {
    Sequence sequence(pool_, shape_);
    const ResumePoint point = start(store, chain, sequence);
    const std::vector<float> values = folds(chain);
    std::int64_t end = 0;
    for (const ChainSegment& segment : chain) {
      end += static_cast<std::int64_t>(segment.tokens.size());
      const std::int64_t target = std::min(end, until);
      if (target <= sequence.position()) continue;
      const std::int64_t first = sequence.position();
      sequence.kv.reserve(target - first);
      std::vector<std::byte*> strips(sequence.kv.pages().size());
      const auto memory = sequence.kv.strips(0, strips);
      for (std::int64_t token = first; token < target; ++token)
        reinterpret_cast<float*>(memory[static_cast<std::size_t>(token / 256)])[token % 256 * toy_kv.head_dim] =
            values[static_cast<std::size_t>(token)];
      sequence.kv.advance(target - first);
      EXPECT_TRUE(
          store.publish(chain, target, sequence.kv.pages(), snapshot(values, target), StatePlace::document_end));
      EXPECT_EQ(store.audit(), "");
    }
    return point.position;
  }

 private:
  ResumePoint start(ContextStore& store, const std::vector<ChainSegment>& chain, Sequence& sequence) {
    const std::vector<float> values = folds(chain);
    const KeptPrefix expected = store.kept_prefix(chain);
    ResumePoint point = store.resume(chain, sequence);
    while (!store.settle(sequence, point)) point = store.resume(chain, sequence);
    if (expected.on_disk() == 0) {
      EXPECT_EQ(point.position, expected.position);
    } else {
      EXPECT_LE(point.position, expected.position);  // less where the disk turned out to be damaged
    }
    EXPECT_EQ(point.position, sequence.position());
    EXPECT_LE(point.position, static_cast<std::int64_t>(values.size()));
    for (std::int64_t token = 0; token < point.position; ++token)
      EXPECT_EQ(slot(sequence.kv, token), values[static_cast<std::size_t>(token)])
          << "slot " << token << " of " << point.position;
    if (shape_.layers > 0 && point.position > 0) {
      const float value = values[static_cast<std::size_t>(point.position - 1)];
      EXPECT_EQ(*reinterpret_cast<const float*>(sequence.state.recurrent(0).data), value);
      if (!point.hidden.empty()) {
        EXPECT_EQ(point.hidden[0], value);
      }
    }
    return point;
  }

  KvPagePool& pool_;
  DeltaShape shape_;
};

ChainSegment segment_of(int seed, int tokens, RowKind rows = RowKind::prefill) {
  ChainSegment segment;
  segment.rows = rows;
  for (int index = 0; index < tokens; ++index) segment.tokens.push_back((seed * 31 + index * 7 + index / 50) % 97);
  return segment;
}

std::int64_t length(const std::vector<ChainSegment>& chain) {
  std::int64_t sum = 0;
  for (const ChainSegment& segment : chain) sum += static_cast<std::int64_t>(segment.tokens.size());
  return sum;
}

class ContextStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  static constexpr std::int64_t large = std::int64_t{1} << 30;
  bool hybrid() const { return GetParam(); }
  KvPagePool pool{1, toy_kv, large};
  ContextStore store{pool, toy_state(GetParam()), "toy", large};
  Reader reader{pool, GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Kinds, ContextStoreTest, ::testing::Bool(),
                         [](const auto& kind) { return std::string(kind.param ? "Hybrid" : "Attention"); });

TEST_P(ContextStoreTest, AFollowUpStartsAtTheEndOfTheAnswer) {
  const std::vector<ChainSegment> asked{segment_of(1, 20), segment_of(2, 700), segment_of(3, 30)};
  EXPECT_EQ(reader.read(store, asked, length(asked)), 0);
  std::vector<ChainSegment> follow = asked;
  follow.push_back(segment_of(4, 45, RowKind::decode));
  EXPECT_EQ(reader.read(store, follow, length(follow)), 750);
  follow.push_back(segment_of(5, 12));
  EXPECT_EQ(reader.read(store, follow, length(follow)), 795);
  EXPECT_EQ(reader.read(store, follow, length(follow)), 807) << "the whole prompt: its last hidden row is kept";
}

TEST_P(ContextStoreTest, AnotherQuestionStartsAtTheEndOfTheDocuments) {
  const std::vector<ChainSegment> first{segment_of(1, 20), segment_of(2, 700), segment_of(3, 30)};
  std::vector<ChainSegment> second = first;
  second[2] = segment_of(9, 30);
  reader.read(store, first, length(first));
  EXPECT_EQ(reader.read(store, second, length(second)), 720);
  EXPECT_EQ(reader.read(store, first, length(first)), 750) << "the first branch is still there";
}

TEST_P(ContextStoreTest, AStoppedReadingGoesOnWhereItStopped) {
  const std::vector<ChainSegment> chain{segment_of(1, 20), segment_of(2, 2000)};
  reader.read(store, chain, 20 + 512);
  EXPECT_EQ(reader.read(store, chain, 20 + 1024), 532);
  EXPECT_EQ(reader.read(store, chain, length(chain)), 1044);
  EXPECT_EQ(store.stats().segments, 2);
}

TEST_P(ContextStoreTest, InsideASegmentReadingGoesOnOnlyOnItsGrid) {
  const std::vector<ChainSegment> chain{segment_of(1, 20), segment_of(2, 1000)};
  reader.read(store, chain, 20 + 500);  // not a multiple of 64
  EXPECT_EQ(reader.kept(store, chain), hybrid() ? 20 : 20 + 448);
}

TEST_P(ContextStoreTest, TheSameIdsCutOtherwiseAreAnotherChain) {
  ChainSegment whole = segment_of(2, 400);
  ChainSegment front = whole, back = whole;
  front.tokens.resize(130);
  back.tokens.erase(back.tokens.begin(), back.tokens.begin() + 130);
  reader.read(store, {whole}, 400);
  EXPECT_EQ(reader.kept(store, {front, back}), hybrid() ? 0 : 128);
}

TEST_P(ContextStoreTest, GeneratedRowsMatchOnlyAnswersGivenBack) {
  const std::vector<ChainSegment> answered{segment_of(1, 20), segment_of(2, 64, RowKind::decode)};
  reader.read(store, answered, 84);
  std::vector<ChainSegment> typed{segment_of(1, 20), segment_of(2, 64, RowKind::prefill), segment_of(3, 1)};
  EXPECT_EQ(reader.kept(store, typed), 20);
  typed[1].rows = RowKind::decode;
  EXPECT_EQ(reader.kept(store, typed), 84);
}

TEST_P(ContextStoreTest, RefusesAStateThatIsNotFiniteOrNotAtItsPosition) {
  const std::vector<ChainSegment> chain{segment_of(1, 20)};
  KvSequence sequence(pool);
  sequence.reserve(20);
  sequence.advance(20);
  const auto values = Reader::folds(chain);
  auto bad = reader.snapshot(values, 20);
  bad->hidden[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(store.publish(chain, 20, sequence.pages(), std::move(bad), StatePlace::progress));
  EXPECT_FALSE(store.publish(chain, 20, sequence.pages(), reader.snapshot(values, 19), StatePlace::progress));
  EXPECT_FALSE(store.publish(chain, 20, {}, reader.snapshot(values, 20), StatePlace::progress));
  EXPECT_EQ(store.stats().segments, 0);
}

TEST_P(ContextStoreTest, ClearingForgetsEverythingAndSaysSo) {
  const std::vector<ChainSegment> chain{segment_of(1, 20), segment_of(2, 300)};
  reader.read(store, chain, 320);
  store.clear();
  EXPECT_EQ(store.audit(), "");
  EXPECT_EQ(store.stats().bytes, 0);
  EXPECT_EQ(pool.pages_in_use(), 0);
  EXPECT_EQ(store.forgotten(chain), Forgotten::cleared);
  EXPECT_EQ(reader.read(store, chain, 320), 0);
}

TEST_P(ContextStoreTest, EvictsTheLeastRecentlyUsedWithinTheBudget) {
  const std::int64_t budget = 8 * pool.page_bytes() + 5000;
  ContextStore small(pool, toy_state(hybrid()), "toy", budget);
  const std::vector<ChainSegment> a{segment_of(1, 700)}, b{segment_of(2, 700)}, c{segment_of(3, 700)};
  reader.read(small, a, 700);
  reader.read(small, b, 700);
  EXPECT_EQ(reader.kept(small, a), 700);
  reader.read(small, c, 700);
  EXPECT_LE(small.stats().bytes, budget);
  EXPECT_EQ(reader.kept(small, b), 0);
  EXPECT_EQ(reader.kept(small, a), 700);
  EXPECT_EQ(small.forgotten(b), Forgotten::evicted);
  EXPECT_EQ(small.forgotten(std::vector<ChainSegment>{segment_of(4, 700)}), std::nullopt);
}

TEST_P(ContextStoreTest, OtherFingerprintsNeverMeet) {
  ContextStore other(pool, toy_state(hybrid()), "another toy", large);
  const std::vector<ChainSegment> chain{segment_of(1, 300)};
  reader.read(store, chain, 300);
  EXPECT_EQ(reader.kept(other, chain), 0);
}

TEST_P(ContextStoreTest, WhatMemoryGaveUpComesBackFromTheDisk) {
  ToyDisk disk(hybrid());
  ContextStore small(pool, toy_state(hybrid()), "toy", large);
  small.set_disk(&disk);
  const std::vector<ChainSegment> chain{segment_of(1, 300), segment_of(2, 300)};
  reader.read(small, chain, 600);
  EXPECT_EQ(disk.size(), 2U);
  while (small.evict_one()) EXPECT_EQ(small.audit(), "");
  EXPECT_EQ(small.stats().segments, 0);
  EXPECT_EQ(small.kept_prefix(chain).on_disk(), 600);
  EXPECT_EQ(reader.read(small, chain, 600), 600);
  EXPECT_EQ(small.stats().loaded_tokens, 600);
  EXPECT_EQ(disk.size(), 2U) << "what came from there is not saved again";
  EXPECT_EQ(reader.kept(small, chain), 600);
  EXPECT_EQ(small.stats().loaded_tokens, 600) << "the second time it was in memory";
}

TEST_P(ContextStoreTest, AnotherStoreFindsOnTheDiskWhatWasReadAndGoesOnFromThere) {
  ToyDisk disk(hybrid());
  const std::vector<ChainSegment> asked{segment_of(1, 20), segment_of(2, 700), segment_of(3, 30)};
  store.set_disk(&disk);
  reader.read(store, asked, 20 + 256);  // stopped, and taken up after a restart
  for (int restart = 0; restart < 3; ++restart) {
    ContextStore again(pool, toy_state(hybrid()), "toy", large);
    again.set_disk(&disk);
    EXPECT_EQ(reader.read(again, asked, length(asked)), restart == 0 ? 276 : 750);
    std::vector<ChainSegment> other = asked;
    other[2] = segment_of(40 + restart, 30);
    EXPECT_EQ(reader.read(again, other, length(other)), 720);
    other.push_back(segment_of(9, 45, RowKind::decode));
    EXPECT_EQ(reader.read(again, other, length(other)), 750);
  }
}

TEST_P(ContextStoreTest, OnlyRowsThatMemoryLacksAreLoaded) {
  ToyDisk disk(hybrid());
  store.set_disk(&disk);
  const std::vector<ChainSegment> one{segment_of(1, 320), segment_of(2, 300), segment_of(3, 30)};
  std::vector<ChainSegment> two = one;
  two[2] = segment_of(4, 30);
  reader.read(store, one, 650);
  reader.read(store, two, 650);
  while (store.evict_one()) {
  }
  reader.read(store, one, 650);
  const std::int64_t before = store.stats().loaded_tokens;
  EXPECT_EQ(reader.read(store, two, 650), 650);
  EXPECT_EQ(store.stats().loaded_tokens - before, 30);
}

TEST_P(ContextStoreTest, DamageOnTheDiskIsAMissAndTheRestGoesOn) {
  for (const ToyDisk::Damage how : {ToyDisk::Damage::tokens, ToyDisk::Damage::rows}) {
    ToyDisk disk(hybrid());
    ContextStore first(pool, toy_state(hybrid()), "toy", large);
    first.set_disk(&disk);
    const std::vector<ChainSegment> chain{segment_of(1, 300), segment_of(2, 300), segment_of(3, 50)};
    reader.read(first, chain, 650);
    disk.damage(1, how);
    ContextStore again(pool, toy_state(hybrid()), "toy", large);
    again.set_disk(&disk);
    EXPECT_EQ(reader.kept(again, chain), 300);
    EXPECT_EQ(again.forgotten(std::span(chain).first(2)), Forgotten::damaged);
    EXPECT_EQ(reader.read(again, chain, 650), 300);
    EXPECT_EQ(disk.size(), 3U) << "what was read again is kept again";
  }
}

TEST_P(ContextStoreTest, DamageThatTheDiskCannotPutAwayIsNotTriedForEver) {
  for (const ToyDisk::Damage how : {ToyDisk::Damage::tokens, ToyDisk::Damage::rows}) {
    ToyDisk disk(hybrid());
    ContextStore first(pool, toy_state(hybrid()), "toy", large);
    first.set_disk(&disk);
    const std::vector<ChainSegment> chain{segment_of(1, 300), segment_of(2, 300), segment_of(3, 50)};
    reader.read(first, chain, 650);
    disk.damage(1, how);
    disk.is_stuck = true;
    ContextStore again(pool, toy_state(hybrid()), "toy", large);
    again.set_disk(&disk);
    EXPECT_EQ(reader.kept(again, chain), 300);
    EXPECT_EQ(reader.read(again, chain, 650), 300);
    EXPECT_EQ(reader.kept(again, chain), 650) << "from memory";
  }
}

TEST_P(ContextStoreTest, TheDiskMayLoseWhatMemoryThoughtWasSaved) {
  ToyDisk disk(hybrid());
  store.set_disk(&disk);
  const std::vector<ChainSegment> chain{segment_of(1, 300), segment_of(2, 300), segment_of(3, 50)};
  disk.refuses = true;
  reader.read(store, chain, 300);
  disk.refuses = false;
  reader.read(store, chain, 600);  // one extent from the beginning, since nothing is there to join
  disk.evict(0);
  reader.read(store, chain, 650);
  ContextStore again(pool, toy_state(hybrid()), "toy", large);
  again.set_disk(&disk);
  EXPECT_EQ(reader.read(again, chain, 650), 650);
}

TEST_P(ContextStoreTest, ForgettingADocumentForgetsWhatWasComputedAfterIt) {
  std::vector<ChainSegment> chain{segment_of(1, 300), segment_of(2, 300), segment_of(3, 50)};
  chain[0].id = "a", chain[1].id = "b";
  reader.read(store, chain, 650);
  store.clear_document("b");
  EXPECT_EQ(store.audit(), "");
  EXPECT_EQ(store.forgotten(chain), Forgotten::cleared);
  EXPECT_EQ(reader.kept(store, chain), 300);
  store.clear_document("a");
  EXPECT_EQ(store.stats().segments, 0);
  EXPECT_EQ(pool.pages_in_use(), 0);
}

TEST_P(ContextStoreTest, WhatAnotherProcessClearedIsForgottenInMemoryToo) {
  ToyDisk disk(hybrid());
  store.set_disk(&disk);
  const std::vector<ChainSegment> chain{segment_of(1, 300), segment_of(2, 300)};
  reader.read(store, chain, 600);
  while (disk.size() > 0) disk.evict(0);
  disk.is_cleared = true;
  Sequence sequence(pool, toy_state(hybrid()));
  EXPECT_EQ(store.resume(chain, sequence).position, 600) << "a request that runs goes on";
  store.forget_what_was_cleared();
  EXPECT_EQ(store.resume(chain, sequence).position, 0);
  EXPECT_EQ(store.stats().segments, 0);
}

TEST_P(ContextStoreTest, ForgetsADocumentWhoseTextWasReadAsAnother) {
  std::vector<ChainSegment> chain{segment_of(1, 300), segment_of(2, 300)};
  chain[1].id = "a copy";
  reader.read(store, chain, 600);
  chain[1].id = "the contract";
  EXPECT_EQ(reader.read(store, chain, 600), 600);
  store.clear_document("the contract");
  EXPECT_EQ(store.audit(), "");
  EXPECT_EQ(reader.kept(store, chain), 300);
}

// Contract C5: what one branch does is invisible to the others, page by page.
TEST_P(ContextStoreTest, ABranchLeavesThePagesOfTheOthersAsTheyWere) {
  const std::vector<ChainSegment> trunk{segment_of(1, 300), segment_of(2, 37)};
  reader.read(store, trunk, 337);
  Sequence kept(pool, toy_state(hybrid()));
  store.resume(trunk, kept);
  const auto content = [&] {
    std::vector<float> values;
    for (std::int64_t token = 0; token < 337; ++token) values.push_back(reader.slot(kept.kv, token));
    return values;
  };
  const std::vector<float> before = content();
  for (int branch = 0; branch < 5; ++branch) {
    std::vector<ChainSegment> chain = trunk;
    chain.push_back(segment_of(50 + branch, 100 + 60 * branch, branch % 2 ? RowKind::decode : RowKind::prefill));
    reader.read(store, chain, length(chain));
    chain.back() = segment_of(70 + branch, 20);  // the same question edited
    reader.read(store, chain, length(chain));
    EXPECT_EQ(content(), before);
  }
}

/// What may be expected of a store after random operations: every chain, cut as it was, whose end was published.
class Expectation {
 public:
  void publish(const std::vector<ChainSegment>& chain, std::int64_t until) {
    std::vector<std::vector<TokenId>> prefix;
    std::int64_t end = 0;
    for (const ChainSegment& segment : chain) {
      prefix.push_back(segment.tokens);
      end += static_cast<std::int64_t>(segment.tokens.size());
      if (end <= until) published_.insert(prefix);
    }
  }
  std::int64_t kept(const std::vector<ChainSegment>& chain) const {
    std::vector<std::vector<TokenId>> prefix;
    std::int64_t end = 0, found = 0;
    for (const ChainSegment& segment : chain) {
      prefix.push_back(segment.tokens);
      end += static_cast<std::int64_t>(segment.tokens.size());
      if (published_.contains(prefix)) found = end;
    }
    return found;
  }
  void forget() { published_.clear(); }

 private:
  std::set<std::vector<std::vector<TokenId>>> published_;
};

// Random requests that share, extend, fork and edit each other, with random stops, evictions, deletions, restarts, and
// a disk that loses, refuses and damages things. A prefix is only ever answered if exactly these ids were published
// with these cuts (Reader checks every slot), and as long as nothing was taken away nothing published may be missed.
TEST_P(ContextStoreTest, AgreesWithAPlainModelOverRandomOperations) {
  constexpr int operations = test::is_sanitized ? 1'000 : 26'000;  // for each of two budgets, with and without a disk
  std::int64_t done = 0, resumed = 0, loaded = 0;
  for (const bool with_disk : {false, true}) {
    for (const std::int64_t budget : {large, 20 * pool.page_bytes() + 30000}) {
      ToyDisk disk(hybrid());
      auto store_now = std::make_unique<ContextStore>(pool, toy_state(hybrid()), "toy", budget);
      if (with_disk) store_now->set_disk(&disk);
      std::mt19937 random(42);
      const auto pick = [&](int most) { return static_cast<int>(random() % static_cast<unsigned>(most)); };
      Expectation expectation;
      const bool keeps_all = with_disk || budget == large;
      for (int step = 0; step < operations; ++step, ++done) {
        switch (pick(60)) {
          case 0:
            store_now->evict_one();
            if (!with_disk) expectation.forget();
            break;
          case 1: {
            loaded += store_now->stats().loaded_tokens;
            store_now->clear();
            if (!with_disk) expectation.forget();
            break;
          }
          case 2: {
            const std::string id = std::to_string(pick(3));
            store_now->clear_document(id);
            if (!with_disk) expectation.forget();
            break;
          }
          case 3:
            loaded += store_now->stats().loaded_tokens;
            store_now = std::make_unique<ContextStore>(pool, toy_state(hybrid()), "toy", budget);
            if (with_disk) store_now->set_disk(&disk);
            if (!with_disk) expectation.forget();
            EXPECT_EQ(pool.pages_in_use(), 0);
            break;
          case 4:
            disk.evict(random());
            expectation.forget();
            break;
          case 5:
            disk.damage(random(), pick(2) ? ToyDisk::Damage::rows : ToyDisk::Damage::tokens);
            expectation.forget();
            break;
          case 6:
            disk.forget_state(random());
            expectation.forget();
            break;
          case 7:
            disk.refuses = !disk.refuses;
            expectation.forget();
            break;
          default: {
            std::vector<ChainSegment> chain;
            const int segments = 1 + pick(4);
            for (int index = 0; index < segments; ++index) {
              const int seed = pick(3);
              const int tokens = index == 1 ? 200 + 64 * pick(2) : 1 + pick(2) * 63;
              chain.push_back(segment_of(seed, tokens, index > 1 && pick(2) ? RowKind::decode : RowKind::prefill));
              chain.back().id = std::to_string(seed);
            }
            const std::int64_t total = length(chain);
            const std::int64_t until = pick(4) == 0 ? std::max<std::int64_t>(1, total / 64 * 32) : total;
            const std::int64_t expected = expectation.kept(chain);
            const std::int64_t kept = reader.read(*store_now, chain, until);
            resumed += kept;
            const bool generated = std::any_of(chain.begin(), chain.end(), [](const ChainSegment& segment) {
              return segment.rows == RowKind::decode;
            });
            if (keeps_all && !generated) {
              EXPECT_GE(kept, expected);
            }
            if (!generated && !disk.refuses && disk.is_whole()) expectation.publish(chain, until);
          }
        }
        EXPECT_LE(store_now->stats().bytes, budget);
        ASSERT_EQ(store_now->audit(), "");
        if (::testing::Test::HasFailure()) FAIL() << "step " << step;
      }
      loaded += store_now->stats().loaded_tokens;
      store_now.reset();
      EXPECT_EQ(pool.pages_in_use(), 0);
    }
  }
  std::printf("%lld operations, %lld tokens resumed, %lld of them from the disk, none wrong\n",
              static_cast<long long>(done), static_cast<long long>(resumed), static_cast<long long>(loaded));
  if (!test::is_sanitized) {
    EXPECT_GE(done, 100'000);
  }
}

}  // namespace
}  // namespace lectern::inference

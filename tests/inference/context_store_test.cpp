// The store against a plain reference model, with a toy payload: a page's slot holds a number made from the whole chain
// up to its token, and so does a snapshot, so that any mix-up of branches, positions or pages shows.
#include "inference/context_store.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>
#include <set>

namespace lectern::inference {
namespace {

const kernels::KvShape toy_kv{1, 2, kernels::DType::f32};

DeltaShape toy_state(bool hybrid) {
  DeltaShape shape;
  shape.hidden = 1;
  if (hybrid) {
    shape.layers = 1;
    shape.value_heads = shape.key_dim = shape.value_dim = 1;
    shape.conv_rows = 1;
    shape.conv_channels = 1;
  }
  return shape;
}

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

  /// Resumes, checks that what is kept is right, reads up to `until`, publishing at segment ends and at `until`.
  std::int64_t read(ContextStore& store, const std::vector<ChainSegment>& chain, std::int64_t until) {
    const std::vector<float> values = folds(chain);
    const ResumePoint point = store.longest_kept_prefix(chain);
    EXPECT_LE(point.position, static_cast<std::int64_t>(values.size()));
    KvSequence sequence(pool_, point.pages, point.position);
    for (std::int64_t token = 0; token < point.position; ++token)
      EXPECT_EQ(slot(sequence, token), values[static_cast<std::size_t>(token)])
          << "slot " << token << " of " << point.position;
    if (shape_.layers > 0 && point.position > 0) {
      EXPECT_NE(point.snapshot, nullptr);
      if (point.snapshot) {
        EXPECT_EQ(point.snapshot->hidden[0], values[static_cast<std::size_t>(point.position - 1)]);
      }
    }
    std::int64_t end = 0;
    for (const ChainSegment& segment : chain) {
      end += static_cast<std::int64_t>(segment.tokens.size());
      const std::int64_t target = std::min(end, until);
      if (target <= sequence.length()) continue;
      const std::int64_t first = sequence.length();
      sequence.reserve(target - first);
      std::vector<std::byte*> strips(sequence.pages().size());
      const auto memory = sequence.strips(0, strips);
      for (std::int64_t token = first; token < target; ++token)
        reinterpret_cast<float*>(memory[static_cast<std::size_t>(token / 256)])[token % 256 * toy_kv.head_dim] =
            values[static_cast<std::size_t>(token)];
      sequence.advance(target - first);
      EXPECT_TRUE(store.publish(chain, target, sequence.pages(), snapshot(values, target)));
      EXPECT_EQ(store.audit(), "");
    }
    return point.position;
  }

 private:
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
  const std::int64_t kept = store.longest_kept_prefix(chain).position;
  EXPECT_EQ(kept, hybrid() ? 20 : 20 + 448);
}

TEST_P(ContextStoreTest, TheSameIdsCutOtherwiseAreAnotherChain) {
  ChainSegment whole = segment_of(2, 400);
  ChainSegment front = whole, back = whole;
  front.tokens.resize(130);
  back.tokens.erase(back.tokens.begin(), back.tokens.begin() + 130);
  reader.read(store, {whole}, 400);
  EXPECT_EQ(store.longest_kept_prefix(std::vector<ChainSegment>{front, back}).position, hybrid() ? 0 : 128);
}

TEST_P(ContextStoreTest, GeneratedRowsMatchOnlyAnswersGivenBack) {
  const std::vector<ChainSegment> answered{segment_of(1, 20), segment_of(2, 64, RowKind::decode)};
  reader.read(store, answered, 84);
  std::vector<ChainSegment> typed{segment_of(1, 20), segment_of(2, 64, RowKind::prefill), segment_of(3, 1)};
  EXPECT_EQ(store.longest_kept_prefix(typed).position, 20);
  typed[1].rows = RowKind::decode;
  EXPECT_EQ(store.longest_kept_prefix(typed).position, 84);
}

TEST_P(ContextStoreTest, RefusesAStateThatIsNotFiniteOrNotAtItsPosition) {
  const std::vector<ChainSegment> chain{segment_of(1, 20)};
  KvSequence sequence(pool);
  sequence.reserve(20);
  sequence.advance(20);
  const auto values = Reader::folds(chain);
  auto bad = reader.snapshot(values, 20);
  bad->hidden[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(store.publish(chain, 20, sequence.pages(), std::move(bad)));
  EXPECT_FALSE(store.publish(chain, 20, sequence.pages(), reader.snapshot(values, 19)));
  EXPECT_FALSE(store.publish(chain, 20, {}, reader.snapshot(values, 20)));
  EXPECT_EQ(store.stats().segments, 0);
}

TEST_P(ContextStoreTest, ClearingForgetsEverythingAndSaysSo) {
  const std::vector<ChainSegment> chain{segment_of(1, 20), segment_of(2, 300)};
  reader.read(store, chain, 320);
  EXPECT_TRUE(store.was_kept(chain));
  store.clear();
  EXPECT_EQ(store.audit(), "");
  EXPECT_EQ(store.stats().bytes, 0);
  EXPECT_EQ(pool.pages_in_use(), 0);
  EXPECT_TRUE(store.was_kept(chain));
  EXPECT_TRUE(store.was_cleared());
  EXPECT_EQ(reader.read(store, chain, 320), 0);
}

TEST_P(ContextStoreTest, EvictsTheLeastRecentlyUsedWithinTheBudget) {
  const std::int64_t budget = 8 * pool.page_bytes() + 5000;
  ContextStore small(pool, toy_state(hybrid()), "toy", budget);
  const std::vector<ChainSegment> a{segment_of(1, 700)}, b{segment_of(2, 700)}, c{segment_of(3, 700)};
  reader.read(small, a, 700);
  reader.read(small, b, 700);
  EXPECT_EQ(small.longest_kept_prefix(a).position, 700);
  reader.read(small, c, 700);
  EXPECT_LE(small.stats().bytes, budget);
  EXPECT_EQ(small.longest_kept_prefix(b).position, 0);
  EXPECT_EQ(small.longest_kept_prefix(a).position, 700);
  EXPECT_TRUE(small.was_kept(b));
}

TEST_P(ContextStoreTest, OtherFingerprintsNeverMeet) {
  ContextStore other(pool, toy_state(hybrid()), "another toy", large);
  const std::vector<ChainSegment> chain{segment_of(1, 300)};
  reader.read(store, chain, 300);
  EXPECT_EQ(other.longest_kept_prefix(chain).position, 0);
}

/// Keeps what the store gives up: what the disk will be.
class Shelf : public ContextBackend {
 public:
  void save(const SegmentRecord& segment) override { kept_[{segment.key.low, segment.key.high}] = copy(segment); }
  std::unique_ptr<SegmentRecord> load(const ChainKey& key, KvPagePool&) override {
    const auto found = kept_.find({key.low, key.high});
    return found == kept_.end() ? nullptr : copy(*found->second);
  }
  void clear() override { kept_.clear(); }
  void damage() {
    for (auto& [key, record] : kept_) record->tokens[0] ^= 1;
  }

 private:
  static std::unique_ptr<SegmentRecord> copy(const SegmentRecord& segment) {
    auto record = std::make_unique<SegmentRecord>();
    record->parent = segment.parent;
    record->key = segment.key;
    record->rows = segment.rows;
    record->tokens = segment.tokens;
    record->start = segment.start;
    record->pages = segment.pages;
    for (const auto& snapshot : segment.snapshots)
      record->snapshots.push_back(std::make_unique<DeltaSnapshot>(*snapshot));
    return record;
  }
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::unique_ptr<SegmentRecord>> kept_;
};

TEST_P(ContextStoreTest, WhatMemoryGaveUpComesBackFromTheBackendAndIsCheckedThere) {
  Shelf shelf;
  ContextStore small(pool, toy_state(hybrid()), "toy", large);
  small.set_backend(&shelf);
  const std::vector<ChainSegment> chain{segment_of(1, 300), segment_of(2, 300)};
  reader.read(small, chain, 600);
  while (small.evict_one()) EXPECT_EQ(small.audit(), "");
  EXPECT_EQ(small.stats().segments, 0);
  const ResumePoint point = small.longest_kept_prefix(chain);
  EXPECT_EQ(point.position, 600);
  EXPECT_EQ(point.loaded, 600);
  EXPECT_EQ(small.audit(), "");
  reader.read(small, chain, 600);  // checks the slots
  while (small.evict_one()) {
  }
  shelf.damage();
  EXPECT_EQ(small.longest_kept_prefix(chain).position, 0);
}

// Random requests that share, extend, fork and edit each other, with random stops and a tight budget. The reference
// knows what may be kept: a prefix is only ever answered if exactly these ids were published with these cuts (Reader
// checks every slot), and with room for everything nothing published may be missed.
TEST_P(ContextStoreTest, AgreesWithAPlainModelOverRandomOperations) {
  for (const std::int64_t budget : {large, 20 * pool.page_bytes() + 30000}) {
    ContextStore tight(pool, toy_state(hybrid()), "toy", budget);
    std::mt19937 random(42);
    std::set<std::vector<std::vector<TokenId>>> published;  // whole chains of segments
    const auto pick = [&](int most) { return static_cast<int>(random() % static_cast<unsigned>(most)); };
    for (int step = 0; step < 400; ++step) {
      std::vector<ChainSegment> chain;
      const int segments = 1 + pick(5);
      for (int index = 0; index < segments; ++index)
        chain.push_back(segment_of(pick(3), index == 1 ? 300 + 64 * pick(2) : 1 + pick(2) * 63));
      const std::int64_t total = length(chain);
      const std::int64_t until = pick(4) == 0 ? std::max<std::int64_t>(1, total / 64 * 32) : total;
      std::int64_t expected = 0, end = 0;
      std::vector<std::vector<TokenId>> prefix;
      for (const ChainSegment& segment : chain) {
        prefix.push_back(segment.tokens);
        end += static_cast<std::int64_t>(segment.tokens.size());
        if (published.contains(prefix)) expected = end;
      }
      const std::int64_t kept = reader.read(tight, chain, until);
      if (budget == large) {
        EXPECT_GE(kept, expected);
      }
      prefix.clear();
      end = 0;
      for (const ChainSegment& segment : chain) {
        prefix.push_back(segment.tokens);
        end += static_cast<std::int64_t>(segment.tokens.size());
        if (end <= until) published.insert(prefix);
      }
      EXPECT_LE(tight.stats().bytes, budget);
      if (pick(40) == 0) tight.evict_one(), published.clear();
      if (pick(80) == 0) tight.clear(), published.clear();
      ASSERT_EQ(tight.audit(), "");
      if (::testing::Test::HasFailure()) FAIL() << "step " << step;
    }
    tight.clear();
    EXPECT_EQ(pool.pages_in_use(), 0);
  }
}

}  // namespace
}  // namespace lectern::inference

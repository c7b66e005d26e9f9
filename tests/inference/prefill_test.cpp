// Reading with kept state gives the bits of reading everything anew.
#include "inference/prefill.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "inference/generation.h"
#include "inference/model.h"

namespace lectern::inference {
namespace {

const std::filesystem::path folder = std::filesystem::path(LECTERN_SOURCE_DIR) / "tests" / "data" / "models";

struct Bed {
  explicit Bed(const char* name, std::int64_t chunk = 128, int threads = 1)
      : model(folder / (std::string(name) + ".gguf")),
        stream(threads),
        forward(model.config(), model.weights(), stream, chunk, 4096),
        shape(delta_shape(model.config())),
        pool(model.config().attention_layers(), kv_shape(model.config()), std::int64_t{1} << 28),
        store(pool, shape, "test", std::int64_t{1} << 28),
        sequence(pool, shape) {}

  ReadOutcome read(PromptChain chain, bool with_store = true, std::function<bool()> stop = {}) {
    ReadCallbacks callbacks;
    callbacks.stop = std::move(stop);
    return read_prompt(forward, with_store ? &store : nullptr, pool, sequence, chain, callbacks, nullptr);
  }

  Model model;
  kernels::Stream stream;
  Forward forward;
  DeltaShape shape;
  KvPagePool pool;
  ContextStore store;
  Sequence sequence;
};

PromptChain chain_of(std::initializer_list<std::pair<int, RowKind>> lengths) {
  PromptChain chain;
  int seed = 1;
  for (const auto& [length, rows] : lengths) {
    ChainSegment segment;
    segment.rows = rows;
    for (int index = 0; index < length; ++index) segment.tokens.push_back((seed * 37 + index * 11 + index / 7) % 256);
    ++seed;
    segment.id = "d" + std::to_string(seed);
    chain.segments.push_back(segment);
    chain.labels.push_back({SegmentLabel::Kind::document, true});
  }
  return chain;
}

PromptChain cut(const PromptChain& chain, std::size_t segments) {
  PromptChain part = chain;
  part.segments.resize(segments);
  part.labels.resize(segments);
  return part;
}

/// Keys, values and states of a sequence, as bytes.
bool same_rows(KvPagePool& pool, const Sequence& a, const Sequence& b) {
  if (a.position() != b.position() || !(a.state == b.state)) return false;
  const kernels::KvShape shape = pool.shape();
  const std::int64_t row = kernels::row_bytes(shape.type, shape.head_dim);
  std::vector<std::byte*> first(a.kv.pages().size()), second(b.kv.pages().size());
  for (std::int64_t layer = 0; layer < pool.layers(); ++layer) {
    const auto left = a.kv.strips(layer, first), right = b.kv.strips(layer, second);
    for (std::int64_t token = 0; token < a.position(); ++token)
      for (std::int64_t block = 0; block < 2 * shape.heads; ++block) {
        const std::int64_t offset = (block * kernels::kv_page_tokens + token % kernels::kv_page_tokens) * row;
        const auto page = static_cast<std::size_t>(token / kernels::kv_page_tokens);
        if (!std::equal(left[page] + offset, left[page] + offset + row, right[page] + offset)) return false;
      }
  }
  return true;
}

const char* const models[] = {"llama-gqa", "qwen3next-base", "qwen3next-ratio3-bf16", "qwen3next-blocks-q8_0"};
constexpr RowKind prefill = RowKind::prefill;

TEST(PlanPass, EndsAtTheChainsEndOrOnTheGridOfItsSegment) {
  const PromptChain chain = chain_of({{10, prefill}, {100, prefill}, {1000, prefill}, {3, prefill}});
  PrefillPass pass = plan_pass(chain, 0, 128);
  EXPECT_EQ(pass.end, 110);  // 18 tokens of the third segment are no whole grid piece
  EXPECT_EQ(pass.segment_starts, (std::vector<std::int64_t>{0, 10}));
  EXPECT_EQ(pass.snapshot_offsets, (std::vector<std::int64_t>{10, 110}));
  pass = plan_pass(chain, 110, 512);
  EXPECT_EQ(pass.end, 622);
  EXPECT_EQ(pass.segment_starts, (std::vector<std::int64_t>{0}));
  EXPECT_TRUE(pass.snapshot_offsets.empty());
  pass = plan_pass(chain, 622, 512);
  EXPECT_EQ(pass.end, 1113);
  EXPECT_EQ(pass.segment_starts, (std::vector<std::int64_t>{488}));
  EXPECT_EQ(pass.snapshot_offsets, (std::vector<std::int64_t>{488, 491}));
}

TEST(PlanPass, KeepsAStateEvery8192TokensInsideALongSegment) {
  const PromptChain chain = chain_of({{5, prefill}, {20000, prefill}});
  std::vector<std::int64_t> places;
  for (std::int64_t position = 0; position < chain.tokens();) {
    const PrefillPass pass = plan_pass(chain, position, 512);
    ASSERT_GT(pass.end, position);
    for (std::int64_t offset : pass.snapshot_offsets) places.push_back(position + offset);
    position = pass.end;
  }
  EXPECT_EQ(places, (std::vector<std::int64_t>{5, 8197, 16389, 20005}));
}

TEST(Prefill, WarmAndColdReadingsAreEqualBitForBitAtEveryBoundary) {
  for (const char* name : models) {
    for (const int length : {1, 63, 64, 65, 127, 128, 129, 255, 256, 257, 400}) {
      SCOPED_TRACE(std::string(name) + ", document of " + std::to_string(length));
      const PromptChain chain = chain_of({{7, prefill}, {length, prefill}, {21, prefill}});
      Bed warm(name);
      const ReadOutcome first = warm.read(cut(chain, 2));
      EXPECT_EQ(first.reused, 0);
      const ReadOutcome second = warm.read(chain);
      EXPECT_EQ(second.reused, 7 + length);
      EXPECT_EQ(warm.store.audit(), "");
      Bed cold(name, 512, 2);  // other passes, other threads
      const ReadOutcome whole = cold.read(chain, false);
      EXPECT_TRUE(second.hidden == whole.hidden);
      EXPECT_TRUE(same_rows(warm.pool, warm.sequence, cold.sequence));
      const ReadOutcome again = warm.read(chain);  // nothing to compute: the last row itself was kept
      EXPECT_EQ(again.reused, chain.tokens());
      EXPECT_TRUE(again.hidden == whole.hidden);
    }
  }
}

TEST(Prefill, AStoppedReadingIsKeptAndTakenUpBitForBit) {
  for (const char* name : models) {
    SCOPED_TRACE(name);
    const PromptChain chain = chain_of({{7, prefill}, {1500, prefill}, {30, prefill}});
    Bed bed(name);
    int asked = 0;
    const ReadOutcome stopped = bed.read(chain, true, [&] { return ++asked > 4; });
    EXPECT_FALSE(stopped.finished);
    const std::int64_t position = bed.sequence.position();
    EXPECT_GT(position, 300);
    EXPECT_EQ(bed.store.audit(), "");
    const ReadOutcome rest = bed.read(chain);
    EXPECT_EQ(rest.reused, position);
    Bed cold(name, 512);
    EXPECT_TRUE(rest.hidden == cold.read(chain, false).hidden);
    EXPECT_TRUE(same_rows(bed.pool, bed.sequence, cold.sequence));
  }
}

TEST(Prefill, BranchesLeaveEachOthersRowsAlone) {
  for (const char* name : models) {
    SCOPED_TRACE(name);
    const PromptChain first = chain_of({{7, prefill}, {300, prefill}, {40, prefill}});
    PromptChain second = first;
    for (TokenId& id : second.segments[2].tokens) id = (id + 1) % 256;
    Bed bed(name), cold(name);
    bed.read(first);
    bed.read(second);
    const ReadOutcome back = bed.read(first);
    EXPECT_EQ(back.reused, first.tokens());
    cold.read(first, false);
    EXPECT_TRUE(same_rows(bed.pool, bed.sequence, cold.sequence));
  }
}

TEST(Prefill, AConversationOfAFloat32ModelStaysWithinAThousandthOfReadingItAnew) {
  for (const char* name : {"llama-gqa", "qwen3next-base"}) {
    SCOPED_TRACE(name);
    Bed bed(name), cold(name);
    PromptChain chain = chain_of({{7, prefill}, {300, prefill}, {40, prefill}});
    for (int turn = 0; turn < 3; ++turn) {
      const ReadOutcome outcome = bed.read(chain);
      std::vector<TokenId> history;
      for (const ChainSegment& segment : chain.segments)
        history.insert(history.end(), segment.tokens.begin(), segment.tokens.end());
      GenerationSettings settings;
      settings.max_tokens = 20;
      settings.usable_tokens = 256;
      const Generated generated = generate(bed.forward, bed.sequence, bed.model.required_tokenizer(), history,
                                           outcome.hidden, outcome.hidden_rows, settings, {}, nullptr);
      ASSERT_EQ(generated.fed, generated.token_ids);
      ASSERT_FALSE(generated.fed.empty());
      chain.segments.push_back({generated.fed, RowKind::decode, "answer"});
      chain.labels.push_back({SegmentLabel::Kind::message, true});
      ASSERT_TRUE(bed.store.publish(chain.segments, bed.sequence.position(), bed.sequence.kv.pages(),
                                    snapshot_of(bed.sequence, generated.hidden, RowKind::decode),
                                    StatePlace::turn_end));
      const PromptChain question = chain_of({{9 + turn, prefill}});
      chain.segments.push_back(question.segments[0]);
      chain.labels.push_back(question.labels[0]);
    }
    const ReadOutcome warm = bed.read(chain);
    EXPECT_EQ(warm.reused, chain.tokens() - static_cast<std::int64_t>(chain.segments.back().tokens.size()));
    const ReadOutcome anew = cold.read(chain, false);
    const std::int64_t vocabulary = bed.model.config().vocabulary;
    std::vector<float> left(static_cast<std::size_t>(vocabulary)), right(left.size());
    const auto width = static_cast<std::int64_t>(warm.hidden.size());
    bed.forward.logits(kernels::f32_view(warm.hidden.data(), {1, width}), prefill,
                       kernels::f32_view(left.data(), {1, vocabulary}));
    cold.forward.logits(kernels::f32_view(anew.hidden.data(), {1, width}), prefill,
                        kernels::f32_view(right.data(), {1, vocabulary}));
    for (std::size_t index = 0; index < left.size(); ++index) EXPECT_NEAR(left[index], right[index], 1e-3);
  }
}

}  // namespace
}  // namespace lectern::inference

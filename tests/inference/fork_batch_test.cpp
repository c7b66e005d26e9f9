// Requests answered together get the answers of requests answered one after another.
#include "inference/fork_batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "inference/local_engine.h"
#include "inference/model.h"
#include "kernels/error.h"

namespace lectern::inference {
namespace {

const std::filesystem::path folder = std::filesystem::path(LECTERN_SOURCE_DIR) / "tests" / "data" / "models";

LocalEngineOptions options_for(const std::string& name) {
  LocalEngineOptions options;
  options.file = folder / (name + ".gguf");
  options.threads = 1;
  options.chunk = 128;
  return options;
}

Segment document(int number, int words) {
  Segment segment;
  segment.kind = Segment::Kind::document;
  segment.id = "document " + std::to_string(number);
  for (int index = 0; index < words; ++index)
    segment.text += " the in" + std::to_string((index * 7 + number * 13) % 89);
  return segment;
}

Segment message(int index, Role role, std::string text, std::vector<TokenId> ids = {}) {
  Segment segment;
  segment.role = role;
  segment.message = index;
  segment.id = "message " + std::to_string(index);
  segment.text = std::move(text);
  segment.token_ids = std::move(ids);
  return segment;
}

GenerationRequest ask(std::vector<Segment> segments, std::int64_t max_tokens = 12) {
  GenerationRequest request;
  request.conversation = "c";
  request.segments = std::move(segments);
  request.max_tokens = max_tokens;
  return request;
}

/// Questions of different lengths about one document, some of them sampled.
std::vector<GenerationRequest> questions_about(const std::vector<Segment>& documents, int count) {
  std::vector<GenerationRequest> requests;
  for (int index = 0; index < count; ++index) {
    std::vector<Segment> segments = documents;
    std::string question = "What about " + std::to_string(index * 37 % 101);
    for (int word = 0; word < index * 5 % 17; ++word) question += " and the in" + std::to_string(word);
    segments.push_back(message(0, Role::user, question + "?"));
    GenerationRequest request = ask(std::move(segments), 5 + index * 7 % 40);
    if (index % 3 == 1) {
      request.sampling.temperature = 0.9F;
      request.sampling.top_p = 0.95F;
      request.sampling.repetition_penalty = 1.2F;
      request.sampling.frequency_penalty = 0.3F;
      request.sampling.seed = static_cast<std::uint64_t>(index);
    }
    if (index % 4 == 2) request.stop = {"e", "in4"};
    request.stop_repetition = index % 2 == 0;
    requests.push_back(std::move(request));
  }
  return requests;
}

GenerationResult run(Engine& engine, GenerationRequest request) {
  return engine.submit(std::move(request), nullptr, {}).get();
}

std::vector<std::future<GenerationResult>> submit(Engine& engine, const std::vector<GenerationRequest>& requests) {
  std::vector<BatchItem> items;
  for (const GenerationRequest& request : requests) items.push_back({request, nullptr, {}});
  return engine.submit_batch(std::move(items));
}

void expect_adds_up(const Usage& usage) {
  EXPECT_EQ(usage.prompt_tokens, usage.reused_tokens + usage.loaded_tokens + usage.computed_tokens);
}

void expect_same_answer(const GenerationResult& together, const GenerationResult& alone) {
  EXPECT_EQ(together.token_ids, alone.token_ids);
  EXPECT_EQ(together.text, alone.text);
  EXPECT_EQ(together.thinking, alone.thinking);
  EXPECT_EQ(together.finish_reason, alone.finish_reason);
  EXPECT_EQ(together.usage.prompt_tokens, alone.usage.prompt_tokens);
  EXPECT_EQ(together.usage.generated_tokens, alone.usage.generated_tokens);
  expect_adds_up(together.usage);
}

void expect_same_usage(const GenerationResult& together, const GenerationResult& alone) {
  EXPECT_EQ(together.usage.reused_tokens, alone.usage.reused_tokens);
  EXPECT_EQ(together.usage.loaded_tokens, alone.usage.loaded_tokens);
  EXPECT_EQ(together.usage.computed_tokens, alone.usage.computed_tokens);
  EXPECT_EQ(together.usage.miss_reasons, alone.usage.miss_reasons);
}

class ForkBatchTest : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, ForkBatchTest,
                         ::testing::Values("llama-gqa", "qwen3next-base", "qwen3next-blocks-q8_0", "qwen35moe-gqa16"),
                         [](const auto& model) {
                           std::string name = model.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(ForkBatchTest, AnswersFortyOneQuestionsAsOneByOne) {
  const std::vector<GenerationRequest> requests = questions_about({document(1, 60), document(2, 90)}, 41);
  ASSERT_GT(std::ssize(requests), most_forks);
  for (const int threads : {1, 2}) {
    LocalEngineOptions options = options_for(GetParam());
    const auto single = open_local_engine(options);
    options.threads = threads;
    const auto batch = open_local_engine(options);
    auto futures = submit(*batch, requests);
    ASSERT_EQ(futures.size(), requests.size());
    for (std::size_t index = 0; index < requests.size(); ++index) {
      SCOPED_TRACE(index);
      const GenerationResult alone = run(*single, requests[index]), together = futures[index].get();
      expect_same_answer(together, alone);
      expect_same_usage(together, alone);
      EXPECT_EQ(together.usage.drafted_tokens, 0);
    }
  }
}

TEST_P(ForkBatchTest, GivesTheSameAnswersWhenNothingIsKeptAndWhenAllIs) {
  const std::vector<GenerationRequest> requests = questions_about({document(1, 60)}, 9);
  LocalEngineOptions options = options_for(GetParam());
  const auto single = open_local_engine(options);
  options.cache_budget_bytes = 0;
  const auto forgetful = open_local_engine(options);
  const auto keeping = open_local_engine(options_for(GetParam()));
  auto first = submit(*forgetful, requests), second = submit(*keeping, requests), third = submit(*keeping, requests);
  for (std::size_t index = 0; index < requests.size(); ++index) {
    SCOPED_TRACE(index);
    const GenerationResult alone = run(*single, requests[index]);
    const GenerationResult unkept = first[index].get();
    expect_same_answer(unkept, alone);
    EXPECT_EQ(unkept.usage.computed_tokens<unkept.usage.prompt_tokens, index> 0) << "the document is read once";
    expect_same_answer(second[index].get(), alone);
    const GenerationResult again = third[index].get();
    expect_same_answer(again, alone);
    EXPECT_EQ(again.usage.computed_tokens, 0) << "the questions are kept, too";
  }
}

TEST_P(ForkBatchTest, AFollowUpGoesOnFromAnAnswerOfTheBatch) {
  const auto engine = open_local_engine(options_for(GetParam()));
  const auto single = open_local_engine(options_for(GetParam()));
  std::vector<GenerationRequest> requests = questions_about({document(1, 60)}, 6);
  for (GenerationRequest& request : requests) request.stop.clear();
  auto futures = submit(*engine, requests);
  for (std::size_t index = 0; index < requests.size(); ++index) {
    const GenerationResult first = futures[index].get();
    run(*single, requests[index]);
    std::vector<Segment> segments = requests[index].segments;
    segments.push_back(message(1, Role::assistant, first.text, first.token_ids));
    segments.push_back(message(2, Role::user, "And then?"));
    const GenerationResult next = run(*engine, ask(segments));
    EXPECT_EQ(next.usage.reused_tokens, first.usage.prompt_tokens + std::ssize(first.token_ids));
    expect_same_answer(next, run(*single, ask(segments)));
  }
}

struct Watcher : RequestObserver {
  std::stop_source stop;
  int texts_before_stop = -1, readings_before_stop = -1;
  std::string text;
  int starts = 0;
  std::int64_t prompt = 0, kept = 0, read = 0;
  void on_started(std::int64_t prompt_tokens, std::int64_t kept_tokens) override {
    ++starts, prompt = prompt_tokens, kept = read = kept_tokens;
  }
  void on_reading(std::int64_t read_now, std::int64_t prompt_tokens, double) override {
    EXPECT_EQ(prompt_tokens, prompt);
    EXPECT_GT(read_now, read);
    read = read_now;
    if (readings_before_stop >= 0 && readings_before_stop-- == 0) stop.request_stop();
  }
  void on_text(std::string_view more) override {
    text += more;
    if (texts_before_stop >= 0 && texts_before_stop-- == 0) stop.request_stop();
  }
};

TEST_P(ForkBatchTest, TellsEachObserverWhatASingleRequestWould) {
  const std::vector<GenerationRequest> requests = questions_about({document(1, 120)}, 20);
  const auto engine = open_local_engine(options_for(GetParam()));
  std::vector<BatchItem> items;
  std::vector<std::shared_ptr<Watcher>> watchers;
  for (const GenerationRequest& request : requests) {
    watchers.push_back(std::make_shared<Watcher>());
    items.push_back({request, watchers.back(), {}});
  }
  auto futures = engine->submit_batch(std::move(items));
  for (std::size_t index = 0; index < requests.size(); ++index) {
    const GenerationResult result = futures[index].get();
    const Watcher& watcher = *watchers[index];
    EXPECT_EQ(watcher.text, result.text);
    EXPECT_EQ(watcher.starts, 1);
    EXPECT_EQ(watcher.prompt, result.usage.prompt_tokens);
    EXPECT_EQ(watcher.read, result.usage.prompt_tokens);
    EXPECT_EQ(watcher.kept, result.usage.reused_tokens);
    EXPECT_GT(result.timing.first_token_s, 0);
    EXPECT_EQ(watchers[index].use_count(), 1) << "the observer is given back";
  }
}

TEST_P(ForkBatchTest, AStopEndsItsOwnAnswerAlone) {
  std::vector<GenerationRequest> requests = questions_about({document(1, 300)}, 30);
  for (GenerationRequest& request : requests) request.stop.clear();
  requests[3].max_tokens = 2000;
  requests[3].stop_repetition = false;
  const auto engine = open_local_engine(options_for(GetParam()));
  const auto single = open_local_engine(options_for(GetParam()));
  std::vector<BatchItem> items;
  std::vector<std::shared_ptr<Watcher>> watchers;
  for (const GenerationRequest& request : requests) {
    watchers.push_back(std::make_shared<Watcher>());
    items.push_back({request, watchers.back(), watchers.back()->stop.get_token()});
  }
  watchers[0]->readings_before_stop = 1;  // while it carries the reading of the document
  watchers[3]->texts_before_stop = 2;
  watchers[5]->stop.request_stop();
  watchers[29]->stop.request_stop();
  auto futures = engine->submit_batch(std::move(items));
  for (std::size_t index = 0; index < requests.size(); ++index) {
    SCOPED_TRACE(index);
    const GenerationResult result = futures[index].get();
    if (index == 0 || index == 3 || index == 5 || index == 29) {
      EXPECT_EQ(result.finish_reason, FinishReason::cancelled);
      EXPECT_EQ(result.text, watchers[index]->text);
    } else {
      expect_same_answer(result, run(*single, requests[index]));
    }
    if (index == 1) {
      EXPECT_EQ(result.usage.reused_tokens, 0) << "it took the reading over";
    }
    if (index == 3 && result.usage.generated_tokens > 0) {  // its end is a place to go on from
      std::vector<Segment> segments = requests[index].segments;
      segments.push_back(message(1, Role::assistant, result.text, result.token_ids));
      segments.push_back(message(2, Role::user, "Go on."));
      EXPECT_EQ(run(*engine, ask(segments)).usage.reused_tokens,
                result.usage.prompt_tokens + std::ssize(result.token_ids));
    }
  }
}

TEST_P(ForkBatchTest, AStopOfAllWhileTheDocumentIsReadKeepsTheReading) {
  const std::vector<GenerationRequest> requests = questions_about({document(1, 400)}, 3);
  const auto engine = open_local_engine(options_for(GetParam()));
  std::stop_source stop;
  struct Stopper : RequestObserver {
    std::stop_source stop;
    std::int64_t read = 0;
    void on_reading(std::int64_t read_now, std::int64_t, double) override {
      read = read_now;
      if (read > 200) stop.request_stop();
    }
  };
  const auto stopper = std::make_shared<Stopper>();
  std::vector<BatchItem> items;
  for (const GenerationRequest& request : requests) items.push_back({request, stopper, stopper->stop.get_token()});
  for (auto& future : engine->submit_batch(std::move(items)))
    EXPECT_EQ(future.get().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(run(*engine, requests[0]).usage.reused_tokens, stopper->read);
}

TEST_P(ForkBatchTest, BadRequestsFailAlone) {
  LocalEngineOptions options = options_for(GetParam());
  options.window = 400;
  const auto engine = open_local_engine(options);
  const auto single = open_local_engine(options);
  std::vector<GenerationRequest> requests = questions_about({document(1, 60)}, 8);
  requests[0].segments = {document(1, 400), message(0, Role::user, "What?")};  // longer than the window
  requests[2].segments.clear();
  requests[3].segments.push_back(message(1, Role::assistant, "b"));
  requests[4].segments.back().token_ids = {1000000};
  requests[6].sampling.top_p = -1;
  auto futures = submit(*engine, requests);
  for (const std::size_t index : {0U, 2U, 3U, 4U, 6U}) EXPECT_THROW(futures[index].get(), Error) << index;
  for (const std::size_t index : {1U, 5U, 7U}) expect_same_answer(futures[index].get(), run(*single, requests[index]));
  EXPECT_TRUE(engine->submit_batch({}).empty());
  auto none = submit(*engine, {requests[0], requests[2]});
  for (auto& future : none) EXPECT_THROW(future.get(), Error);
  EXPECT_NO_THROW(run(*engine, requests[1]));
}

TEST_P(ForkBatchTest, FewerAtATimeWherePagesAreFew) {
  LocalEngineOptions options = options_for(GetParam());
  options.cache_budget_bytes = 0;
  options.window = 2000;
  const auto engine = open_local_engine(options);
  const auto single = open_local_engine(options);
  std::vector<GenerationRequest> requests = questions_about({document(1, 60)}, 24);
  for (GenerationRequest& request : requests) {
    request.max_tokens = 100000;  // each might fill the window
    request.stop = {"a", "e", "i"};
    request.stop_repetition = true;
  }
  auto futures = submit(*engine, requests);
  for (std::size_t index = 0; index < requests.size(); index += 3)
    expect_same_answer(futures[index].get(), run(*single, requests[index]));
  for (std::size_t index = 1; index < requests.size(); ++index)
    if (index % 3 != 0) {
      EXPECT_NO_THROW(futures[index].get());
    }
}

TEST_P(ForkBatchTest, RequestsWithNothingInCommonAreAnsweredTogetherToo) {
  const auto engine = open_local_engine(options_for(GetParam()));
  std::vector<GenerationRequest> requests;
  for (int index = 0; index < 7; ++index)
    requests.push_back(ask({document(index, 40 + 60 * index), message(0, Role::user, "What?")}, 20));
  requests.push_back(requests.front());  // the same twice
  requests.push_back(requests.front());
  requests.back().max_tokens = 0;  // to be read alone
  auto futures = submit(*engine, requests);
  for (std::size_t index = 0; index < requests.size(); ++index) {
    SCOPED_TRACE(index);
    const auto fresh = open_local_engine(options_for(GetParam()));
    const GenerationResult result = futures[index].get();
    expect_same_answer(result, run(*fresh, requests[index]));
    if (index < 7) {
      EXPECT_EQ(result.usage.miss_reasons, std::vector<MissReason>{MissReason::first_read});
    }
  }
}

TEST_P(ForkBatchTest, IdenticalRequestsShareAllOfTheirPrompt) {
  const auto engine = open_local_engine(options_for(GetParam()));
  std::vector<GenerationRequest> requests(5, questions_about({document(1, 60)}, 2)[1]);
  for (std::size_t index = 0; index < requests.size(); ++index) requests[index].sampling.seed = index;
  auto futures = submit(*engine, requests);
  for (std::size_t index = 0; index < requests.size(); ++index) {
    const GenerationResult result = futures[index].get();
    EXPECT_EQ(result.usage.computed_tokens, index == 0 ? result.usage.prompt_tokens : 0);
    const auto fresh = open_local_engine(options_for(GetParam()));
    expect_same_answer(result, run(*fresh, requests[index]));
  }
}

TEST_P(ForkBatchTest, DestroyingTheEngineCancelsABatch) {
  auto engine = open_local_engine(options_for(GetParam()));
  std::vector<GenerationRequest> requests = questions_about({document(1, 300)}, 20);
  for (GenerationRequest& request : requests) {
    request.max_tokens = 3000;
    request.sampling.temperature = 1;
    request.stop.clear();
    request.stop_repetition = false;
  }
  auto first = submit(*engine, requests), second = submit(*engine, requests);
  engine.reset();
  for (auto& future : first) EXPECT_NO_THROW(future.get());
  for (auto& future : second) EXPECT_EQ(future.get().finish_reason, FinishReason::cancelled);
}

TEST(ForkBatch, ItemsStoppedWhileTheyWaitNeedNotWait) {
  const auto engine = open_local_engine(options_for("llama-gqa"));
  GenerationRequest endless = ask({document(1, 100), message(0, Role::user, "What?")}, 3000);
  endless.sampling.temperature = 1;
  std::stop_source first_stop, second_stop;
  auto first = engine->submit(endless, nullptr, first_stop.get_token());
  auto batch =
      engine->submit_batch({{endless, nullptr, second_stop.get_token()}, {ask(endless.segments), nullptr, {}}});
  second_stop.request_stop();
  EXPECT_EQ(batch[0].get().finish_reason, FinishReason::cancelled);
  first_stop.request_stop();
  first.get();
  EXPECT_NE(batch[1].get().finish_reason, FinishReason::cancelled);
}

TEST(ForkBatch, AnswersAsADraftingEngineDoes) {
  LocalEngineOptions options = options_for("qwen35moe-gqa16");
  options.drafts = 2;
  const auto engine = open_local_engine(options);
  const std::vector<GenerationRequest> requests = questions_about({document(1, 60)}, 5);
  auto futures = submit(*engine, requests);
  for (std::size_t index = 0; index < requests.size(); ++index)
    expect_same_answer(futures[index].get(), run(*engine, requests[index]));
}

// ---- rows of several sequences in one pass ----

/// Keys and values of a sequence, as bytes.
std::vector<std::byte> rows_of(KvPagePool& pool, const Sequence& sequence) {
  std::vector<std::byte> bytes;
  const kernels::KvShape shape = pool.shape();
  const std::int64_t row = kernels::row_bytes(shape.type, shape.head_dim);
  std::vector<std::byte*> strips(sequence.kv.pages().size());
  for (std::int64_t layer = 0; layer < pool.layers(); ++layer) {
    const auto of_layer = sequence.kv.strips(layer, strips);
    for (std::int64_t token = 0; token < sequence.position(); ++token)
      for (std::int64_t block = 0; block < 2 * shape.heads; ++block) {
        const std::byte* at = of_layer[static_cast<std::size_t>(token / kernels::kv_page_tokens)] +
                              (block * kernels::kv_page_tokens + token % kernels::kv_page_tokens) * row;
        bytes.insert(bytes.end(), at, at + row);
      }
  }
  return bytes;
}

TEST(Forks, RowsOfSeveralSequencesHaveTheBitsOfOneAloneAtEveryStep) {
  for (const char* name : {"llama-gqa", "qwen3next-base", "qwen3next-blocks-q8_0", "qwen35moe-gqa16"}) {
    const Model model(folder / (std::string(name) + ".gguf"));
    for (const int threads : {1, 2}) {
      SCOPED_TRACE(std::string(name) + ", " + std::to_string(threads) + " threads");
      kernels::Stream stream(threads);
      Forward forward(model.config(), model.weights(), stream, 128, 1024);
      const DeltaShape shape = delta_shape(model.config());
      KvPagePool pool(model.config().attention_layers(), kv_shape(model.config()), std::int64_t{1} << 28);
      const auto id_of = [&](std::int64_t number) {
        return static_cast<TokenId>(number * 31 % std::min<std::int64_t>(model.config().vocabulary, 200));
      };
      // A prefix that ends inside a page, and another one that ends with it.
      constexpr std::int64_t forks = 11, steps = 9;
      std::vector<std::unique_ptr<Sequence>> bases;
      for (const std::int64_t length : {300, 256}) {
        bases.push_back(std::make_unique<Sequence>(pool, shape));
        for (std::int64_t done = 0; done < length;) {
          std::vector<TokenId> ids;
          for (; std::ssize(ids) < 64 && done < length; ++done) ids.push_back(id_of(done));
          const ForwardPiece piece{bases.back().get(), ids, {}, {}, {}};
          forward.run({&piece, 1}, RowKind::prefill);
        }
      }
      const auto fork_of = [&](std::int64_t fork) {
        const Sequence& base = *bases[static_cast<std::size_t>(fork % 2)];
        auto sequence = std::make_unique<Sequence>(pool, shape);
        sequence->kv = KvSequence(pool, base.kv.pages(), base.position());
        sequence->state.copy_from(base.state);
        return sequence;
      };
      const std::int64_t width = model.config().hidden, vocabulary = model.config().vocabulary;
      const auto logits_of = [&](kernels::ConstTensor rows) {
        std::vector<float> logits(static_cast<std::size_t>(rows.dim(0) * vocabulary));
        forward.logits(rows, RowKind::decode, kernels::f32_view(logits.data(), {rows.dim(0), vocabulary}));
        return logits;
      };
      // Alone, one after another: hidden rows and logits of each step.
      std::vector<std::unique_ptr<Sequence>> alone, together;
      std::vector<std::vector<float>> hidden(forks), logits(forks);
      for (std::int64_t fork = 0; fork < forks; ++fork) {
        alone.push_back(fork_of(fork));
        together.push_back(fork_of(fork));
        for (std::int64_t step = fork % 3; step < steps; ++step) {
          const TokenId id = id_of(1000 + fork * steps + step);
          const ForwardPiece piece{alone.back().get(), {&id, 1}, {}, {}, {}};
          const kernels::ConstTensor row = forward.run({&piece, 1}, RowKind::decode);
          const auto* values = reinterpret_cast<const float*>(row.data);
          auto& rows = hidden[static_cast<std::size_t>(fork)];
          rows.insert(rows.end(), values, values + width);
          const std::vector<float> of_row = logits_of(row);
          auto& all = logits[static_cast<std::size_t>(fork)];
          all.insert(all.end(), of_row.begin(), of_row.end());
        }
      }
      // Together; a third of them joins at each of the first three steps.
      std::vector<std::int64_t> taken(forks, 0);
      for (std::int64_t step = 0; step < steps; ++step) {
        std::vector<TokenId> ids(forks);
        std::vector<ForwardPiece> pieces;
        std::vector<std::size_t> order;
        for (std::int64_t fork = 0; fork < forks; ++fork) {
          if (step < fork % 3) continue;
          const auto at = static_cast<std::size_t>(fork);
          ids[at] = id_of(1000 + fork * steps + step);
          pieces.push_back({together[at].get(), {&ids[at], 1}, {}, {}, {}});
          order.push_back(at);
        }
        const kernels::ConstTensor rows = forward.run(pieces, RowKind::decode);
        const std::vector<float> values(reinterpret_cast<const float*>(rows.data),
                                        reinterpret_cast<const float*>(rows.data) + rows.elements());
        const std::vector<float> of_rows = logits_of(kernels::f32_view(values.data(), {rows.dim(0), width}));
        for (std::size_t index = 0; index < order.size(); ++index) {
          const std::size_t fork = order[index];
          const std::int64_t row = taken[fork]++, place = static_cast<std::int64_t>(index);
          EXPECT_TRUE(std::equal(values.begin() + place * width, values.begin() + (place + 1) * width,
                                 hidden[fork].begin() + row * width))
              << "fork " << fork << ", step " << step;
          EXPECT_TRUE(std::equal(of_rows.begin() + place * vocabulary, of_rows.begin() + (place + 1) * vocabulary,
                                 logits[fork].begin() + row * vocabulary))
              << "fork " << fork << ", step " << step;
        }
      }
      for (std::size_t fork = 0; fork < static_cast<std::size_t>(forks); ++fork) {
        EXPECT_TRUE(alone[fork]->state == together[fork]->state) << "fork " << fork;
        EXPECT_TRUE(rows_of(pool, *alone[fork]) == rows_of(pool, *together[fork])) << "fork " << fork;
      }
    }
  }
}

}  // namespace
}  // namespace lectern::inference

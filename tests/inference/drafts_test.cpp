// Answers with drafts against answers without, bit for bit, whoever drafts.
#include "inference/answer_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <sstream>

#include "inference/engine_commands.h"
#include "inference/generation.h"
#include "inference/mtp_layer.h"
#include "inference/sampler.h"
#include "tests/inference/gguf_samples.h"
#include "tests/inference/model_samples.h"

namespace lectern::inference {
namespace {

using samples::tokens_of;
using samples::values_of;

constexpr std::int64_t window = 1024, chunk = 64;

/// A tiny model made by `model synthesize`.
std::string synthetic(const std::string& type) {
  const std::string file = samples::temporary("drafts-" + type + ".gguf").string();
  const std::vector<std::string> args{"model", "synthesize", "--preset", "tiny", "--quant", type,
                                      "--mtp", "1",          "--seed",   "3",    file};
  std::ostringstream out, err;
  if (run_engine_command(args, out, err) != 0) throw std::runtime_error(err.str());
  return file;
}

/// Both layouts, with and without experts, states in f32 and (Q8_0) in bf16.
const std::vector<std::string>& models_with_a_layer() {
  static const std::vector<std::string> paths{(samples::models / "qwen3next-base").string(),
                                              (samples::models / "qwen35-ratio3").string(),
                                              (samples::models / "qwen35-ratio3.gguf").string(),
                                              (samples::models / "qwen35moe-gqa16").string(),
                                              (samples::models / "qwen35moe-gqa16.gguf").string(),
                                              synthetic("F32"),
                                              synthetic("Q8_0")};
  return paths;
}

const Model& model_at(const std::string& path) {
  static std::map<std::string, std::unique_ptr<Model>> models;
  auto& model = models[path];
  if (!model) model = std::make_unique<Model>(path);
  return *model;
}

/// `count` ids that the model knows, from `first` on of an endless text.
std::vector<TokenId> text_of(const Model& model, std::size_t first, std::size_t count) {
  static const std::vector<TokenId> ids = tokens_of("qwen3next-base");
  std::vector<TokenId> text;
  for (std::size_t index = first; text.size() < count; ++index)
    text.push_back(ids[index % ids.size()] % static_cast<TokenId>(model.usable_tokens()));
  return text;
}

/// A sequence that has read a prompt, with its draft layer, as `generate` has them.
struct Bed {
  explicit Bed(const Model& opened, std::int64_t usable = 0, int threads = 1)
      : model(opened),
        usable_tokens(usable > 0 ? usable : opened.usable_tokens()),
        run(opened, window, chunk, threads),
        layer(opened.config(), opened.weights(), run.stream(), usable_tokens, chunk, window) {}

  void read(std::span<const TokenId> prompt) {
    run.restart();
    layer.restart();
    run.read(prompt, {}, [&](kernels::ConstTensor rows) {
      layer.read_prompt(prompt, rows);
      const std::vector<float> values = values_of(rows);
      hidden.assign(values.end() - rows.columns(), values.end());
    });
  }

  Generated answer(std::span<const TokenId> prompt, Drafter* drafter, std::int64_t drafts, std::int64_t tokens,
                   const SamplingOptions& sampling = {}) {
    GenerationSettings settings;
    settings.sampling = sampling;
    settings.max_tokens = tokens;
    settings.usable_tokens = usable_tokens;
    settings.drafts = drafts;
    return generate(run.forward(), run.sequence(), model.required_tokenizer(), prompt, hidden, RowKind::prefill,
                    settings, {}, nullptr, drafter);
  }

  /// Keys and values of the slots that count, all layers.
  std::vector<std::byte> kv() {
    std::vector<std::byte> bytes;
    const kernels::KvShape shape = kv_shape(model.config());
    const std::int64_t row = kernels::row_bytes(shape.type, shape.head_dim);
    const KvSequence& kept = run.sequence().kv;
    for (std::int64_t slot = 0; slot < kept.length(); ++slot)
      for (std::int64_t block = 0; block < model.config().attention_layers() * 2 * shape.heads; ++block) {
        const std::byte* from = kept.pages()[static_cast<std::size_t>(slot / kernels::kv_page_tokens)].data() +
                                (block * kernels::kv_page_tokens + slot % kernels::kv_page_tokens) * row;
        bytes.insert(bytes.end(), from, from + row);
      }
    return bytes;
  }

  const Model& model;
  std::int64_t usable_tokens;
  ModelRun run;
  MtpLayer layer;
  std::vector<float> hidden;
};

/// The layer itself; sees to it that each round begins one pair behind the model.
class Watched final : public Drafter {
 public:
  explicit Watched(Bed& bed) : bed_(bed) {}
  void read(std::span<const TokenId> next, kernels::ConstTensor hidden, RowKind kind) override {
    bed_.layer.read(next, hidden, kind);
  }
  std::vector<TokenId> propose(TokenId token, kernels::ConstTensor hidden, std::int64_t count) override {
    EXPECT_EQ(bed_.layer.length(), bed_.run.sequence().position() - 1);
    std::vector<TokenId> drafts = bed_.layer.propose(token, hidden, count);
    EXPECT_EQ(bed_.layer.length(), bed_.run.sequence().position());
    EXPECT_EQ(std::ssize(drafts), count);
    ++rounds;
    return drafts;
  }
  int rounds = 0;

 private:
  Bed& bed_;
};

/// Knows the answer and tells it, but for the places where it lies.
class Oracle final : public Drafter {
 public:
  Oracle(Bed& bed, std::vector<TokenId> answer, std::size_t prompt, int percent)
      : bed_(bed), answer_(std::move(answer)), prompt_(prompt), percent_(percent) {
    std::mt19937 random(3);
    for (std::size_t index = 0; index < answer_.size(); ++index) dice_.push_back(static_cast<int>(random() % 100));
  }
  void read(std::span<const TokenId> next, kernels::ConstTensor hidden, RowKind) override {
    EXPECT_EQ(hidden.dim(0), std::ssize(next));
    pairs_ += std::ssize(next);
  }
  std::vector<TokenId> propose(TokenId token, kernels::ConstTensor, std::int64_t count) override {
    const auto at = static_cast<std::size_t>(bed_.run.sequence().position()) - prompt_;
    EXPECT_EQ(static_cast<std::size_t>(pairs_), at);  // every token fed made one pair
    ++pairs_;
    EXPECT_EQ(token, answer_[at]);
    std::vector<TokenId> drafts;
    std::int64_t right = 0;
    for (std::size_t index = at + 1; std::ssize(drafts) < count; ++index) {
      const bool tells = index < answer_.size() && dice_[index] < percent_;
      const TokenId other = index < answer_.size() ? (answer_[index] + 1) % 200 : 0;
      drafts.push_back(tells ? answer_[index] : other);
      if (tells && right == std::ssize(drafts) - 1) ++right;
    }
    planned += right;
    offered += count;
    seen.insert(right);
    ++rounds;
    return drafts;
  }
  std::int64_t planned = 0, offered = 0, rounds = 0;
  std::set<std::int64_t> seen;  // drafts accepted in a round

 private:
  Bed& bed_;
  std::vector<TokenId> answer_;
  std::size_t prompt_;
  int percent_;
  std::vector<int> dice_;  // [answer]: below percent_, the oracle tells the token
  std::int64_t pairs_ = 0;
};

// Tokens of the DeltaNet grid and of a page inside the rows of one verification, prompts without an earlier pair.
constexpr std::size_t prompt_lengths[] = {1,  2,  3,  4,  5,  7,   11,  16,  31,  61,
                                          62, 63, 64, 65, 90, 127, 252, 253, 255, 256};

TEST(Drafts, GiveTheAnswerAndTheStateOfPlainDecodingOnTwentyPrompts) {
  static_assert(std::size(prompt_lengths) == 20);
  for (const std::string& path : models_with_a_layer()) {
    const Model& model = model_at(path);
    Bed bed(model);
    std::int64_t tokens = 0;
    for (const std::size_t length : prompt_lengths) {
      const std::vector<TokenId> prompt = text_of(model, length * 3, length);
      bed.read(prompt);
      const Generated plain = bed.answer(prompt, nullptr, 0, 12);
      const std::vector<std::byte> plain_kv = bed.kv();
      DeltaState plain_state(bed.run.sequence().state);
      tokens += std::ssize(plain.token_ids);
      for (const std::int64_t drafts : {1, 2, 4}) {
        SCOPED_TRACE(path + ", prompt of " + std::to_string(length) + ", " + std::to_string(drafts) + " drafts");
        bed.read(prompt);
        Watched watched(bed);
        const Generated drafted = bed.answer(prompt, &watched, drafts, 12);
        EXPECT_EQ(drafted.token_ids, plain.token_ids);
        EXPECT_EQ(drafted.text, plain.text);
        EXPECT_EQ(drafted.fed, plain.fed);
        EXPECT_EQ(drafted.reason, plain.reason);
        EXPECT_EQ(drafted.sampled, plain.sampled);
        EXPECT_TRUE(drafted.hidden == plain.hidden);
        EXPECT_TRUE(bed.run.sequence().state == plain_state);
        EXPECT_TRUE(bed.kv() == plain_kv);
        EXPECT_EQ(bed.layer.length(), bed.run.sequence().position() - 1);
        EXPECT_EQ(watched.rounds + drafted.accepted, std::ssize(drafted.fed));
      }
    }
    EXPECT_GE(tokens, 150) << path;  // most answers are long enough to say something
  }
}

TEST(Drafts, OfAnOracleAreAcceptedAsPlanned) {
  for (const std::string& path : models_with_a_layer()) {
    const Model& model = model_at(path);
    Bed bed(model);
    constexpr std::int64_t length = 60;
    for (const std::size_t begin : {std::size_t{50}, std::size_t{230}}) {
      // A prompt whose answer does not end early.
      std::vector<TokenId> prompt;
      Generated plain;
      for (std::size_t first = 0; std::ssize(plain.fed) < length && first < 40; ++first) {
        prompt = text_of(model, first, begin);
        bed.read(prompt);
        plain = bed.answer(prompt, nullptr, 0, length);
      }
      ASSERT_EQ(std::ssize(plain.fed), length) << path;
      const std::vector<std::byte> plain_kv = bed.kv();
      DeltaState plain_state(bed.run.sequence().state);
      for (const std::int64_t drafts : {1, 2, 4})
        for (const int percent : {0, 70, 100}) {
          SCOPED_TRACE(path + ", " + std::to_string(drafts) + " drafts, " + std::to_string(percent) + " % right");
          bed.read(prompt);
          Oracle oracle(bed, plain.fed, prompt.size(), percent);
          const Generated drafted = bed.answer(prompt, &oracle, drafts, length);
          EXPECT_EQ(drafted.fed, plain.fed);
          EXPECT_EQ(drafted.text, plain.text);
          EXPECT_TRUE(bed.run.sequence().state == plain_state);
          EXPECT_TRUE(bed.kv() == plain_kv);
          EXPECT_TRUE(drafted.hidden == plain.hidden);
          EXPECT_EQ(drafted.drafted, oracle.offered);
          EXPECT_EQ(drafted.accepted, oracle.planned);
          EXPECT_EQ(oracle.rounds + drafted.accepted, length);
          if (percent == 0) {
            EXPECT_EQ(drafted.accepted, 0);
          } else if (percent == 100) {
            EXPECT_EQ(oracle.rounds, (length + drafts) / (drafts + 1));
          } else {
            EXPECT_EQ(std::ssize(oracle.seen), drafts + 1);  // every count from none to all
          }
        }
    }
  }
}

TEST(Drafts, LogitsAndStatesAreThoseOfSingleTokensBitForBitAtEveryStep) {
  for (const std::string& path : models_with_a_layer()) {
    const Model& model = model_at(path);
    for (const int threads : {1, 2}) {
      SCOPED_TRACE(path + ", " + std::to_string(threads) + " threads");
      Bed bed(model, 0, threads);
      const std::vector<TokenId> prompt = text_of(model, 0, 245), answer = text_of(model, 77, 24);
      bed.read(prompt);
      std::vector<std::vector<float>> logits;
      std::vector<DeltaState> states;
      for (const TokenId& id : answer) {
        const ForwardPiece piece{&bed.run.sequence(), {&id, 1}, {}, {}, {}};
        logits.push_back(samples::logits_of(bed.run.forward(), bed.run.forward().run({&piece, 1}, RowKind::decode),
                                            RowKind::decode));
        states.push_back(bed.run.sequence().state);
      }
      for (const std::int64_t drafts : {1, 2, 4})
        for (const int percent : {0, 70, 100}) {
          bed.read(prompt);
          Oracle oracle(bed, answer, prompt.size(), percent);
          AnswerReader reader(bed.run.forward(), bed.run.sequence(), bed.hidden, RowKind::prefill, &oracle, drafts);
          for (std::size_t index = 0; index < answer.size(); ++index) {
            reader.feed(answer[index], 64);
            const std::span<const float> row = reader.logits();
            EXPECT_TRUE(std::equal(row.begin(), row.end(), logits[index].begin(), logits[index].end()))
                << drafts << " drafts, token " << index;
            if (index % 5 != 4 && index + 1 != answer.size()) continue;
            reader.settle();  // in the middle of a round, too
            EXPECT_TRUE(bed.run.sequence().state == states[index]) << drafts << " drafts, token " << index;
            EXPECT_EQ(bed.run.sequence().position(), std::ssize(prompt) + static_cast<std::int64_t>(index) + 1);
            EXPECT_TRUE(std::equal(logits[index].begin(), logits[index].end(), reader.logits().begin()));
          }
        }
    }
  }
}

TEST(Drafts, StopAtTheEndOfTheWindow) {
  const Model& model = model_at(models_with_a_layer().front());
  const std::vector<TokenId> prompt = text_of(model, 0, window - 10);
  Bed bed(model);
  bed.read(prompt);
  const Generated plain = bed.answer(prompt, nullptr, 0, 50);
  ASSERT_EQ(plain.reason, FinishReason::window);
  for (const int percent : {0, 100}) {
    bed.read(prompt);
    Oracle oracle(bed, plain.fed, prompt.size(), percent);
    const Generated drafted = bed.answer(prompt, &oracle, 4, 50);
    EXPECT_EQ(drafted.reason, FinishReason::window);
    EXPECT_EQ(drafted.token_ids, plain.token_ids);
    EXPECT_EQ(bed.run.sequence().position(), window);
  }
}

TEST(Drafts, LeaveTheSamplesOfASeedAsTheyAre) {
  SamplingOptions sampling;
  sampling.temperature = 0.8F;
  sampling.top_k = 40;
  sampling.top_p = 0.95F;
  sampling.repetition_penalty = 1.3F;  // depends on the tokens accepted before in the same pass
  sampling.frequency_penalty = 0.5F;
  for (const std::string& path : models_with_a_layer()) {
    Bed bed(model_at(path));
    const std::vector<TokenId> prompt = text_of(bed.model, 5, 20);
    for (sampling.seed = 0; sampling.seed < 5; ++sampling.seed) {
      bed.read(prompt);
      const Generated plain = bed.answer(prompt, nullptr, 0, 20, sampling);
      bed.read(prompt);
      Oracle oracle(bed, plain.fed, prompt.size(), 70);
      const Generated drafted = bed.answer(prompt, &oracle, 4, 20, sampling);
      EXPECT_EQ(drafted.token_ids, plain.token_ids) << path;
      EXPECT_EQ(drafted.accepted, oracle.planned);
      bed.read(prompt);
      EXPECT_EQ(bed.answer(prompt, &bed.layer, 2, 20, sampling).token_ids, plain.token_ids) << path;
    }
  }
}

/// Drafts that are the likeliest tokens more often than not: what the first row of the model itself makes of a prefix.
class Fixed final : public Drafter {
 public:
  explicit Fixed(std::vector<TokenId> drafts) : drafts_(std::move(drafts)) {}
  void read(std::span<const TokenId>, kernels::ConstTensor, RowKind) override {}
  std::vector<TokenId> propose(TokenId, kernels::ConstTensor, std::int64_t count) override {
    return {drafts_.begin(), drafts_.begin() + std::min(count, std::ssize(drafts_))};
  }

 private:
  std::vector<TokenId> drafts_;
};

TEST(Drafts, KeepTheDistributionOfSamples) {
  // Two tokens of a vocabulary of six: the second one's rows come with the first when the draft is right.
  constexpr std::int64_t small = 6, samples = 4000;
  const Model& model = model_at(models_with_a_layer().front());
  Bed bed(model, small);
  const std::vector<TokenId> prompt = text_of(model, 9, 30);
  const auto probabilities = [&](std::span<const float> logits) {
    std::vector<double> p;
    for (const float logit : logits.first(small)) p.push_back(std::exp(static_cast<double>(logit)));
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& value : p) value /= sum;
    return p;
  };
  std::vector<double> expected;  // [6 of the second token][6 of the third], given the first
  const TokenId first = 2;
  bed.read(prompt);
  const DeltaState start(bed.run.sequence().state);
  const auto logits_after = [&](std::vector<TokenId> tokens) {
    bed.run.sequence().kv.truncate(std::ssize(prompt));
    bed.run.sequence().state.copy_from(start);
    AnswerReader reader(bed.run.forward(), bed.run.sequence(), bed.hidden, RowKind::prefill, nullptr, 0);
    for (const TokenId id : tokens) reader.feed(id, 0);
    return probabilities(reader.logits());
  };
  const std::vector<double> second = logits_after({first});
  for (TokenId id = 0; id < small; ++id)
    for (const double p : logits_after({first, id})) expected.push_back(second[static_cast<std::size_t>(id)] * p);
  const auto likeliest = static_cast<TokenId>(std::max_element(second.begin(), second.end()) - second.begin());

  std::vector<double> seen(expected.size());
  std::int64_t accepted = 0;
  Fixed drafter({likeliest, likeliest});
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    bed.run.sequence().kv.truncate(std::ssize(prompt));
    bed.run.sequence().state.copy_from(start);
    SamplingOptions sampling;
    sampling.temperature = 1;
    sampling.seed = static_cast<std::uint64_t>(sample) * 0x9E3779B9U;
    Sampler sampler(sampling, small);
    AnswerReader reader(bed.run.forward(), bed.run.sequence(), bed.hidden, RowKind::prefill, &drafter, 2);
    reader.feed(first, 2);
    const TokenId a = sampler.choose(reader.logits(), {});
    reader.feed(a, 0);
    const TokenId b = sampler.choose(reader.logits(), {});
    seen[static_cast<std::size_t>(a * small + b)] += 1;
    accepted += reader.accepted();
  }
  double chi_squared = 0, rest_expected = 0, rest_seen = 0;
  int cells = 0;
  for (std::size_t cell = 0; cell < seen.size(); ++cell) {
    const double count = expected[cell] * static_cast<double>(samples);
    if (count < 5) {
      rest_expected += count;
      rest_seen += seen[cell];
      continue;
    }
    chi_squared += (seen[cell] - count) * (seen[cell] - count) / count;
    ++cells;
  }
  if (rest_expected > 0) chi_squared += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
  // 99.9 % of a chi-squared variable of n degrees lies below n + 3.09 sqrt(2 n) + 6 (Wilson and Hilferty, rounded up).
  EXPECT_LT(chi_squared, cells + 3.09 * std::sqrt(2.0 * cells) + 6);
  EXPECT_GE(cells, 8);
  EXPECT_NEAR(static_cast<double>(accepted) / samples, second[static_cast<std::size_t>(likeliest)], 0.03);
}

struct Ran {
  int status = 0;
  std::string out, err;
};
Ran command(std::vector<std::string> args) {
  std::ostringstream out, err;
  const int status = run_engine_command(args, out, err);
  return {status, out.str(), err.str()};
}

TEST(GenerateCommand, WritesTheSameTextWithDraftsAndReportsThem) {
  const std::filesystem::path prompt = samples::temporary("mtp-prompt.txt");
  std::ofstream(prompt) << "In the beginning there was the word and";
  for (const std::string& path : models_with_a_layer()) {
    SCOPED_TRACE(path);
    const auto run = [&](const std::string& model, const std::string& drafts) {
      return command({"generate", "--model", model, "--prompt-file", prompt.string(), "--max-tokens", "20", "--draft",
                      drafts, "--threads", "1", "--context", "256"});
    };
    const Ran plain = run(path, "0");
    EXPECT_EQ(plain.status, 0) << plain.err;
    EXPECT_EQ(plain.err, "");
    for (const char* drafts : {"1", "2", "4"}) {
      const Ran drafted = run(path, drafts);
      EXPECT_EQ(drafted.out, plain.out);
      EXPECT_NE(drafted.err.find(" drafted, "), std::string::npos) << drafted.err;
      EXPECT_NE(drafted.err.find(" accepted ("), std::string::npos) << drafted.err;
    }
    EXPECT_EQ(run(path, "5").status, 2);
  }
  const Ran without = command({"generate", "--model", (samples::models / "qwen3next-base.gguf").string(),
                               "--prompt-file", prompt.string(), "--draft", "2"});
  EXPECT_EQ(without.status, 1);
  EXPECT_EQ(without.out, "");
  EXPECT_NE(without.err.find("leave --draft out"), std::string::npos);
  EXPECT_EQ(std::count(without.err.begin(), without.err.end(), '\n'), 1);
}

}  // namespace
}  // namespace lectern::inference

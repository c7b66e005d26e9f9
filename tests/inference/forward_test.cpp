// The forward pass against float64 logits of transformers (tests/reference/make_tiny_models.py), and against itself:
// bits must not depend on cuts, threads, neighbours in a pass, or on whether a state was restored.
#include "inference/forward.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "inference/npy_file.h"
#include "kernels/error.h"
#include "tests/inference/model_samples.h"

namespace lectern::inference {
namespace {

using samples::logits_of;
using samples::read;
using samples::tokens_of;
using samples::values_of;
const std::filesystem::path& folder = samples::models;

// Logits of standard deviation 1: transformers' own float32 is within 9e-5 and 4e-6 of its float64.
struct Tolerance {
  double most, mean;
};
constexpr Tolerance plain_model{2e-4, 1e-5};
// Activations in 8 to 15 bits, keys and values in bf16: a row here and there moves far; the mean tells the
// rest.
constexpr Tolerance quantized_model{1.0, 2e-2};

/// A file or folder, opened once.
const Model& model_at(const std::filesystem::path& path) {
  static std::map<std::string, std::unique_ptr<Model>> models;
  auto& model = models[path.string()];
  if (!model) model = std::make_unique<Model>(path);
  return *model;
}
const Model& model_of(const std::string& name) {
  return model_at(folder / (name + ".gguf"));
}

/// `expected` may hold more rows than `actual`: a token's logits do not depend on what follows.
void expect_near(const std::vector<float>& actual, const NpyArray& expected, Tolerance tolerance) {
  ASSERT_LE(actual.size(), expected.values.size());
  double most = 0, sum = 0;
  for (std::size_t index = 0; index < actual.size(); ++index) {
    const double difference =
        std::fabs(static_cast<double>(actual[index]) - static_cast<double>(expected.values[index]));
    most = std::max(most, difference);
    sum += difference;
  }
  EXPECT_LE(most, tolerance.most);
  EXPECT_LE(sum / static_cast<double>(actual.size()), tolerance.mean);
}

/// Every golden: NAME.LENGTH.npy; the files of the model: NAME.gguf, the older NAME-legacy.gguf, the folder NAME.
struct Golden {
  std::string name;
  std::size_t length = 0;
  std::vector<std::filesystem::path> files;
};
std::vector<Golden> goldens() {
  std::vector<Golden> all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".npy") continue;
    const std::string stem = entry.path().stem().string();
    const std::size_t dot = stem.rfind('.');
    Golden golden{stem.substr(0, dot), static_cast<std::size_t>(std::stoul(stem.substr(dot + 1))), {}};
    for (const char* const suffix : {".gguf", "-legacy.gguf", ""})
      if (std::filesystem::exists(folder / (golden.name + suffix)))
        golden.files.push_back(folder / (golden.name + suffix));
    all.push_back(golden);
  }
  return all;
}

TEST(Forward, MatchesTheReferenceForEveryModelLengthAndSplit) {
  constexpr std::size_t lengths[] = {1, 2, 3, 4, 5, 63, 64, 65, 127, 128, 129, 199};  // the chunk is 64
  const std::vector<std::vector<std::int64_t>> splits = {{}, {1}, {2}, {3}, {1, 7, 64}, {63, 2}};
  std::size_t folders = 0, ggufs = 0;
  for (const Golden& golden : goldens()) {
    const NpyArray expected = read_npy(folder / (golden.name + "." + std::to_string(golden.length) + ".npy"));
    const std::vector<TokenId> tokens = tokens_of(golden.name);
    ASSERT_GE(tokens.size(), golden.length);
    EXPECT_FALSE(golden.files.empty()) << golden.name;
    for (const std::filesystem::path& file : golden.files) {
      (std::filesystem::is_directory(file) ? folders : ggufs) += 1;
      const Model& model = model_at(file);
      const Tolerance tolerance = model.config().quantized ? quantized_model : plain_model;
      for (const std::size_t length : lengths) {
        if (length > golden.length) continue;
        const std::span prefix = std::span(tokens).first(length);
        for (const std::vector<std::int64_t>& split : splits) {
          if (!split.empty() && length != golden.length && length > 5) continue;
          SCOPED_TRACE(file.filename().string() + " length " + std::to_string(length) + " first piece " +
                       (split.empty() ? "all" : std::to_string(split[0])));
          expect_near(read(model, prefix, split), expected, tolerance);
        }
      }
      SCOPED_TRACE(file.filename().string());
      expect_near(read(model, std::span(tokens).first(golden.length), {}), expected, tolerance);
    }
  }
  EXPECT_GE(folders, 17U);
  EXPECT_GE(ggufs, 17U);
}

const char* const bit_models[] = {"llama-gqa",       "llama3-tied",           "qwen3next-base",
                                  "qwen3next-mixed", "qwen3next-ratio3-bf16", "qwen3next-ratio3-f16",
                                  "qwen3next-yarn",  "qwen3moe-mixed",        "qwen35-ratio3",
                                  "qwen35moe-gqa16", "qwen3next-blocks-q8_0"};

TEST(Forward, BitsDoNotDependOnCutsOrThreads) {
  for (const char* name : bit_models) {
    SCOPED_TRACE(name);
    const std::vector<TokenId> tokens = tokens_of(name);
    const std::vector<float> whole = read(model_of(name), tokens, {});
    for (const std::vector<std::int64_t>& split :
         {std::vector<std::int64_t>{1}, {2}, {3, 1, 5}, {64}, {63}, {1, 7, 64}})
      EXPECT_TRUE(whole == read(model_of(name), tokens, split)) << "first piece " << split[0];
    for (int threads : {2, 3}) EXPECT_TRUE(whole == read(model_of(name), tokens, {}, threads)) << threads << " threads";
  }
}

/// A forward pass with pages for several sequences.
struct Bed {
  explicit Bed(const Model& model, int threads = 1)
      : stream(threads),
        forward(model.config(), model.weights(), stream, 256, 1024),
        shape(delta_shape(model.config())),
        pool(model.config().attention_layers(), kv_shape(model.config()), std::int64_t{1} << 26) {}
  kernels::Stream stream;
  Forward forward;
  DeltaShape shape;
  KvPagePool pool;
};

TEST(Forward, ASequenceInAPassWithOthersGivesTheBitsItGivesAlone) {
  for (const char* name : bit_models) {
    SCOPED_TRACE(name);
    Bed bed(model_of(name), 2);
    const std::vector<TokenId> tokens = tokens_of(name);
    const std::span all(tokens);
    Sequence alone(bed.pool, bed.shape), first(bed.pool, bed.shape), second(bed.pool, bed.shape);
    const ForwardPiece single{&alone, all.subspan(3, 40), {}, {}, {}};
    const std::vector<float> expected = values_of(bed.forward.run({&single, 1}, RowKind::prefill));
    const ForwardPiece both[] = {{&first, all.first(21), {}, {}, {}}, {&second, all.subspan(3, 40), {}, {}, {}}};
    const std::vector<float> rows = values_of(bed.forward.run(both, RowKind::prefill));
    EXPECT_TRUE(
        std::equal(expected.begin(), expected.end(), rows.end() - static_cast<std::ptrdiff_t>(expected.size())));
    EXPECT_TRUE(alone.state == second.state);

    // Generated rows, ten sequences together (more than one call of matvec) and one alone.
    std::vector<std::unique_ptr<Sequence>> many;
    std::vector<ForwardPiece> pieces;
    for (int index = 0; index < 10; ++index) {
      many.push_back(std::make_unique<Sequence>(bed.pool, bed.shape));
      const ForwardPiece prompt{many.back().get(), all.subspan(static_cast<std::size_t>(index), 20), {}, {}, {}};
      bed.forward.run({&prompt, 1}, RowKind::prefill);
      pieces.push_back({many.back().get(), all.subspan(static_cast<std::size_t>(index) + 20, 1), {}, {}, {}});
    }
    Sequence lone(bed.pool, bed.shape);
    const ForwardPiece prompt{&lone, all.subspan(9, 20), {}, {}, {}};
    bed.forward.run({&prompt, 1}, RowKind::prefill);
    const ForwardPiece one{&lone, all.subspan(29, 1), {}, {}, {}};
    const std::vector<float> lone_row = values_of(bed.forward.run({&one, 1}, RowKind::decode));
    const std::vector<float> many_rows = values_of(bed.forward.run(pieces, RowKind::decode));
    EXPECT_TRUE(
        std::equal(lone_row.begin(), lone_row.end(), many_rows.end() - static_cast<std::ptrdiff_t>(lone_row.size())));
  }
}

TEST(Forward, GoesOnFromASnapshotTakenInTheMiddleOfAPassBitForBit) {
  for (const char* name : bit_models) {
    SCOPED_TRACE(name);
    Bed bed(model_of(name));
    const std::vector<TokenId> tokens = tokens_of(name);
    const std::span all = std::span(tokens).first(100);
    Sequence sequence(bed.pool, bed.shape);
    const std::int64_t offsets[] = {1, 37, 64, 100};
    std::vector<std::unique_ptr<DeltaSnapshot>> snapshots;
    std::vector<DeltaSnapshot*> targets;
    for (std::size_t index = 0; index < std::size(offsets); ++index) {
      snapshots.push_back(std::make_unique<DeltaSnapshot>(bed.shape));
      targets.push_back(snapshots.back().get());
    }
    const ForwardPiece piece{&sequence, all, {}, offsets, targets};
    const std::vector<float> whole = values_of(bed.forward.run({&piece, 1}, RowKind::prefill));
    const auto width = static_cast<std::size_t>(bed.forward.config().hidden);
    for (const auto& snapshot : snapshots) {
      const auto position = static_cast<std::size_t>(snapshot->position);
      EXPECT_TRUE(std::equal(snapshot->hidden.begin(), snapshot->hidden.end(),
                             whole.begin() + static_cast<std::ptrdiff_t>((position - 1) * width)));
      if (position == all.size()) continue;
      Sequence resumed(bed.pool, bed.shape);
      resumed.kv = KvSequence(bed.pool, sequence.kv.pages(), snapshot->position);
      resumed.state.copy_from(snapshot->state);
      const ForwardPiece rest{&resumed, all.subspan(position), {}, {}, {}};
      const std::vector<float> rows = values_of(bed.forward.run({&rest, 1}, RowKind::prefill));
      EXPECT_TRUE(std::equal(rows.begin(), rows.end(), whole.begin() + static_cast<std::ptrdiff_t>(position * width)))
          << position;
      EXPECT_TRUE(resumed.state == sequence.state);
    }
  }
}

TEST(Forward, GeneratedRowsAgreeWithReadOnesWithinTheTolerance) {
  for (const char* name : {"llama-gqa", "qwen3next-base", "qwen3next-wide"}) {
    SCOPED_TRACE(name);
    Bed bed(model_of(name));
    const std::vector<TokenId> tokens = tokens_of(name);
    Sequence sequence(bed.pool, bed.shape);
    std::vector<float> all;
    for (const TokenId& token : tokens) {
      const ForwardPiece piece{&sequence, {&token, 1}, {}, {}, {}};
      const std::vector<float> row =
          logits_of(bed.forward, bed.forward.run({&piece, 1}, RowKind::decode), RowKind::decode);
      all.insert(all.end(), row.begin(), row.end());
    }
    expect_near(all, {{}, read(model_of(name), tokens, {})}, {1e-3, 1e-5});
  }
}

TEST(Forward, ATokenNeverChangesWhatCameBeforeIt) {
  for (const char* name : {"llama-gqa", "qwen3next-base"}) {
    std::vector<TokenId> tokens = tokens_of(name);
    tokens.resize(70);
    const std::vector<float> before = read(model_of(name), tokens, {});
    tokens[50] = (tokens[50] + 1) % 200;
    const std::vector<float> after = read(model_of(name), tokens, {});
    const auto cut = static_cast<std::ptrdiff_t>(50 * model_of(name).config().vocabulary);
    EXPECT_TRUE(std::equal(before.begin(), before.begin() + cut, after.begin()));
    EXPECT_FALSE(std::equal(before.begin() + cut, before.end(), after.begin() + cut));
  }
}

TEST(Forward, RefusesWhatItCannotReadAndChangesNothing) {
  Bed bed(model_of("qwen3next-base"));
  Sequence sequence(bed.pool, bed.shape);
  const std::vector<TokenId> unknown{1, 100000}, negative{-1}, good{1, 2, 3};
  for (const auto* tokens : {&unknown, &negative}) {
    const ForwardPiece piece{&sequence, *tokens, {}, {}, {}};
    EXPECT_THROW(bed.forward.run({&piece, 1}, RowKind::prefill), Error);
  }
  EXPECT_EQ(sequence.position(), 0);
  const std::vector<TokenId> many(257, 1);
  const ForwardPiece large{&sequence, many, {}, {}, {}};
  EXPECT_THROW(bed.forward.run({&large, 1}, RowKind::prefill), Error);
  for (int pass = 0; pass < 4; ++pass) {
    const ForwardPiece piece{&sequence, std::span(many).first(256), {}, {}, {}};
    bed.forward.run({&piece, 1}, RowKind::prefill);
  }
  const ForwardPiece over{&sequence, good, {}, {}, {}};
  EXPECT_THROW(bed.forward.run({&over, 1}, RowKind::prefill), Error);  // the window is full
  EXPECT_EQ(sequence.position(), 1024);
}

}  // namespace
}  // namespace lectern::inference

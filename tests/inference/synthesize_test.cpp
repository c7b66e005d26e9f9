// Random models: true sizes, the wanted distributions, the same bytes everywhere, and files that the engine runs.
#include "inference/synthesize.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <map>
#include <sstream>

#include "inference/engine_commands.h"
#include "inference/model.h"
#include "inference/model_inspect.h"
#include "inference/model_run.h"
#include "inference/synthetic_tokenizer.h"
#include "inference/tokenizer_json.h"
#include "kernels/embed_rows.h"
#include "kernels/error.h"
#include "tests/inference/gguf_samples.h"
#include "tests/support/temporary_folder.h"

namespace lectern::inference {
namespace {

using kernels::DType;

SyntheticShape preset(const std::string& name) {
  for (const SyntheticShape& shape : synthetic_presets())
    if (shape.preset == name) return shape;
  throw std::runtime_error("no preset " + name);
}

/// The tiny shape with rows of 256 values, so that every format of the mixes occurs.
SyntheticShape wide() {
  SyntheticShape shape = preset("tiny");
  shape.preset = "wide";
  shape.hidden = shape.expert_hidden = shape.shared_hidden = shape.dense_hidden = 256;
  shape.head_dim = shape.delta_dim = 64;
  shape.rope_dimensions = 16;
  return shape;
}

SynthesisRequest request_for(const SyntheticShape& shape, DType type, std::uint64_t seed = 1, int threads = 1) {
  SynthesisRequest request{shape, type, seed, small_tokenizer(shape.pre), threads};
  pad_tokenizer(request.tokenizer, shape.vocabulary, "tokenizer");
  return request;
}

std::vector<std::byte> bytes_of(const SynthesisRequest& request) {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = std::filesystem::path(folder.path()) / "model.gguf";
  synthesize_model(request, path);
  return samples::bytes_of(path);
}

std::uint64_t fnv1a(std::span<const std::byte> bytes) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001B3U;
  return hash;
}

std::vector<std::byte> blocks_of(DType type, std::int64_t first, std::int64_t count, double spread = 0.02) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(count * kernels::block_bytes(type)));
  SyntheticTensor(7, "blk.0.ffn_up.weight", type, {Distribution::Shape::normal, 0.0, spread})
      .fill(first, count, bytes.data());
  return bytes;
}

std::int64_t parameters(const std::vector<SyntheticTensorSpec>& tensors) {
  std::int64_t sum = 0;
  for (const SyntheticTensorSpec& spec : tensors) sum += spec.elements();
  return sum;
}

constexpr DType all_types[] = {DType::f32, DType::bf16, DType::q8_0, DType::q4_k, DType::q6_k};

TEST(SyntheticTensor, GivesTheSameBytesOnEveryMachine) {
  const std::map<DType, std::uint64_t> known = {{DType::f32, 1458211183241331210U},
                                                {DType::bf16, 5130516089226777604U},
                                                {DType::q8_0, 11062599350945405914U},
                                                {DType::q4_k, 14469033715436919014U},
                                                {DType::q6_k, 6513903764782322118U}};
  for (const DType type : all_types) EXPECT_EQ(fnv1a(blocks_of(type, 0, 64)), known.at(type)) << kernels::name(type);
}

TEST(SyntheticTensor, MakesAnyBlockByItself) {
  for (const DType type : all_types) {
    const std::vector<std::byte> whole = blocks_of(type, 0, 9);
    const std::vector<std::byte> end = blocks_of(type, 4, 5);
    EXPECT_TRUE(std::equal(end.begin(), end.end(), whole.end() - std::ssize(end))) << kernels::name(type);
    EXPECT_NE(blocks_of(type, 4, 1), blocks_of(type, 5, 1)) << kernels::name(type);
  }
}

TEST(SyntheticTensor, HasTheWantedMeanAndDeviationInEveryFormat) {
  constexpr std::int64_t columns = 512, rows = 2048, count = columns * rows;
  kernels::Stream stream(1);
  for (const DType type : all_types)
    for (const double spread : {0.005, 0.02, 0.4}) {
      SCOPED_TRACE(std::string(kernels::name(type)) + " " + std::to_string(spread));
      const std::vector<std::byte> stored = blocks_of(type, 0, count / kernels::block_values(type), spread);
      std::vector<std::int32_t> ids(rows);
      for (std::size_t row = 0; row < ids.size(); ++row) ids[row] = static_cast<std::int32_t>(row);
      std::vector<float> values(count);
      kernels::embed_rows(stream, kernels::ConstTensor(stored.data(), type, {rows, columns}), ids,
                          kernels::f32_view(values.data(), {rows, columns}));
      double sum = 0, squares = 0, most = 0;
      for (const float value : values) {
        sum += static_cast<double>(value);
        squares += static_cast<double>(value) * static_cast<double>(value);
        most = std::max(most, std::fabs(static_cast<double>(value)));
      }
      EXPECT_NEAR(sum / count / spread, 0.0, 0.006);
      EXPECT_NEAR(std::sqrt(squares / count) / spread, 1.0, 0.01);
      EXPECT_GT(most / spread, 3.0);
      EXPECT_LT(most / spread, 4.5);
    }
}

TEST(SyntheticShape, HasTheParametersOfTheRealModels) {  // model.md 1.2 and 2.3
  SyntheticShape next = preset("qwen3-next-80b");
  EXPECT_EQ(parameters(synthetic_tensors(next, DType::q4_k)), 79'674'391'296);
  next.draft_layer = true;
  EXPECT_EQ(parameters(synthetic_tensors(next, DType::q4_k)), 81'324'862'720);
  EXPECT_EQ(synthetic_tensors(preset("qwen3-next-80b"), DType::q4_k).size(), 843U);  // as llama.cpp's converter writes
  SyntheticShape moe = preset("qwen3.5-35b-a3b");
  const std::int64_t trunk = parameters(synthetic_tensors(moe, DType::bf16));
  EXPECT_NEAR(static_cast<double>(trunk), 34.7e9, 0.05e9);
  moe.draft_layer = true;
  // fc, attention, router, experts, shared expert and its gate, five norms
  EXPECT_EQ(parameters(synthetic_tensors(moe, DType::bf16)) - trunk,
            4096 * 2048 + 27'263'488 + 256 * 2048 + 256 * 3 * 2048 * 512 + 3 * 2048 * 512 + 2048 + 5 * 2048);
  EXPECT_NEAR(static_cast<double>(parameters(synthetic_tensors(preset("qwen3.5-0.8b"), DType::bf16))), 0.75e9, 0.005e9);
}

TEST(SyntheticShape, MixesFormatsAsLlamaCppDoes) {
  std::string more_bits;
  for (const SyntheticTensorSpec& spec : synthetic_tensors(preset("mid"), DType::q4_k)) {
    if (spec.name.find("ffn_down_exps") != std::string::npos && spec.type == DType::q6_k) more_bits += spec.name[4];
    const auto is_any_of = [&](std::initializer_list<const char*> names) {
      return std::ranges::any_of(names, [&](const char* name) { return spec.name == name; });
    };
    for (const char* part : {"norm", "inp", "ssm_ba", "conv1d", "ssm_a", "ssm_dt"}) {
      if (spec.name.find(part) != std::string::npos) {
        EXPECT_EQ(spec.type, DType::f32) << spec.name;
      }
    }
    if (is_any_of({"output.weight", "blk.3.attn_v.weight", "blk.0.attn_qkv.weight"})) {
      EXPECT_EQ(spec.type, DType::q6_k) << spec.name;
    }
    if (is_any_of({"token_embd.weight", "blk.3.attn_q.weight", "blk.1.attn_qkv.weight"})) {
      EXPECT_EQ(spec.type, DType::q4_k) << spec.name;
    }
  }
  EXPECT_EQ(more_bits, "0367");
  EXPECT_EQ(synthetic_tensors(preset("qwen3.5-0.8b"), DType::q4_k)[0].type, DType::q6_k);  // the output matrix too
  for (const SyntheticTensorSpec& spec : synthetic_tensors(preset("tiny"), DType::q4_k)) {
    if (spec.name == "blk.0.ffn_down_exps.weight") {
      EXPECT_EQ(spec.type, DType::bf16);  // rows of 12
    }
  }
}

TEST(Synthesize, WritesTheSameBytesForTheSameSeedAndAnyThreads) {
  SyntheticShape shape = wide();
  shape.vocabulary = 8192;  // the embedding takes several slices
  const std::vector<std::byte> one = bytes_of(request_for(shape, DType::q8_0, 5, 1));
  EXPECT_EQ(one, bytes_of(request_for(shape, DType::q8_0, 5, 3)));
  EXPECT_NE(one, bytes_of(request_for(shape, DType::q8_0, 6, 1)));
}

TEST(Synthesize, KeepsALayersValuesWhateverTheNumberOfLayers) {
  SyntheticShape shape = preset("tiny");
  const GgufFile eight(bytes_of(request_for(shape, DType::f32)), "eight");
  shape.layers = 5;
  const GgufFile five(bytes_of(request_for(shape, DType::f32)), "five");
  const auto first = [](const GgufFile& file) {
    const kernels::ConstTensor tensor = file.required_tensor("blk.3.attn_q.weight");
    return std::vector<std::byte>(tensor.data, tensor.data + tensor.size_bytes());
  };
  EXPECT_EQ(first(eight), first(five));
  EXPECT_EQ(five.find_tensor("blk.5.attn_norm.weight"), nullptr);
}

double deviation_of_logits(const SynthesisRequest& request) {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = std::filesystem::path(folder.path()) / "model.gguf";
  synthesize_model(request, path);
  const std::string inspected = inspect_text(GgufFile(path));
  EXPECT_EQ(inspected.find("cannot run"), std::string::npos) << inspected;
  const Model model(path);
  std::vector<TokenId> tokens;
  for (TokenId id = 0; id < 100; ++id) tokens.push_back(id * 37 % 256);
  ModelRun run(model, std::ssize(tokens), std::ssize(tokens), 1);
  double squares = 0;
  std::int64_t count = 0;
  run.read(tokens, {}, [&](kernels::ConstTensor hidden) {
    each_row_of_logits(run.forward(), hidden, [&](std::int64_t, std::int64_t rows, const float* logits) {
      for (std::int64_t i = 0; i < rows * model.config().vocabulary; ++i, ++count)
        squares += static_cast<double>(logits[i]) * static_cast<double>(logits[i]);
    });
  });
  EXPECT_EQ(count, 100 * model.config().vocabulary);
  return std::sqrt(squares / static_cast<double>(count));  // not a number if any logit is none
}

TEST(Synthesize, GivesModelsWithLogitsOfStandardDeviationOne) {
  for (const DType type : {DType::f32, DType::bf16, DType::q8_0, DType::q4_k})
    for (const SyntheticShape& shape : {preset("tiny"), wide()}) {
      SCOPED_TRACE(shape.preset + " " + kernels::name(type));
      EXPECT_NEAR(deviation_of_logits(request_for(shape, type)), 1.0, 0.1);
    }
}

TEST(Synthesize, WritesTheDraftLayerAsABlockOfItsOwn) {
  SyntheticShape shape = preset("qwen3.5-0.8b");
  shape.layers = 2;
  shape.hidden = 256;
  shape.vocabulary = 512;
  shape.draft_layer = true;
  const GgufFile file(bytes_of(request_for(shape, DType::q8_0)), "draft");
  EXPECT_EQ(file.required_integer("qwen35.block_count"), 3);
  EXPECT_EQ(file.required_integer("qwen35.nextn_predict_layers"), 1);
  EXPECT_EQ(file.required_integers("qwen35.rope.dimension_sections"), (std::vector<std::int64_t>{11, 11, 10, 0}));
  EXPECT_EQ(file.find_tensor("blk.2.nextn.eh_proj.weight")->shape, (std::vector<std::int64_t>{256, 512}));
  EXPECT_NE(file.find_tensor("blk.2.attn_q.weight"), nullptr);
  EXPECT_NE(file.find_tensor("blk.1.ssm_alpha.weight"), nullptr);
  EXPECT_EQ(file.find_tensor("output.weight"), nullptr);
  EXPECT_FALSE(file.has("qwen35.expert_count"));
}

TEST(Synthesize, TakesAnyTokenizerThatFits) {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = std::filesystem::path(folder.path()) / "model.gguf";
  synthesize_model(request_for(preset("tiny"), DType::f32), path);
  const Model small(path);
  const std::string text = "then and there: 12 äß\n";
  EXPECT_EQ(small.required_tokenizer().decode(small.required_tokenizer().encode(text, SpecialTokens::plain_text)),
            text);
  EXPECT_EQ(small.required_tokenizer().encode("<|im_end|>", SpecialTokens::recognised),
            std::vector<TokenId>{*small.required_tokenizer().eos()});

  const std::string source = LECTERN_SOURCE_DIR "/tests/data/tokenizers/qwen2";
  SyntheticShape shape = preset("tiny");
  shape.vocabulary = 1000;
  SynthesisRequest request = request_for(shape, DType::f32);
  request.tokenizer = read_tokenizer_json(source);
  const Tokenizer reference(request.tokenizer.data);
  pad_tokenizer(request.tokenizer, shape.vocabulary, source);
  synthesize_model(request, path);
  const Model model(path);
  EXPECT_EQ(model.required_tokenizer().encode(text, SpecialTokens::plain_text),
            reference.encode(text, SpecialTokens::plain_text));
  EXPECT_NE(samples::error_of([&] { pad_tokenizer(request.tokenizer, 320, source); }).find("room for 320"),
            std::string::npos);
}

struct Outcome {
  int status;
  std::string out, err;
};
Outcome run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"model", "synthesize"});
  std::ostringstream out, err;
  const int status = run_engine_command(arguments, out, err);
  return {status, out.str(), err.str()};
}

TEST(SynthesizeCommand, ReplacesAnOlderFileAndSaysWhatItWrote) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("model.gguf", "old");
  const Outcome done = run({"--preset", "tiny", "--quant", "Q8_0", "--seed", "3", "--layers", "5", path});
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_NE(done.out.find("parameters"), std::string::npos);
  EXPECT_EQ(GgufFile(path).required_integer("qwen3next.block_count"), 5);
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
}

TEST(SynthesizeCommand, AnswersAWrongCallWithOneLine) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path() + "/model.gguf";
  const struct {
    std::vector<std::string> arguments;
    int status;
    std::string says;
  } calls[] = {
      {{"--preset", "tiny", "--quant", "Q8_0", path}, 2, "--seed: it must be given"},
      {{"--preset", "huge", "--quant", "Q8_0", "--seed", "1", path}, 2, "choose one of qwen3-next-80b, "},
      {{"--preset", "tiny", "--quant", "Q3_K", "--seed", "1", path}, 2, "choose one of F32, BF16, Q8_0, Q4_K"},
      {{"--preset", "tiny", "--quant", "F32", "--seed", "x", path}, 2, "--seed: \"x\" is not a whole number"},
      {{"--preset", "tiny", "--quant", "F32", "--seed", "1", "--layers", "0", path}, 2, "--layers: \"0\""},
      {{"--preset", "tiny", "--quant", "F32", "--seed", "1", "--mtp", "2", path}, 2, "--mtp: \"2\""},
      {{"--preset", "tiny", "--quant", "F32", "--seed", "1"}, 2, "give the one file"},
      {{"--preset", "tiny", "--quant", "F32", "--seed", "1", folder.path()}, 1, "is a folder; name a file"},
      {{"--preset", "tiny", "--quant", "F32", "--seed", "1", folder.path() + "/no/model.gguf"}, 1, "No such file"},
      {{"--preset", "tiny", "--quant", "F32", "--seed", "1", "--tokenizer", folder.path() + "/none.json", path},
       1,
       "none.json"},
  };
  for (const auto& call : calls) {
    const Outcome outcome = run(call.arguments);
    EXPECT_EQ(outcome.status, call.status) << call.says;
    EXPECT_NE(outcome.err.find(call.says), std::string::npos) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(path));
  }
}

TEST(Synthesize, LeavesNothingBehindWhenTheDiskIsFull) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("model.gguf", "old");
  EXPECT_NE(samples::error_of([&] { require_disk_space(path, INT64_MAX); }).find("MiB left; choose"),
            std::string::npos);
  // A limit on the size of files stands for a full disk: writing fails in the middle of the data.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit limit{300'000, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &limit);
  const std::string message =
      samples::error_of([&] { synthesize_model(request_for(preset("tiny"), DType::f32), path); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("is the disk full?"), std::string::npos) << message;
  EXPECT_EQ(samples::bytes_of(path).size(), 3U);
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
}

}  // namespace
}  // namespace lectern::inference

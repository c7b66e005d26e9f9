#include "inference/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "inference/tokenizer_gguf.h"
#include "inference/tokenizer_json.h"
#include "inference/utf8.h"
#include "kernels/error.h"

namespace {

using namespace lectern::inference;
using Json = nlohmann::json;
using Ids = std::vector<TokenId>;
using Path = std::filesystem::path;

const Path data_folder = LECTERN_SOURCE_DIR "/tests/data/tokenizers";
const char* const rule_names[] = {"qwen2", "qwen35", "smollm", "gpt-2", "llama-bpe"};

std::string read(const Path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Tokenizer small(const std::string& rules) {
  return Tokenizer(read_tokenizer_json(data_folder / rules).data);
}

void expect_goldens(const Tokenizer& tokenizer, const Path& path) {
  const Json goldens = Json::parse(read(path));
  ASSERT_GT(goldens.size(), 30U);
  for (const Json& golden : goldens) {
    const std::string text = golden.at("text");
    EXPECT_EQ(tokenizer.encode(text, SpecialTokens::plain_text), golden.at("plain").get<Ids>()) << golden.at("text");
    EXPECT_EQ(tokenizer.encode(text, SpecialTokens::recognised), golden.at("recognised").get<Ids>())
        << golden.at("text");
  }
}

/// A vocabulary by hand: the bytes a to c, "ab", "abc", "bc" and two added tokens.
TokenizerData by_hand() {
  TokenizerData data;
  data.pre = "gpt-2";
  data.tokens = {"a", "b", "c", "ab", "abc", "bc", "<|im_end|>", "<tool>", "[PAD]", "Ġ"};
  data.token_types = {1, 1, 1, 1, 1, 1, 3, 4, 5, 1};
  data.merges = {"b c", "a b", "ab c"};
  data.eos = 6;
  return data;
}

void expect_rejected(const TokenizerData& data, lectern::ErrorKind kind, const std::string& word) {
  try {
    const Tokenizer tokenizer(data);
    ADD_FAILURE() << "accepted: " << word;
  } catch (const lectern::Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
  }
}

}  // namespace

TEST(Tokenizer, GivesTheIdsOfTheReferenceForEachRuleSet) {
  for (const char* rules : rule_names) {
    SCOPED_TRACE(rules);
    expect_goldens(small(rules), data_folder / rules / "goldens.json");
  }
}

TEST(Tokenizer, GivesTheIdsOfTheReferenceForTheDefaultModel) {
  const char* data_home = std::getenv("XDG_DATA_HOME");
  const char* home = std::getenv("HOME");
  const Path base =
      data_home != nullptr && *data_home != '\0' ? Path(data_home) : Path(home != nullptr ? home : "") / ".local/share";
  const Path model = base / "lectern/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "skipped: the default model is not installed";
  const ModelTokenizer read_model = read_tokenizer_gguf(GgufFile(model));
  const Tokenizer tokenizer(read_model.data);
  expect_goldens(tokenizer, data_folder / "smollm2-goldens.json");
  EXPECT_EQ(tokenizer.vocabulary_size(), 49152);
  EXPECT_EQ(tokenizer.end_of_turn_ids(), (Ids{0, 2}));
  EXPECT_EQ(read_model.eos_token, "<|im_end|>");
  EXPECT_FALSE(read_model.chat_template.empty());
}

TEST(Tokenizer, GivesTheIdsOfTheReferenceForQwen) {
  const char* real_files = std::getenv("LECTERN_REAL_FILES");
  if (real_files == nullptr) GTEST_SKIP() << "LECTERN_REAL_FILES names no folder: see tests/reference/README.md";
  const Path folder = Path(real_files) / "tokenizer";
  const Path unpacked = Path(testing::TempDir()) / "lectern-qwen3-tokenizer.json";
  const std::string command =
      "gzip -dc '" + (folder / "qwen3-tokenizer.json.gz").string() + "' > '" + unpacked.string() + "'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const Tokenizer tokenizer(read_tokenizer_json(unpacked).data);
  std::filesystem::remove(unpacked);
  expect_goldens(tokenizer, data_folder / "qwen3-goldens.json");
  EXPECT_EQ(tokenizer.vocabulary_size(), 151669);
  EXPECT_EQ(tokenizer.token_id("<|im_end|>"), 151645);
  EXPECT_TRUE(tokenizer.is_end_of_turn(151643));
  EXPECT_TRUE(tokenizer.is_end_of_turn(151645));

  // The vectors of llama.cpp: texts between lines of a marker, ids a line each.
  const std::string inputs = read(folder / "vectors.inp");
  std::istringstream outputs(read(folder / "vectors-qwen2.out"));
  const std::string marker = "\n__ggml_vocab_test__\n";
  std::int64_t count = 0;
  for (std::size_t begin = 0; begin < inputs.size(); ++count) {
    const std::size_t end = inputs.find(marker, begin);
    if (end == std::string::npos) break;
    std::string line;
    ASSERT_TRUE(std::getline(outputs, line));
    std::istringstream numbers(line);
    const std::string text = inputs.substr(begin, end - begin);
    EXPECT_EQ(tokenizer.encode(text, SpecialTokens::plain_text), Ids(std::istream_iterator<TokenId>(numbers), {}))
        << text;
    begin = end + marker.size();
  }
  EXPECT_GE(count, 40);
}

TEST(Tokenizer, MergesTheBestPairFirstAndTheLeftmostAmongEquals) {
  const Tokenizer tokenizer(by_hand());
  EXPECT_EQ(tokenizer.encode("abc", SpecialTokens::plain_text), (Ids{0, 5}));
  EXPECT_EQ(tokenizer.encode("ab", SpecialTokens::plain_text), (Ids{3}));
  EXPECT_EQ(tokenizer.encode("abab", SpecialTokens::plain_text), (Ids{3, 3}));
  EXPECT_EQ(tokenizer.encode("bcbc", SpecialTokens::plain_text), (Ids{5, 5}));
}

TEST(Tokenizer, LeavesOutBytesThatTheVocabularyLacks) {
  EXPECT_EQ(Tokenizer(by_hand()).encode("axb", SpecialTokens::plain_text), (Ids{3}));
}

TEST(Tokenizer, TakesAPieceThatIsATokenWholeWhereMergesAreIgnored) {
  TokenizerData data = by_hand();
  data.ignore_merges = true;
  EXPECT_EQ(Tokenizer(data).encode("abc", SpecialTokens::plain_text), (Ids{4}));
}

TEST(Tokenizer, LongAndShortPiecesAreMergedTheSameWay) {
  const Tokenizer tokenizer = small("smollm");
  // Letters only, so that a text is one piece: up to 48 bytes one algorithm, above another. Both against the
  // definition.
  const TokenizerData data = read_tokenizer_json(data_folder / "smollm").data;
  std::mt19937 random(5);
  const std::string letters = "thenaroisl";
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> symbols;
    std::string text;
    for (int i = 0; i < 30 + round % 40; ++i) {
      text += letters[random() % letters.size()];
      symbols.emplace_back(1, text.back());
    }
    for (bool merged = true; merged;) {
      merged = false;
      for (const std::string& merge : data.merges) {
        const std::string left = merge.substr(0, merge.find(' ')), right = merge.substr(merge.find(' ') + 1);
        for (std::size_t i = 0; i + 1 < symbols.size() && !merged; ++i) {
          if (symbols[i] != left || symbols[i + 1] != right) continue;
          symbols[i] += right;
          symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
          merged = true;
        }
        if (merged) break;
      }
    }
    std::vector<std::string> pieces;
    for (const TokenId id : tokenizer.encode(text, SpecialTokens::plain_text)) pieces.emplace_back(tokenizer.piece(id));
    EXPECT_EQ(pieces, symbols) << text;
  }
}

TEST(Tokenizer, TellsAddedTokensFromPlainText) {
  const Tokenizer tokenizer = small("qwen2");
  const TokenId turn_end = tokenizer.token_id("<|im_end|>").value();
  const std::string text = "a<|im_end|>b";
  const Ids plain = tokenizer.encode(text, SpecialTokens::plain_text),
            recognised = tokenizer.encode(text, SpecialTokens::recognised);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), turn_end), 0);
  EXPECT_EQ(std::count(recognised.begin(), recognised.end(), turn_end), 1);
  EXPECT_EQ(tokenizer.decode(plain), text);
  EXPECT_EQ(tokenizer.decode(recognised), text);
  EXPECT_TRUE(tokenizer.is_control(turn_end));
  EXPECT_FALSE(tokenizer.is_control(tokenizer.token_id("<think>").value()));
  EXPECT_TRUE(tokenizer.is_end_of_turn(turn_end));
}

TEST(Tokenizer, DecodesWhatItEncodes) {
  for (const char* rules : {"smollm", "gpt-2", "llama-bpe"}) {
    const Tokenizer tokenizer = small(rules);
    for (const Json& golden : Json::parse(read(data_folder / rules / "goldens.json"))) {
      const std::string text = golden.at("text");
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, SpecialTokens::plain_text)), text);
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, SpecialTokens::recognised)), text);
    }
  }
}

TEST(Tokenizer, ReadsInvalidUtf8AsReplacementCharacters) {
  for (const char* rules : rule_names) {
    const Tokenizer tokenizer = small(rules);
    for (const std::string bytes :
         {"a\xFF"
          "b",
          "\xE4\xB8", "\xED\xA0\x80", "\xF0\x9F\x98 x", "\xC0\x80", "\x80\x80\x80", "\xF8\x88\x80\x80\x80"})
      EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes, SpecialTokens::recognised)), to_valid_utf8(bytes)) << rules;
    std::mt19937 random(7);
    for (int round = 0; round < 300; ++round) {
      std::string bytes;
      for (auto i = random() % 60; i > 0; --i) bytes += static_cast<char>(random() & 0xFF);
      const Ids ids = tokenizer.encode(bytes, SpecialTokens::plain_text);
      EXPECT_EQ(ids, tokenizer.encode(to_valid_utf8(bytes), SpecialTokens::plain_text));
    }
  }
}

TEST(Tokenizer, ALongPieceTakesNoQuadraticTime) {
  const Tokenizer tokenizer = small("qwen2");
  std::string marks;
  while (marks.size() < 1'000'000) marks += "\xCC\x81\xCC\xA3";  // two combining marks that change places
  for (const std::string& text : {std::string(1'000'000, 'a'), std::string(1'000'000, ' '),
                                  std::string(1'000'000, '\n'), std::string(1'000'000, '!'), marks}) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(tokenizer.encode(text, SpecialTokens::plain_text).empty());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  }
}

TEST(Tokenizer, IsUsedByManyThreadsAtOnce) {
  const Tokenizer tokenizer = small("qwen35");
  const std::string text = read(data_folder / "qwen35" / "goldens.json");
  const Ids expected = tokenizer.encode(text, SpecialTokens::recognised);
  std::vector<Ids> results(4);
  {
    std::vector<std::jthread> threads;
    for (Ids& result : results)
      threads.emplace_back([&] { result = tokenizer.encode(text, SpecialTokens::recognised); });
  }
  for (const Ids& result : results) EXPECT_EQ(result, expected);
}

TEST(Tokenizer, RejectsWhatItCannotRunWithOneClearLine) {
  TokenizerData data = by_hand();
  data.model = "llama";
  expect_rejected(data, lectern::ErrorKind::unsupported, "llama");
  data = by_hand();
  data.pre = "tekken";
  expect_rejected(data, lectern::ErrorKind::unsupported, "tekken");
  data = by_hand();
  data.tokens.clear();
  expect_rejected(data, lectern::ErrorKind::bad_file, "empty");
  data = by_hand();
  data.token_types.pop_back();
  expect_rejected(data, lectern::ErrorKind::bad_file, "token types");
  for (const char* merge : {"a", "a b c", " a", "", "a x"}) {
    data = by_hand();
    data.merges.emplace_back(merge);
    expect_rejected(data, lectern::ErrorKind::bad_file, "merge");
  }
  data = by_hand();
  data.eos = 10;
  expect_rejected(data, lectern::ErrorKind::bad_file, "10");
  data = by_hand();
  data.tokens = {"xyz", "uvw"};
  data.token_types.clear();
  data.merges.clear();
  data.eos.reset();
  expect_rejected(data, lectern::ErrorKind::bad_file, "single byte");
}

TEST(Tokenizer, AnswersForAnyId) {
  const Tokenizer tokenizer(by_hand());
  for (const TokenId id : {-1, 10, 1 << 30, -(1 << 30)}) {
    EXPECT_EQ(tokenizer.piece(id), "");
    EXPECT_FALSE(tokenizer.is_end_of_turn(id));
    EXPECT_FALSE(tokenizer.is_control(id));
  }
  EXPECT_EQ(tokenizer.decode(Ids{-1, 0, 99, 9, 1}), "a b");
  EXPECT_EQ(tokenizer.token_id(" "), 9);
  EXPECT_EQ(tokenizer.token_id("[PAD]"), std::nullopt);
  EXPECT_EQ(tokenizer.encode("[PAD]<tool>", SpecialTokens::recognised), (Ids{7}));
}

TEST(TokenizerJson, RefusesOtherKindsAndBrokenFiles) {
  const Path folder = Path(testing::TempDir()) / "lectern-tokenizer-json-test";
  std::filesystem::create_directories(folder);
  const Path path = folder / "tokenizer.json";
  const Json good = Json::parse(read(data_folder / "qwen2" / "tokenizer.json"));
  const auto kind_of = [&](const std::string& text) -> std::optional<lectern::ErrorKind> {
    std::ofstream(path, std::ios::binary) << text;
    try {
      const Tokenizer tokenizer(read_tokenizer_json(folder).data);
      return std::nullopt;
    } catch (const lectern::Error& error) {
      return error.kind();
    }
  };
  using Kind = lectern::ErrorKind;
  EXPECT_EQ(kind_of(good.dump()), std::nullopt);
  for (const char* text : {"", "{", "[]", "null", "3"}) EXPECT_EQ(kind_of(text), Kind::bad_file) << text;
  EXPECT_EQ(kind_of("{}"), Kind::unsupported);
  const auto changed = [&](const char* pointer, const Json& value) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    return kind_of(json.dump());
  };
  EXPECT_EQ(changed("/model/type", "Unigram"), Kind::unsupported);
  EXPECT_EQ(changed("/model/byte_fallback", true), Kind::unsupported);
  EXPECT_EQ(changed("/normalizer/type", "NFKC"), Kind::unsupported);
  EXPECT_EQ(changed("/pre_tokenizer/pretokenizers/0/pattern/Regex", "x+"), Kind::unsupported);
  EXPECT_EQ(changed("/added_tokens/0/lstrip", true), Kind::unsupported);
  EXPECT_EQ(changed("/added_tokens/0/id", -1), Kind::bad_file);
  EXPECT_EQ(changed("/added_tokens/0/id", 99999999999), Kind::bad_file);
  EXPECT_EQ(changed("/model/vocab/a", "x"), Kind::bad_file);
  EXPECT_EQ(changed("/model/merges/0", Json::array({"a"})), Kind::bad_file);
  EXPECT_EQ(changed("/model/vocab", Json::object()), Kind::bad_file);
  std::filesystem::remove_all(folder);
  EXPECT_THROW(read_tokenizer_json(folder / "none"), lectern::Error);
}

TEST(TokenizerJson, ReadsTheFilesBesideIt) {
  const Path folder = Path(testing::TempDir()) / "lectern-tokenizer-folder-test";
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(data_folder / "qwen2" / "tokenizer.json", folder / "tokenizer.json",
                             std::filesystem::copy_options::overwrite_existing);
  std::ofstream(folder / "tokenizer_config.json")
      << R"({"eos_token": {"content": "<|im_end|>"}, "bos_token": null, "add_bos_token": true, "chat_template": "old"})";
  std::ofstream(folder / "generation_config.json") << R"({"eos_token_id": [300, 301]})";
  std::ofstream(folder / "chat_template.jinja") << "new";
  const ModelTokenizer result = read_tokenizer_json(folder);
  std::filesystem::remove_all(folder);
  EXPECT_EQ(result.eos_token, "<|im_end|>");
  EXPECT_EQ(result.chat_template, "new");
  EXPECT_FALSE(result.data.add_bos);  // there is none
  const Tokenizer tokenizer(result.data);
  EXPECT_TRUE(tokenizer.is_end_of_turn(300));
  EXPECT_TRUE(tokenizer.is_end_of_turn(tokenizer.token_id("<|im_end|>").value()));
}

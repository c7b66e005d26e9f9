#include "inference/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "inference/unicode_classes.h"
#include "inference/unicode_nfc.h"
#include "kernels/error.h"

namespace {

using namespace lectern::inference;
using Pieces = std::vector<std::string>;

Pieces pieces(PreTokenizer rules, const std::string& text) {
  Pieces result;
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(text.size());) {
    const std::int64_t end = piece_end(rules, text, at);
    result.push_back(text.substr(static_cast<std::size_t>(at), static_cast<std::size_t>(end - at)));
    at = end;
  }
  return result;
}

}  // namespace

TEST(PreTokenizer, SplitsNumbersAsEachRuleSetDoes) {
  const std::string text = "ab 12345 x";
  EXPECT_EQ(pieces(PreTokenizer::qwen2, text), (Pieces{"ab", " ", "1", "2", "3", "4", "5", " x"}));
  EXPECT_EQ(pieces(PreTokenizer::llama_bpe, text), (Pieces{"ab", " ", "123", "45", " x"}));
  EXPECT_EQ(pieces(PreTokenizer::gpt_2, text), (Pieces{"ab", " 12345", " x"}));
  EXPECT_EQ(pieces(PreTokenizer::smollm, text), (Pieces{"ab", " ", "1", "2", "3", "4", "5", " x"}));
}

TEST(PreTokenizer, LeavesTheLastSpaceOfARunToTheNextWord) {
  for (const PreTokenizer rules : {PreTokenizer::qwen2, PreTokenizer::gpt_2, PreTokenizer::smollm,
                                   PreTokenizer::llama_bpe, PreTokenizer::qwen35}) {
    EXPECT_EQ(pieces(rules, "a    b"), (Pieces{"a", "   ", " b"}));
    EXPECT_EQ(pieces(rules, "a   "), (Pieces{"a", "   "}));
  }
  EXPECT_EQ(pieces(PreTokenizer::smollm, "a   1"), (Pieces{"a", "   ", "1"}));
  EXPECT_EQ(pieces(PreTokenizer::gpt_2, "a   1"), (Pieces{"a", "  ", " 1"}));
  EXPECT_EQ(pieces(PreTokenizer::qwen2, "a   1"), (Pieces{"a", "  ", " ", "1"}));
}

TEST(PreTokenizer, TreatsLineBreaksAsEachRuleSetDoes) {
  EXPECT_EQ(pieces(PreTokenizer::qwen2, "a;\n\n  \n  b"), (Pieces{"a", ";\n\n", "  \n", " ", " b"}));
  EXPECT_EQ(pieces(PreTokenizer::gpt_2, "a;\n\n  \n  b"), (Pieces{"a", ";", "\n\n  \n ", " b"}));
}

TEST(PreTokenizer, KnowsContractionsInTheCaseOfEachRuleSet) {
  EXPECT_EQ(pieces(PreTokenizer::gpt_2, "it's IT'S"), (Pieces{"it", "'s", " IT", "'", "S"}));
  EXPECT_EQ(pieces(PreTokenizer::qwen2, "it's IT'S we'Ll 'x"),
            (Pieces{"it", "'s", " IT", "'S", " we", "'Ll", " '", "x"}));
  EXPECT_EQ(pieces(PreTokenizer::qwen2, "a'\u017f"), (Pieces{"a", "'\u017f"}));
}

TEST(PreTokenizer, TakesMarksAsLettersInQwen35Alone) {
  const std::string text = "e\u0301a \u0301";
  EXPECT_EQ(pieces(PreTokenizer::qwen35, text), (Pieces{"e\u0301a", " \u0301"}));
  EXPECT_EQ(pieces(PreTokenizer::qwen2, text), (Pieces{"e", "\u0301a", " \u0301"}));
}

TEST(PreTokenizer, NamesTheRuleSetsItHas) {
  EXPECT_EQ(pre_tokenizer_named("qwen2"), PreTokenizer::qwen2);
  EXPECT_EQ(pre_tokenizer_named("llama-bpe"), PreTokenizer::llama_bpe);
  try {
    pre_tokenizer_named("tekken");
    FAIL();
  } catch (const lectern::Error& error) {
    EXPECT_EQ(error.kind(), lectern::ErrorKind::unsupported);
    EXPECT_NE(std::string(error.what()).find("tekken"), std::string::npos);
  }
}

TEST(UnicodeClasses, KnowLettersMarksNumbersAndSpaces) {
  EXPECT_EQ(character_class(U'a'), CharacterClass::letter);
  EXPECT_EQ(character_class(0x4E2D), CharacterClass::letter);
  EXPECT_EQ(character_class(0x0301), CharacterClass::mark);
  EXPECT_EQ(character_class(0x0663), CharacterClass::number);
  EXPECT_EQ(character_class(0x00BD), CharacterClass::number);
  EXPECT_EQ(character_class(0x3000), CharacterClass::space);
  EXPECT_EQ(character_class(0x200B), CharacterClass::other);
  EXPECT_EQ(character_class(0x1F600), CharacterClass::other);
  EXPECT_EQ(character_class(0x10FFFF), CharacterClass::other);
  EXPECT_EQ(character_class(0x1C89), CharacterClass::letter);  // new in Unicode 16
}

TEST(UnicodeNfc, ComposesAndOrdersMarks) {
  EXPECT_EQ(to_nfc("plain ASCII"), std::nullopt);
  EXPECT_EQ(to_nfc("e\u0301").value(), "\u00e9");
  EXPECT_EQ(to_nfc("s\u0307\u0323").value(), "\u1e69");
  EXPECT_EQ(to_nfc("\u1112\u1161\u11ab").value(), "\ud55c");
  EXPECT_EQ(to_nfc("\u212b").value(), "\u00c5");
  EXPECT_EQ(to_nfc("\u0344").value(), "\u0308\u0301");
}

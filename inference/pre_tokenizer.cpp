// The regular expressions of the five rule sets, matched by hand: every alternative needs one character of look-ahead
// at most, so a piece is found in one pass over it and its neighbour, where a regex engine would backtrack.
//
//   qwen2      (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|
//   ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ qwen35     the same with [\p{L}\p{M}]+ for \p{L}+ and
//   [^\s\p{L}\p{M}\p{N}]+ for [^\s\p{L}\p{N}]+ llama-bpe  the same as qwen2 with \p{N}{1,3} for \p{N} gpt-2
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ smollm     each \p{N} by itself; gpt-2
//   on the text between them, whose end counts as an end of text
#include "inference/pre_tokenizer.h"

#include <string>

#include "inference/unicode_classes.h"
#include "inference/utf8.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

using Class = CharacterClass;

/// Reads the characters of a text one by one.
struct Cursor {
  std::string_view text;
  std::int64_t at;
  char32_t value = 0;
  int size = 0;
  Class kind = Class::other;

  Cursor(std::string_view whole, std::int64_t begin) : text(whole), at(begin) { read(); }
  bool at_end() const { return size == 0; }
  bool is_line_break() const { return size != 0 && (value == '\r' || value == '\n'); }
  void advance() {
    at += size;
    read();
  }

 private:
  void read() {
    if (at >= static_cast<std::int64_t>(text.size())) {
      size = 0;
      value = 0;
      kind = Class::other;
      return;
    }
    const auto byte = static_cast<unsigned char>(text[static_cast<std::size_t>(at)]);
    if (byte < 0x80) {
      value = byte;
      size = 1;
    } else {
      const CodePoint point = code_point_at(text, at);
      value = point.value;
      size = point.size;
    }
    kind = character_class(value);
  }
};

enum class Case { as_is, folded };

/// The size of 's 't 're 've 'm 'll 'd at the cursor, which stands on an apostrophe; 0 for none.
std::int64_t contraction(Cursor cursor, Case letter_case) {
  const std::int64_t begin = cursor.at;
  const auto next_letter = [&]() -> char32_t {
    cursor.advance();
    if (cursor.at_end()) return 0;
    if (letter_case == Case::as_is) return cursor.value;
    if (cursor.value == 0x17F) return 's';  // the long s folds to s
    return cursor.value >= 'A' && cursor.value <= 'Z' ? cursor.value + ('a' - 'A') : cursor.value;
  };
  const char32_t first = next_letter();
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return cursor.at + cursor.size - begin;
  if (first != 'r' && first != 'v' && first != 'l') return 0;
  const char32_t second = next_letter();
  if (second == (first == 'l' ? U'l' : U'e')) return cursor.at + cursor.size - begin;
  return 0;
}

/// White space that no earlier alternative took: \s+(?!\S)|\s+. The run's last character is left to what follows it,
/// if something does.
std::int64_t white_space_end(Cursor cursor, bool number_ends_text) {
  const std::int64_t begin = cursor.at;
  std::int64_t last = begin;
  while (!cursor.at_end() && cursor.kind == Class::space) {
    last = cursor.at;
    cursor.advance();
  }
  if (cursor.at_end() || (number_ends_text && cursor.kind == Class::number)) return cursor.at;
  return last > begin ? last : cursor.at;
}

std::int64_t gpt_2_end(std::string_view text, std::int64_t begin, bool single_numbers) {
  Cursor cursor(text, begin);
  if (single_numbers && cursor.kind == Class::number) return begin + cursor.size;
  if (cursor.value == '\'')
    if (const std::int64_t size = contraction(cursor, Case::as_is); size > 0) return begin + size;

  Cursor run = cursor;
  if (run.value == ' ') run.advance();
  if (!run.at_end() && run.kind != Class::space && !(single_numbers && run.kind == Class::number)) {
    // Marks count as other characters here.
    const auto kind_of = [](const Cursor& c) { return c.kind == Class::mark ? Class::other : c.kind; };
    const Class kind = kind_of(run);
    while (!run.at_end() && kind_of(run) == kind) run.advance();
    return run.at;
  }
  return white_space_end(cursor, single_numbers);
}

std::int64_t qwen_end(std::string_view text, std::int64_t begin, bool marks_are_letters, int longest_number) {
  const auto is_letter = [&](const Cursor& c) {
    return !c.at_end() && (c.kind == Class::letter || (marks_are_letters && c.kind == Class::mark));
  };
  Cursor cursor(text, begin);
  if (cursor.value == '\'')
    if (const std::int64_t size = contraction(cursor, Case::folded); size > 0) return begin + size;

  // Letters, with one character before them that is no line break, letter or number.
  Cursor run = cursor;
  if (!cursor.is_line_break() && cursor.kind != Class::letter && cursor.kind != Class::number) run.advance();
  if (!is_letter(run) && is_letter(cursor)) run = cursor;  // a mark that nothing follows is a letter itself
  if (is_letter(run)) {
    while (is_letter(run)) run.advance();
    return run.at;
  }

  if (cursor.kind == Class::number) {
    for (int digits = 0; digits < longest_number && !cursor.at_end() && cursor.kind == Class::number; ++digits)
      cursor.advance();
    return cursor.at;
  }

  // Anything else, with one space before and all line breaks after.
  const auto is_other = [&](const Cursor& c) {
    return !c.at_end() && (c.kind == Class::other || (!marks_are_letters && c.kind == Class::mark));
  };
  run = cursor;
  if (run.value == ' ') run.advance();
  if (is_other(run)) {
    while (is_other(run)) run.advance();
    while (run.is_line_break()) run.advance();
    return run.at;
  }

  // White space: up to its last line break, if it has one.
  std::int64_t after_line_break = 0;
  run = cursor;
  while (!run.at_end() && run.kind == Class::space) {
    const bool is_break = run.is_line_break();
    run.advance();
    if (is_break) after_line_break = run.at;
  }
  if (after_line_break > 0) return after_line_break;
  return white_space_end(cursor, false);
}

}  // namespace

PreTokenizer pre_tokenizer_named(std::string_view name) {
  if (name == "qwen2" || name == "deepseek-r1-qwen") return PreTokenizer::qwen2;
  if (name == "qwen35") return PreTokenizer::qwen35;
  if (name == "smollm") return PreTokenizer::smollm;
  if (name == "gpt-2" || name == "gpt2") return PreTokenizer::gpt_2;
  if (name == "llama-bpe" || name == "llama3" || name == "llama-v3") return PreTokenizer::llama_bpe;
  throw Error(ErrorKind::unsupported,
              "tokenizer: the pre-tokenizer \"" + std::string(name.substr(0, 64)) +
                  "\" is not supported; choose a model with qwen2, qwen35, smollm, gpt-2 or llama-bpe");
}

bool normalises(PreTokenizer rules) {
  return rules == PreTokenizer::qwen2 || rules == PreTokenizer::qwen35;
}

bool ignores_merges(PreTokenizer rules) {
  return rules == PreTokenizer::llama_bpe;
}

std::int64_t piece_end(PreTokenizer rules, std::string_view text, std::int64_t begin) {
  switch (rules) {
    case PreTokenizer::qwen2: return qwen_end(text, begin, false, 1);
    case PreTokenizer::qwen35: return qwen_end(text, begin, true, 1);
    case PreTokenizer::llama_bpe: return qwen_end(text, begin, false, 3);
    case PreTokenizer::gpt_2: return gpt_2_end(text, begin, false);
    case PreTokenizer::smollm: return gpt_2_end(text, begin, true);
  }
  return static_cast<std::int64_t>(text.size());
}

}  // namespace lectern::inference

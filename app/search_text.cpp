// FTS5's `unicode61` splits at everything that is not a letter or a digit, and takes a Chinese clause for one word.
// With spaces between CJK characters each is a word, and a phrase query finds neighbours. A question's CJK run is asked
// as its pairs of neighbours, joined by OR: a phrase of the whole run would only find the question itself; single
// characters are too common. Particles cut a run, since pairs with them say nothing.
#include "app/search_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

namespace lectern::app {
namespace {

bool is_cjk(std::int32_t c) {
  return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x31F0 && c <= 0x31FF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0xFF66 && c <= 0xFF9D) || (c >= 0x20000 && c <= 0x323AF) || c == 0x3005 || c == 0x3007;
}

bool is_word(std::int32_t c) {
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
  }
}

struct Character {
  std::int32_t code = 0;  // -1: invalid UTF-8
  std::string_view bytes;
};

/// Takes the next character off `text`; an invalid byte counts as one character.
Character next(std::string_view& text) {
  utf8proc_int32_t code = -1;
  const auto* data = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  utf8proc_ssize_t length = utf8proc_iterate(data, static_cast<utf8proc_ssize_t>(text.size()), &code);
  if (length <= 0) {
    code = -1;
    length = 1;
  }
  const Character character{code, text.substr(0, static_cast<std::size_t>(length))};
  text.remove_prefix(static_cast<std::size_t>(length));
  return character;
}

struct Term {
  std::string text;              // lower case
  std::vector<std::string> cjk;  // the characters of a CJK run instead
};

std::vector<Term> terms_of(std::string_view text) {
  std::vector<Term> terms;
  bool in_word = false, in_run = false;
  while (!text.empty()) {
    const Character c = next(text);
    if (c.code >= 0 && is_cjk(c.code)) {
      if (!in_run) terms.emplace_back();
      terms.back().cjk.emplace_back(c.bytes);
      in_run = true;
      in_word = false;
    } else if (c.code >= 0 && is_word(c.code)) {
      if (!in_word) terms.emplace_back();
      std::array<utf8proc_uint8_t, 4> lower{};
      const utf8proc_ssize_t length = utf8proc_encode_char(utf8proc_tolower(c.code), lower.data());
      terms.back().text.append(reinterpret_cast<const char*>(lower.data()), static_cast<std::size_t>(length));
      in_word = true;
      in_run = false;
    } else {
      in_word = in_run = false;
    }
  }
  return terms;
}

bool is_stop_word(std::string_view word) {
  static constexpr std::array words = std::to_array<std::string_view>(
      {"a",    "about",  "all",  "also", "am",    "an",    "and",    "any",   "are",   "as",    "at",
       "be",   "been",   "but",  "by",   "can",   "could", "did",    "do",    "does",  "for",   "from",
       "had",  "has",    "have", "he",   "her",   "his",   "how",    "i",     "if",    "in",    "into",
       "is",   "it",     "its",  "me",   "my",    "no",    "not",    "of",    "on",    "or",    "our",
       "out",  "please", "s",    "say",  "says",  "she",   "should", "so",    "some",  "such",  "t",
       "tell", "than",   "that", "the",  "their", "them",  "then",   "there", "these", "they",  "this",
       "to",   "under",  "us",   "was",  "we",    "were",  "what",   "when",  "where", "which", "who",
       "whom", "whose",  "why",  "will", "with",  "would", "you",    "your"});
  static_assert(std::is_sorted(words.begin(), words.end()));
  return std::binary_search(words.begin(), words.end(), word);
}

bool is_particle(const std::string& character) {
  static constexpr std::array particles =
      std::to_array<std::string_view>({"的", "了", "吗", "呢", "吧", "么", "の", "は", "を", "が", "に", "で", "か"});
  return std::find(particles.begin(), particles.end(), character) != particles.end();
}

std::string quoted(std::string_view text) {
  return '"' + std::string(text) + '"';
}

/// Pairs of neighbours in the run between two particles; a character that stands alone counts by itself.
std::vector<std::string> pairs_of(const std::vector<std::string>& run, bool keep_particles) {
  std::vector<std::string> phrases;
  std::size_t begin = 0;
  while (begin < run.size()) {
    if (!keep_particles && is_particle(run[begin])) {
      ++begin;
      continue;
    }
    std::size_t end = begin;
    while (end < run.size() && (keep_particles || !is_particle(run[end]))) ++end;
    if (end - begin == 1) phrases.push_back(quoted(run[begin]));
    for (std::size_t i = begin; i + 1 < end; ++i) phrases.push_back(quoted(run[i] + " " + run[i + 1]));
    begin = end;
  }
  return phrases;
}

std::string joined(std::vector<std::string> parts, std::string_view between) {
  std::string text;
  std::vector<std::string> seen;
  for (std::string& part : parts) {
    if (std::find(seen.begin(), seen.end(), part) != seen.end()) continue;
    if (!text.empty()) text += between;
    text += part;
    seen.push_back(std::move(part));
    if (seen.size() == 200) break;  // a page pasted as a question: enough words are enough
  }
  return text;
}

}  // namespace

std::string index_text(std::string_view text) {
  std::string spaced;
  spaced.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const Character c = next(text);
    const bool cjk = c.code >= 0 && is_cjk(c.code);
    if (cjk && !spaced.empty() && spaced.back() != ' ') spaced += ' ';
    if (c.code > 0)
      spaced += c.bytes;
    else
      spaced += ' ';
    if (cjk) spaced += ' ';
  }
  return spaced;
}

std::string any_word_query(std::string_view question) {
  const std::vector<Term> terms = terms_of(question);
  for (const bool keep_all : {false, true}) {
    std::vector<std::string> parts;
    for (const Term& term : terms) {
      if (!term.cjk.empty()) {
        for (std::string& phrase : pairs_of(term.cjk, keep_all)) parts.push_back(std::move(phrase));
      } else if (keep_all || !is_stop_word(term.text)) {
        parts.push_back(quoted(term.text));
      }
    }
    if (!parts.empty()) return joined(std::move(parts), " OR ");
  }
  return {};
}

std::string all_words_query(std::string_view text) {
  std::vector<std::string> parts;
  const std::vector<Term> terms = terms_of(text);
  for (const Term& term : terms) {
    if (term.cjk.empty()) {
      parts.push_back(quoted(term.text) + (&term == &terms.back() ? " *" : ""));
      continue;
    }
    std::string phrase;
    for (const std::string& character : term.cjk) phrase += (phrase.empty() ? "" : " ") + character;
    parts.push_back(quoted(phrase));
  }
  return joined(std::move(parts), " AND ");
}

}  // namespace lectern::app

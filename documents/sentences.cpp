// One pass with rules, no model: a terminator ends a sentence unless what stands around it says otherwise. The list of
// abbreviations is short on purpose; those that often do end a sentence ("Inc.") end one when a usual first word
// follows.
#include "documents/sentences.h"

#include <algorithm>
#include <array>
#include <string>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

constexpr std::size_t longest_sentence = 2000;

constexpr std::array<std::string_view, 40> never_last = {
    "mr",  "mrs", "ms",  "dr",  "prof", "st",  "vs",  "v",   "e.g",  "i.e",    "cf",  "al",  "approx", "dept",
    "jan", "feb", "mar", "apr", "jun",  "jul", "aug", "sep", "sept", "oct",    "nov", "dec", "viz",    "resp",
    "ca",  "gen", "gov", "hon", "rev",  "sen", "rep", "lt",  "sgt",  "messrs", "bzw", "vgl"};
constexpr std::array<std::string_view, 34> before_numbers = {
    "no",    "nos", "fig",  "figs", "eq",   "eqs",  "sec", "secs", "sect", "art", "arts", "para",
    "paras", "p",   "pp",   "vol",  "vols", "ed",   "eds", "ch",   "chap", "exh", "app",  "cl",
    "cls",   "reg", "regs", "nr",   "abs",  "ziff", "tab", "sch",  "pt",   "op"};
constexpr std::array<std::string_view, 16> seldom_last = {"inc", "ltd", "co",  "corp", "llc", "plc", "bros", "etc",
                                                          "u.s", "u.k", "a.m", "p.m",  "n.v", "b.v", "s.a",  "jr"};
constexpr std::array<std::string_view, 34> first_words = {
    "the", "this", "that", "these", "those",   "it",   "in",      "if",    "a",   "an", "each", "all",
    "any", "no",   "such", "he",    "she",     "we",   "they",    "as",    "at",  "on", "upon", "by",
    "for", "to",   "when", "where", "however", "both", "neither", "there", "but", "and"};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

char32_t lower(char32_t c) {
  return c >= 'A' && c <= 'Z' ? c + 32 : c;
}
bool is_digit(char32_t c) {
  return c >= '0' && c <= '9';
}
bool is_upper(char32_t c) {
  return (c >= 'A' && c <= 'Z') || (c >= 0xC0 && c <= 0xDE) || (c >= 0x391 && c <= 0x3A9) || (c >= 0x410 && c <= 0x42F);
}
bool is_lower(char32_t c) {
  return is_word_character(c) && !is_upper(c) && !is_digit(c) && !is_cjk(c);
}
bool is_cjk_terminator(char32_t c) {
  return c == U'。' || c == U'！' || c == U'？' || c == U'｡' || c == U'；';
}
bool is_terminator(char32_t c) {
  return c == '.' || c == '!' || c == '?' || c == U'…' || is_cjk_terminator(c);
}
bool is_closer(char32_t c) {
  static constexpr std::u32string_view closers = U"\"')]}”’»」』）】*_";
  return closers.find(c) != std::u32string_view::npos;
}

class Splitter {
 public:
  explicit Splitter(std::string_view text) : c_(decode_utf8(text)) {}

  std::vector<Sentence> run() {
    std::size_t i = 0;
    begin_line(0);
    while (i < c_.size()) {
      if (c_[i] == '\n' || c_[i] == '\f') {
        if (c_[i] == '\f' || line_is_blank(i + 1) || starts_item(i + 1) || heading_) finish(i);
        ++i;
        begin_line(i);
        continue;
      }
      if (is_terminator(c_[i])) {
        const std::size_t end = after_terminator(i);
        if (ends_sentence(i, end)) {
          finish(end);
          i = end;
          continue;
        }
        i = std::max(i + 1, end);
        continue;
      }
      ++i;
      if (i - start_ > longest_sentence && is_space(c_[i - 1])) finish(i);
    }
    finish(c_.size());
    return std::move(out_);
  }

 private:
  bool line_is_blank(std::size_t i) const {
    while (i < c_.size() && c_[i] != '\n' && is_space(c_[i])) ++i;
    return i >= c_.size() || c_[i] == '\n';
  }

  std::size_t skip_blanks(std::size_t i) const {
    while (i < c_.size() && (c_[i] == ' ' || c_[i] == '\t')) ++i;
    return i;
  }

  void begin_line(std::size_t i) { heading_ = c_at(skip_blanks(i)) == '#'; }

  /// Bullets, "1.", "1.2", "(a)", "a)", headings, table rows.
  bool starts_item(std::size_t i) const {
    i = skip_blanks(i);
    const char32_t first = c_at(i);
    static constexpr std::u32string_view bullets = U"-*+–•▪◦‣●";
    if (bullets.find(first) != std::u32string_view::npos) return c_at(i + 1) == ' ';
    if (first == '#' || first == '|' || first == '>') return true;
    std::size_t k = i;
    if (first == '(') ++k;
    const std::size_t label = k;
    while (k - label < 4 &&
           (is_digit(c_at(k)) || lower(c_at(k)) == 'i' || lower(c_at(k)) == 'v' || lower(c_at(k)) == 'x'))
      ++k;
    if (k == label && is_word_character(c_at(k))) ++k;
    if (k == label) return false;
    if (first == '(') return c_at(k) == ')' && c_at(k + 1) == ' ';
    if (c_at(k) == ')') return c_at(k + 1) == ' ';
    if (!is_digit(first)) return false;
    bool dotted = false;
    while (c_at(k) == '.') {
      dotted = true;
      ++k;
      while (is_digit(c_at(k))) ++k;
    }
    return dotted && is_space(c_at(k)) && is_upper(c_at(skip_blanks(k)));
  }

  /// Past repeated terminators, closing marks and a marker such as " [1:3]".
  std::size_t after_terminator(std::size_t i) const {
    while (i < c_.size() && (is_terminator(c_[i]) || is_closer(c_[i]))) ++i;
    for (;;) {
      std::size_t k = skip_blanks(i);
      if (c_at(k) != '[' || !is_digit(c_at(k + 1))) return i;
      std::size_t end = k + 1;
      while (end < c_.size() && end - k < 24 &&
             (is_digit(c_[end]) || c_[end] == ':' || c_[end] == '-' || c_[end] == ',' || c_[end] == ' '))
        ++end;
      if (c_at(end) != ']') return i;
      i = end + 1;
    }
  }

  bool ends_sentence(std::size_t dot, std::size_t end) const {
    if (is_cjk_terminator(c_[dot])) return true;
    if (end >= c_.size()) return true;
    if (!is_space(c_[end]) && !is_cjk(c_[end])) return false;
    std::size_t next = end;
    while (next < c_.size() && is_space(c_[next])) ++next;
    while (next < c_.size() && (is_closer(c_[next]) || c_[next] == '(' || c_[next] == '[' || c_[next] == U'“')) ++next;
    if (next >= c_.size()) return true;
    if (is_lower(c_[next])) return false;
    if (c_[dot] != '.') return true;
    // The word before the period, inner periods included.
    std::size_t begin = dot;
    while (begin > start_ && !is_space(c_[begin - 1]) && dot - begin < 12) --begin;
    std::string word;
    for (std::size_t k = begin; k < dot; ++k) {
      if (c_[k] < 0x80 && (is_word_character(c_[k]) || c_[k] == '.')) word += static_cast<char>(lower(c_[k]));
      if (c_[k] >= 0x80) word += '\x7F';
    }
    if (word.empty()) return true;
    if (contains(never_last, word)) return false;
    if (contains(before_numbers, word))
      return !is_digit(c_[next]) && !(is_upper(c_[next]) && !is_word_character(c_at(next + 1)));
    const bool number =
        std::all_of(word.begin(), word.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
    if (number && only_blanks_before(begin)) return false;                 // "3." opens an item
    if (word.size() == 1 && !number && is_upper(c_[begin])) return false;  // an initial
    if (contains(seldom_last, word)) {
      std::string following;
      for (std::size_t k = next; k < c_.size() && is_word_character(c_[k]) && k - next < 12; ++k) {
        following += static_cast<char>(c_[k] < 0x80 ? lower(c_[k]) : '\x7F');
      }
      return is_upper(c_[next]) && contains(first_words, following);
    }
    return true;
  }

  bool only_blanks_before(std::size_t i) const {
    while (i > start_ && (c_[i - 1] == ' ' || c_[i - 1] == '\t')) --i;
    return i == start_ || c_[i - 1] == '\n' || is_space(c_[start_]);
  }

  char32_t c_at(std::size_t i) const { return i < c_.size() ? c_[i] : 0; }

  void finish(std::size_t end) {
    std::size_t first = start_, last = end;
    while (first < last && is_space(c_[first])) ++first;
    while (last > first && is_space(c_[last - 1])) --last;
    if (last > first) out_.push_back({static_cast<std::int64_t>(first), static_cast<std::int64_t>(last)});
    start_ = end;
    heading_ = false;
  }

  std::vector<char32_t> c_;
  std::vector<Sentence> out_;
  std::size_t start_ = 0;
  bool heading_ = false;
};

}  // namespace

std::vector<Sentence> split_sentences(std::string_view text) {
  return Splitter(text).run();
}

}  // namespace lectern::documents

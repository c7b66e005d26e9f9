// One pass over the code points makes raw words, a second pass gives them meaning: number words become digits,
// "thirty-five (35)" one number, a number learns its unit, and negators mark the few words that they reach. Words are
// compared by a light stem: a list of endings is cut while four letters remain, then a small table joins words of one
// meaning as contracts use them. A full Porter stemmer was left aside: it joins "provider" with "provide", which a
// contract must keep apart.
#include "app/claim_terms.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <unordered_map>
#include <unordered_set>

namespace lectern::app {
namespace {

struct Raw {
  std::string folded;  // case folded, compatibility forms replaced
  std::int64_t start = 0, end = 0;
  bool capital = false;
  bool sentence_start = false;
  bool digits = false;
  bool cjk = false;
  bool boundary_before = false;  // a comma, a colon or a stop stands between this word and the one before
  bool hyphen_before = false;
};

bool is_cjk(utf8proc_int32_t c) {
  return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xAC00 && c <= 0xD7AF) || (c >= 0x20000 && c <= 0x323AF);
}

bool is_letter(utf8proc_int32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  const utf8proc_category_t category = utf8proc_category(c);
  return category <= UTF8PROC_CATEGORY_MC && category != UTF8PROC_CATEGORY_CN;
}

bool is_digit(utf8proc_int32_t c) {
  return c >= 0x80 ? utf8proc_category(c) == UTF8PROC_CATEGORY_ND : c >= '0' && c <= '9';
}

bool is_capital(utf8proc_int32_t c) {
  return c < 0x80 ? c >= 'A' && c <= 'Z' : utf8proc_category(c) == UTF8PROC_CATEGORY_LU;
}

std::string fold(std::string_view word) {
  bool ascii = true;
  std::string folded(word);
  for (char& c : folded) {
    if (static_cast<unsigned char>(c) >= 0x80) {
      ascii = false;
    } else if (c >= 'A' && c <= 'Z') {
      c = static_cast<char>(c - 'A' + 'a');
    }
  }
  if (ascii) return folded;
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(word.data()), static_cast<utf8proc_ssize_t>(word.size()), &mapped,
      static_cast<utf8proc_option_t>(UTF8PROC_COMPAT | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE));
  if (size < 0) return folded;
  std::string result(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size));
  std::free(mapped);
  return result;
}

struct Character {
  utf8proc_int32_t code = 0;
  std::size_t offset = 0;
};

std::vector<Character> characters_of(std::string_view text) {
  std::vector<Character> characters;
  characters.reserve(text.size());
  std::size_t at = 0;
  while (at < text.size()) {
    utf8proc_int32_t code = 0;
    utf8proc_ssize_t length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                               static_cast<utf8proc_ssize_t>(text.size() - at), &code);
    if (length <= 0) {  // a stray byte counts as one character that is no letter
      length = 1;
      code = 0xFFFD;
    }
    characters.push_back({code, at});
    at += static_cast<std::size_t>(length);
  }
  characters.push_back({0, text.size()});
  return characters;
}

std::vector<Raw> raw_words(std::string_view text) {
  const std::vector<Character> characters = characters_of(text);
  const std::size_t count = characters.size() - 1;
  std::vector<Raw> words;
  bool boundary = true, sentence_start = true;
  std::size_t at = 0;
  const auto code = [&](std::size_t index) { return index < count ? characters[index].code : 0; };
  const auto word_end = [&](std::size_t from) {
    std::size_t end = from;
    while (end < count && !is_cjk(code(end)) &&
           (is_letter(code(end)) || is_digit(code(end)) ||
            ((code(end) == '\'' || code(end) == 0x2019 || code(end) == 0xAD) && is_letter(code(end + 1))))) {
      ++end;
    }
    return end;
  };
  // After a hyphen at a line's end: where the word goes on; else `from`.
  const auto over_line_break = [&](std::size_t from) {
    if (code(from) != '-' && code(from) != 0x2010 && code(from) != 0xAD) return from;
    std::size_t next = from + 1;
    bool line_break = false;
    while (code(next) == ' ' || code(next) == '\n' || code(next) == '\r')
      line_break = code(next++) == '\n' || line_break;
    return line_break && is_letter(code(next)) && !is_capital(code(next)) && !is_cjk(code(next)) ? next : from;
  };
  while (at < count) {
    const utf8proc_int32_t c = code(at);
    const std::size_t begin = at;
    std::size_t end = at;
    std::string joined;  // what came before a hyphen at a line's end
    Raw word;
    if (is_cjk(c)) {
      word.cjk = true;
      end = at + 1;
    } else if (is_digit(c)) {
      word.digits = true;
      while (end < count &&
             (is_digit(code(end)) || ((code(end) == '.' || code(end) == ',') && is_digit(code(end + 1)))))
        ++end;
    } else if (is_letter(c)) {
      for (end = word_end(at); end < count;) {
        const std::size_t next = over_line_break(end);  // "Eng-\nlish" is one word
        if (next == end) break;
        joined += text.substr(characters[at].offset, characters[end].offset - characters[at].offset);
        at = next;
        end = word_end(next);
      }
    } else {
      if (c == '%' || c == '$' || c == 0x20AC || c == 0xA3 || c == 0xFF05) {
        words.push_back({c == '$'      ? "dollar"
                         : c == 0x20AC ? "euro"
                         : c == 0xA3   ? "pound"
                                       : "percent",
                         static_cast<std::int64_t>(at), static_cast<std::int64_t>(at) + 1, false, false, false, false,
                         false});
        ++at;
        continue;
      }
      const bool full_stop = c == '.' || c == '!' || c == '?' || c == '\n' || c == ':' || c == 0x3002 || c == '"' ||
                             c == 0x201C || c == '*' || c == '#' || c == 0x2022;
      boundary = boundary || full_stop || c == ',' || c == ';' || c == 0xFF0C || c == 0x3001;
      sentence_start = sentence_start || full_stop;
      ++at;
      continue;
    }
    word.start = static_cast<std::int64_t>(begin);
    word.end = static_cast<std::int64_t>(end);
    word.capital = is_capital(c);
    word.sentence_start = sentence_start;
    word.boundary_before = boundary;
    word.hyphen_before = begin > 0 && code(begin - 1) == '-';
    joined += text.substr(characters[at].offset, characters[end].offset - characters[at].offset);
    word.folded = fold(joined);
    boundary = sentence_start = false;
    if (!word.folded.empty()) words.push_back(std::move(word));
    at = end;
  }
  return words;
}

const std::unordered_set<std::string>& stop_words() {
  static const std::unordered_set<std::string> words = {
      "a",         "an",        "the",      "of",        "to",       "in",     "on",        "at",        "by",
      "for",       "from",      "with",     "as",        "and",      "or",     "is",        "are",       "was",
      "were",      "be",        "been",     "being",     "am",       "it",     "its",       "this",      "that",
      "these",     "those",     "there",    "here",      "which",    "who",    "whom",      "whose",     "what",
      "when",      "where",     "how",      "why",       "do",       "does",   "did",       "done",      "has",
      "have",      "had",       "having",   "will",      "would",    "shall",  "should",    "can",       "could",
      "may",       "might",     "must",     "he",        "she",      "they",   "them",      "their",     "his",
      "her",       "we",        "our",      "us",        "you",      "your",   "i",         "me",        "my",
      "so",        "than",      "then",     "thus",      "also",     "such",   "into",      "upon",      "under",
      "if",        "any",       "each",     "other",     "per",      "via",    "about",     "out",       "up",
      "own",       "same",      "very",     "just",      "both",     "while",  "herein",    "hereof",    "hereto",
      "thereof",   "therein",   "hereby",   "hereunder", "stated",   "states", "according", "mentioned", "specified",
      "described", "following", "provided", "follows",   "document", "text",   "passage",   "s",         "one",
      "not",       "no",        "nor",      "never",     "within",   "let",    "get",       "go",        "yes",
      "however",   "therefore", "whether",  "either",    "some",     "all",    "every",     "because",   "since",
      "but",       "only",      "much",     "many",      "long",     "t",      "re",        "ve",        "ll"};
  return words;
}

const std::unordered_set<std::string>& negators() {
  static const std::unordered_set<std::string> words = {
      "not",     "no",       "never",      "neither",  "nor",       "without",   "cannot", "none",
      "non",     "nothing",  "prohibited", "prohibit", "prohibits", "forbidden", "forbid", "forbids",
      "refrain", "refrains", "isn't",      "aren't",   "doesn't",   "don't",     "didn't", "won't",
      "can't",   "mustn't",  "shouldn't",  "wasn't",   "weren't",   "excluding", "except"};
  return words;
}

/// One name for words of one meaning, by their stems.
const std::unordered_map<std::string, std::string>& meanings() {
  static const std::unordered_map<std::string, std::string> table = [] {
    const std::vector<std::vector<std::string>> groups = {
        {"notify", "inform", "tell", "notification", "report"},
        {"contract", "agreement"},
        {"limit", "limitation", "cap", "capped"},
        {"liable", "liability"},
        {"end", "terminate", "termination", "cancel", "cancellation"},
        {"expire", "expiration", "expiry"},
        {"begin", "start", "commence", "commencement"},
        {"pay", "paid", "payment", "payable"},
        {"buy", "purchase"},
        {"sell", "sold", "sale"},
        {"require", "requirement", "need"},
        {"keep", "kept", "retain", "maintain", "store", "stored"},
        {"continue", "survive", "remain", "last"},
        {"year", "annual", "annually", "yearly"},
        {"month", "monthly"},
        {"week", "weekly"},
        {"give", "given", "gives", "gave"},
        {"permit", "allow"},
        {"obligation", "duty", "duties", "obligate", "oblige"},
        {"country", "jurisdiction"},
        {"law", "laws"},
        {"sue", "litigation", "lawsuit"},
        {"assign", "assignment", "transfer"},
        {"seat", "place", "venue"},
        {"use", "used", "using"},
        {"hold", "held"},
        {"try", "tries", "tried", "attempt"},
        {"make", "made"},
        {"send", "sent"},
        {"write", "wrote", "written"},
        {"know", "knew", "known"},
        {"lose", "lost"},
        {"bear", "bore", "borne"},
        {"cost", "price", "charge", "fee"},
        {"email", "mail"},
    };
    std::unordered_map<std::string, std::string> result;
    for (const auto& group : groups) {
      for (const std::string& word : group) result.emplace(word, group.front());
    }
    return result;
  }();
  return table;
}

std::string cut_endings(std::string word) {
  if (word.size() > 2 && word.ends_with("'s")) word.resize(word.size() - 2);
  static constexpr std::array<std::string_view, 29> endings = {
      "ations", "ation", "ating", "ated", "ates",  "ate",  "itions", "ition", "ities", "ity",
      "ments",  "ment",  "ances", "ance", "ences", "ence", "ings",   "ing",   "ions",  "ion",
      "ably",   "able",  "ed",    "ies",  "es",    "ly",   "s",      "e",     "y"};
  if (word.size() < 4) return word;
  for (const std::string_view ending : endings) {
    if (!word.ends_with(ending) || word.size() - ending.size() < 4 - (ending == "s" ? 1U : 0U)) continue;
    if (ending == "s" && word.ends_with("ss")) continue;
    word.resize(word.size() - ending.size());
    break;
  }
  if (word.size() > 4 && word[word.size() - 1] == word[word.size() - 2] && word.back() != 's' && word.back() != 'l')
    word.pop_back();
  return word;
}

/// Stems of the meanings' words, so that "notifies" finds "notify".
const std::unordered_map<std::string, std::string>& stem_meanings() {
  static const std::unordered_map<std::string, std::string> table = [] {
    std::unordered_map<std::string, std::string> result;
    for (const auto& [word, meaning] : meanings()) result.emplace(cut_endings(word), cut_endings(meaning));
    return result;
  }();
  return table;
}

std::string stem(const std::string& word) {
  if (const auto found = meanings().find(word); found != meanings().end()) return cut_endings(found->second);
  std::string cut = cut_endings(word);
  if (const auto found = stem_meanings().find(cut); found != stem_meanings().end()) return found->second;
  return cut;
}

const std::unordered_map<std::string, std::string>& units() {
  static const std::unordered_map<std::string, std::string> table = {
      {"second", "second"}, {"seconds", "second"}, {"minute", "minute"},   {"minutes", "minute"},
      {"hour", "hour"},     {"hours", "hour"},     {"day", "day"},         {"days", "day"},
      {"week", "week"},     {"weeks", "week"},     {"month", "month"},     {"months", "month"},
      {"year", "year"},     {"years", "year"},     {"percent", "percent"}, {"percentage", "percent"},
      {"dollar", "dollar"}, {"dollars", "dollar"}, {"usd", "dollar"},      {"euro", "euro"},
      {"euros", "euro"},    {"eur", "euro"},       {"pound", "pound"},     {"pounds", "pound"},
      {"gbp", "pound"}};
  return table;
}

/// The same by the stems that terms carry.
const std::unordered_map<std::string, std::string>& unit_stems() {
  static const std::unordered_map<std::string, std::string> table = [] {
    std::unordered_map<std::string, std::string> result;
    for (const auto& [word, unit] : units()) {
      result.emplace(word, unit);
      result.emplace(stem(word), unit);
    }
    return result;
  }();
  return table;
}

int small_number(const std::string& word) {
  static const std::unordered_map<std::string, int> table = {
      {"zero", 0},      {"one", 1},       {"two", 2},       {"three", 3},    {"four", 4},     {"five", 5},
      {"six", 6},       {"seven", 7},     {"eight", 8},     {"nine", 9},     {"ten", 10},     {"eleven", 11},
      {"twelve", 12},   {"thirteen", 13}, {"fourteen", 14}, {"fifteen", 15}, {"sixteen", 16}, {"seventeen", 17},
      {"eighteen", 18}, {"nineteen", 19}, {"twenty", 20},   {"thirty", 30},  {"forty", 40},   {"fifty", 50},
      {"sixty", 60},    {"seventy", 70},  {"eighty", 80},   {"ninety", 90}};
  const auto found = table.find(word);
  return found == table.end() ? -1 : found->second;
}

std::int64_t magnitude(const std::string& word) {
  if (word == "hundred") return 100;
  if (word == "thousand") return 1000;
  if (word == "million") return 1'000'000;
  if (word == "billion") return 1'000'000'000;
  return 0;
}

/// "1,000.50" → "1000.5"; full-width digits are folded already.
std::string plain_number(const std::string& digits) {
  std::string plain;
  const bool several_commas = std::count(digits.begin(), digits.end(), ',') > 0;
  for (std::size_t at = 0; at < digits.size(); ++at) {
    if (digits[at] == ',') {
      const bool thousands =
          at + 3 < digits.size() && (at + 4 == digits.size() || digits[at + 4] == ',' || digits[at + 4] == '.');
      if (!thousands && several_commas) plain += '.';
      continue;
    }
    plain += digits[at];
  }
  if (std::count(plain.begin(), plain.end(), '.') == 1) {
    while (plain.back() == '0') plain.pop_back();
    if (plain.back() == '.') plain.pop_back();
  }
  const std::size_t zeros = plain.find_first_not_of('0');
  if (zeros != std::string::npos && zeros > 0 && plain[zeros] != '.') plain.erase(0, zeros);
  return plain;
}

/// Reads number words from words[at]; returns how many it took (0: no number begins here).
std::size_t spelled_number(const std::vector<Raw>& words, std::size_t at, std::int64_t& value) {
  std::int64_t total = 0, group = 0;
  std::size_t taken = 0, pending = 0;
  bool any = false, after_small = false;
  for (std::size_t i = at; i < words.size(); ++i) {
    if (i > at && words[i].boundary_before) break;
    const std::string& word = words[i].folded;
    const int small = small_number(word);
    if (small >= 0) {
      if (after_small && !(group % 100 >= 20 && group % 10 == 0 && small < 10 && small > 0)) break;
      group += small;
      any = after_small = true;
    } else if (any && magnitude(word) > 0) {
      if (magnitude(word) == 100) {
        group *= 100;
      } else {
        total += group * magnitude(word);
        group = 0;
      }
      after_small = false;
    } else if (any && word == "and" && !after_small) {
      ++pending;
      continue;
    } else {
      break;
    }
    taken = i - at + 1;
    pending = 0;
  }
  value = total + group;
  return any ? taken : 0;
}

bool idiom_without_negation(const std::vector<Raw>& words, std::size_t at) {
  const auto word = [&](std::size_t offset) -> std::string {
    return at + offset < words.size() ? words[at + offset].folded : "";
  };
  const std::string& here = words[at].folded;
  if (here == "not" || here == "no") {
    const std::string next = word(1);
    if (next == "later" || next == "less" || next == "more" || next == "only" || next == "exceed" || next == "fewer" ||
        next == "earlier" || next == "sooner" || (next == "to" && word(2) == "exceed")) {
      return true;
    }
    if (next == "limited" && at > 0 && (words[at - 1].folded == "but" || words[at - 1].folded == "including"))
      return true;
    if (at >= 2 && words[at - 1].folded == "or" && words[at - 2].folded == "whether") return true;
    if (here == "no" && (word(1).empty() || words[at + 1].boundary_before)) return true;  // "No, the Client may ..."
  }
  if (here == "without") {
    const std::string next = word(1);
    return next == "limitation" || next == "limiting" || next == "regard" || next == "prejudice" || next == "giving" ||
           next == "reference" || next == "undue";
  }
  return false;
}

/// "must", and "obliged" before "to".
Term::Mode mode_of(const std::vector<Raw>& words, std::size_t at) {
  static const std::unordered_map<std::string, Term::Mode> plain = {
      {"must", Term::Mode::must}, {"shall", Term::Mode::must}, {"should", Term::Mode::should},
      {"may", Term::Mode::may},   {"can", Term::Mode::may},    {"cannot", Term::Mode::may}};
  static const std::unordered_map<std::string, Term::Mode> before_to = {
      {"has", Term::Mode::must},     {"have", Term::Mode::must},      {"required", Term::Mode::must},
      {"obliged", Term::Mode::must}, {"obligated", Term::Mode::must}, {"needs", Term::Mode::must},
      {"need", Term::Mode::must},    {"allowed", Term::Mode::may},    {"permitted", Term::Mode::may},
      {"entitled", Term::Mode::may}, {"free", Term::Mode::may},       {"able", Term::Mode::may}};
  if (const auto found = plain.find(words[at].folded); found != plain.end()) return found->second;
  if (at + 1 < words.size() && words[at + 1].folded == "to" && !words[at + 1].boundary_before) {
    if (const auto found = before_to.find(words[at].folded); found != before_to.end()) return found->second;
  }
  return Term::Mode::none;
}

bool cjk_negator(const std::string& character) {
  return character == "不" || character == "无" || character == "無" || character == "未" || character == "没" ||
         character == "沒" || character == "非" || character == "勿" || character == "禁";
}

}  // namespace

std::vector<Term> terms_of(std::string_view text) {
  const std::vector<Raw> words = raw_words(text);
  std::vector<Term> terms;
  terms.reserve(words.size());
  int reach = 0;  // words that the last negator still reaches
  bool by = false, deny = false;
  Term::Mode mode = Term::Mode::none;  // of the next word that says something
  for (std::size_t at = 0; at < words.size(); ++at) {
    const Raw& word = words[at];
    if (word.boundary_before) reach = std::min(reach, 1);
    Term term;
    term.start = word.start;
    term.end = word.end;
    term.capital = word.capital;
    term.sentence_start = word.sentence_start;
    if (word.cjk) {
      const bool joined = at + 1 < words.size() && words[at + 1].cjk && words[at + 1].start == word.end;
      const bool ends_run = !joined && at > 0 && words[at - 1].cjk && words[at - 1].end == word.start;
      if (cjk_negator(word.folded)) reach = 6;
      if (ends_run) continue;
      term.kind = Term::Kind::cjk;
      term.text = word.folded + (joined ? words[at + 1].folded : std::string());
      if (joined) term.end = words[at + 1].end;
      term.negated = reach > 0;
      reach = std::max(0, reach - 1);
      terms.push_back(std::move(term));
      continue;
    }
    std::int64_t value = 0;
    std::size_t taken = 0;
    if (word.digits) {
      term.kind = Term::Kind::number;
      term.text = plain_number(word.folded);
      taken = 1;
    } else if ((taken = spelled_number(words, at, value)) > 0) {
      const std::string after = at + taken < words.size() ? words[at + taken].folded : std::string();
      const bool lone_one = taken == 1 && value == 1;
      if (lone_one && !units().contains(after) && after != "1") {
        taken = 0;
      } else {
        term.kind = Term::Kind::number;
        term.text = std::to_string(value);
        term.end = words[at + taken - 1].end;
      }
    }
    if (taken > 0) {
      term.negated = false;
      at += taken - 1;
      // "thirty-five (35)": the same number again.
      if (!terms.empty() && terms.back().kind == Term::Kind::number && terms.back().text == term.text &&
          term.start - terms.back().end <= 3) {
        terms.back().end = term.end;
        continue;
      }
      terms.push_back(std::move(term));
      continue;
    }
    if (word.folded == "cent" && !terms.empty() && at > 0 && words[at - 1].folded == "per") {
      terms.back().text = "percent";
      terms.back().stop = false;
      terms.back().end = word.end;
      continue;
    }
    const bool other_than = word.folded == "than" && at > 0 && words[at - 1].folded == "other";
    if (other_than || (negators().contains(word.folded) && !idiom_without_negation(words, at))) {
      reach = other_than ? 7 : word.folded == "non" ? 1 : word.folded == "without" ? 2 : 5;
      deny = true;
    }
    const bool is_stop = stop_words().contains(word.folded);
    const Term::Mode modal = mode_of(words, at);
    term.stop = is_stop || negators().contains(word.folded) || modal != Term::Mode::none;
    term.text = term.stop ? word.folded : stem(word.folded);
    term.negated = !term.stop && reach > 0;
    term.denied = term.negated && deny;
    const bool hyphen = at + 1 < words.size() && words[at + 1].hyphen_before;
    deny = deny && (term.stop || hyphen) && reach > 0;  // "not world-writable" denies both
    if (modal != Term::Mode::none) {
      mode = modal;
    } else if (!term.stop) {
      term.mode = word.boundary_before ? Term::Mode::none : mode;
      mode = Term::Mode::none;
    }
    term.passive_by = by;
    by = word.folded == "by" || (by && is_stop);
    if (reach > 0 && !other_than && !negators().contains(word.folded)) --reach;
    terms.push_back(std::move(term));
  }
  // A unit stands right after its number, at most one word between ("180 calendar days"), or right before it ("$ 500").
  for (std::size_t at = 0; at < terms.size(); ++at) {
    if (terms[at].kind != Term::Kind::number) continue;
    const auto unit_at = [&](std::size_t index) -> std::string {
      if (index >= terms.size() || terms[index].kind != Term::Kind::word) return {};
      const auto found = unit_stems().find(terms[index].text);
      return found == unit_stems().end() ? std::string() : found->second;
    };
    if (at > 0) {
      const std::string before = unit_at(at - 1);
      if (before == "dollar" || before == "euro" || before == "pound") terms[at].unit = before;
    }
    for (std::size_t ahead = 1; ahead <= 2 && terms[at].unit.empty(); ++ahead) {
      if (at + ahead < terms.size() && terms[at + ahead].kind == Term::Kind::number) break;
      terms[at].unit = unit_at(at + ahead);
    }
  }
  return terms;
}

}  // namespace lectern::app

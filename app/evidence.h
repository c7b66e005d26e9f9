// The text that an answer may rest on, cut into sentences and indexed by its terms.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "app/claim_terms.h"

namespace lectern::app {

/// A stretch of one page.
struct EvidencePassage {
  int document = 0;        // the caller's number for the document
  int page = 0;            // from 1
  std::int64_t start = 0;  // where the text begins in the page's text, in code points
  std::string text;
};

/// A verbatim quote and where it stands.
struct EvidencePlace {
  int document = 0;
  int page = 0;
  std::int64_t start = 0, end = 0;  // code points in the page's text
  std::string quote;
  double score = 0;
};

/// Longest quote that the program cites by itself, in code points.
inline constexpr std::int64_t longest_program_quote = 300;

/// Immutable once made.
class Evidence {
 public:
  explicit Evidence(std::vector<EvidencePassage> passages);

  struct Token {
    std::int32_t id = 0;              // of its stem
    std::int32_t unit = -1;           // id of the unit's name, of a number
    std::int64_t start = 0, end = 0;  // code points in the passage
    Term::Kind kind = Term::Kind::word;
    Term::Mode mode = Term::Mode::none;
    bool stop = false, negated = false, denied = false, capital = false, passive_by = false;
  };
  /// A sentence, with a heading that stands before it.
  struct Unit {
    std::size_t passage = 0;
    std::size_t token_begin = 0, token_end = 0;
    std::int64_t start = 0, end = 0;  // code points in the passage
    std::size_t heading_end = 0;      // tokens before this one are its heading; token_begin: none
  };

  const std::vector<Unit>& units() const { return units_; }
  const std::vector<Token>& tokens() const { return tokens_; }
  const std::vector<EvidencePassage>& passages() const { return passages_; }
  /// -1: the stem stands nowhere.
  std::int32_t id(const std::string& stem) const;
  const std::string& word(std::int32_t id) const { return words_[static_cast<std::size_t>(id)]; }
  /// log(1 + (units - with + 0.5) / (with + 0.5)); the largest value for an unknown stem.
  double idf(std::int32_t id) const;
  double largest_idf() const;
  /// Units that hold the stem, ascending.
  const std::vector<std::int32_t>& postings(std::int32_t id) const;
  /// The unit's text, or of a long one the stretch of at most longest_program_quote that holds most weight of `wanted`.
  EvidencePlace place(std::size_t unit, const std::unordered_map<std::int32_t, double>& wanted) const;

 private:
  void find_running_heads();
  void add_units(std::size_t passage);
  std::int32_t intern(const std::string& stem);

  std::vector<EvidencePassage> passages_;
  std::unordered_set<std::string> running_heads_;
  std::vector<Token> tokens_;
  std::vector<Unit> units_;
  std::vector<std::string> words_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::vector<std::vector<std::int32_t>> postings_;
};

}  // namespace lectern::app

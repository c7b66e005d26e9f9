// One sentence of an answer held against one sentence of the text: all that must agree for the one to prove the other.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "app/evidence.h"

namespace lectern::app {

/// A term of the answer's sentence that says something (no stop word).
struct ClaimTerm {
  Term term;
  std::int32_t id = -1;  // in the evidence; -1: the text has it nowhere
  double weight = 0;     // 0: said before in the same sentence
  bool name = false;     // must stand in the text
  bool in_question = false;
  bool reference = false;     // the number of a section or page
  std::size_t to_number = 0;  // terms between it and the nearest number of the claim
  int clause = 0;             // how many "and" and "between" stand before it
};

/// The answer's sentence, weighed with the evidence.
struct ClaimSentence {
  ClaimSentence(const Evidence& evidence, std::string_view sentence, std::string_view question);

  std::vector<ClaimTerm> terms;
  std::vector<std::int32_t> question;     // ids of the question's terms, each once; -1: the text has it nowhere
  double all_weight = 0, new_weight = 0;  // of all terms; of those that the question did not bring
  std::size_t distinct = 0;               // different terms
  bool cjk = false;
  bool bare = false;                           // so short that the question gives it its subject: "35 days."
  std::unordered_set<std::string> stop_words;  // those it says: "only", "every"
};

class ClaimComparison {
 public:
  /// `unit`: index of the text's sentence in evidence.units(). Keeps references to both arguments.
  ClaimComparison(const Evidence& evidence, const ClaimSentence& claim, std::size_t unit);

  /// Everything below holds: the sentence of the text proves the claim.
  bool agrees() const;
  /// Share of the claim's weight that stands in the sentence, from 0 to 1.
  double weight_share() const;
  /// Share of the question's weight that stands in the sentence, the one before or the one after.
  double question_share() const;
  /// Share of the question's weight that stands in the sentence itself.
  double asked_share() const;
  /// The sentence has measures in a unit of the claim's ("days"), and none of the claim's numbers.
  bool measures_otherwise() const;

 private:
  bool weight_agrees() const;
  bool words_agree() const;
  bool numbers_agree() const;
  bool numbers_belong() const;
  bool names_agree() const;
  bool negations_agree() const;
  bool modes_agree() const;
  bool scope_agrees() const;
  bool no_opposites() const;
  bool order_agrees() const;
  bool pairs_agree() const;
  bool definitions_agree() const;

  bool holds(std::int32_t id) const { return id >= 0 && find(id, begin_, end_) < end_; }
  bool stands_near(std::int32_t id) const { return id >= 0 && find(id, wide_begin_, wide_end_) < wide_end_; }
  bool refers_back() const;
  bool holds_any(std::span<const std::string_view> stop_words) const;
  bool holds_unit(const std::string& unit) const;
  double share(const ClaimTerm& term) const;
  double question_share(std::size_t from, std::size_t to) const;
  std::size_t find(std::int32_t id, std::size_t from, std::size_t to) const;
  std::vector<std::size_t> definitions() const;

  const Evidence& evidence_;
  const ClaimSentence& claim_;
  std::size_t unit_ = 0, begin_ = 0, end_ = 0;  // tokens of the sentence
  std::size_t wide_begin_ = 0, wide_end_ = 0;   // with the sentences before and after
};

}  // namespace lectern::app

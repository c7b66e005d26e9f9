// The sentence is reduced to terms (claim_terms.h). Sentences of the text that share its rare terms are candidates; the
// first that proves it (claim_comparison.h) is the proof, unless the place that the question asks about gives another
// measure.
#include "app/support.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "app/claim_comparison.h"

namespace lectern::app {
namespace {

constexpr std::size_t candidates_tried = 12;
constexpr std::size_t longest_lead_in = 10;  // terms
constexpr double weight_of_question = 0.5;   // of its share in the order of candidates for a bare answer
constexpr std::size_t fewest_asked = 2;      // terms of a question that is about one place

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(), [&](std::string_view b) { return text.starts_with(b); });
}

bool contains_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view p) { return text.find(p) != std::string_view::npos; });
}

std::string lower_ascii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

/// What is left to be checked of a sentence about the conversation or about what the document lacks: "I'm sorry, but
/// the fee is 5 euros" claims something after its politeness. The whole sentence if it is no such sentence.
std::string_view claiming_part(std::string_view sentence) {
  const std::string lower = lower_ascii(sentence);
  const std::size_t last = lower.find_last_not_of(" \n\t*_\"')]");
  if (last == std::string::npos) return {};
  const std::string_view trimmed = std::string_view(lower).substr(0, last + 1);
  const auto after = [&](std::size_t from, std::initializer_list<std::string_view> breaks) {
    std::size_t best = std::string_view::npos;
    for (const std::string_view mark : breaks) {
      const std::size_t at = trimmed.find(mark, from);
      if (at != std::string_view::npos) best = std::min(best, at + mark.size());
    }
    return best == std::string_view::npos ? std::string_view() : sentence.substr(best);
  };
  if (trimmed.ends_with('?') || trimmed.ends_with("？")) {
    const bool asks_for_assent = contains_any(trimmed, {", right?", ", correct?", "isn't it?", "is it not?"});
    return asks_for_assent ? sentence.substr(0, trimmed.rfind(',')) : std::string_view();
  }
  if (starts_with_any(trimmed,
                      {"i hope", "let me know", "feel free", "if you have any", "i'm sorry", "i am sorry", "thank you",
                       "as an ai", "you're welcome", "i'd be happy", "i would be happy", "i can help"})) {
    return after(0, {", but ", ": ", "; "});
  }
  for (const std::string_view lack :
       {"does not say", "does not mention", "does not state", "does not specify", "does not contain", "do not say",
        "do not mention", "do not state", "not mentioned", "not stated in the", "not specified in the",
        "could not find", "cannot find", "can't find", "no information", "没有提到", "未提及", "没有说明"}) {
    const std::size_t at = trimmed.find(lack);
    if (at == std::string_view::npos) continue;
    return after(at, {"; ", ", so ", ", but ", ", and it ", "；", "，但", "，所以"});
  }
  return sentence;
}

/// Whether the question asks for something that it does not hold itself ("which law"), unlike one for yes or no. What
/// only gives back its words does not answer it, and nothing in the text can support it.
bool asks_for_a_thing(std::string_view question) {
  const std::string lower = " " + lower_ascii(question);
  return contains_any(lower, {" which ", " what ", " who ", " whom ", " whose ", " when ", " where ", " how ", " why ",
                              " what's ", "什么", "哪", "谁", "多少", "几", "何时", "如何", "怎"});
}

const std::unordered_set<std::string>& small_talk() {
  static const std::unordered_set<std::string> words = [] {
    std::unordered_set<std::string> result;
    for (const Term& term :
         terms_of("hello hi hey sure thanks thank certainly okay ok welcome sorry course answer question great "
                  "absolutely summary conclusion below note information help based")) {
      result.insert(term.text);
    }
    return result;
  }();
  return words;
}

bool is_lead_in(std::string_view sentence, const ClaimSentence& claim) {
  const std::size_t last = sentence.find_last_not_of(" \n\t*_");
  if (last == std::string_view::npos || (sentence[last] != ':' && !sentence.ends_with("："))) return false;
  return claim.terms.size() <= longest_lead_in &&
         std::none_of(claim.terms.begin(), claim.terms.end(), [](const ClaimTerm& term) {
           return term.term.kind == Term::Kind::number || (term.name && !term.in_question);
         });
}

/// Sentences that share most weight with the claim, best first, of equals the earlier.
std::vector<std::size_t> candidates_of(const Evidence& evidence, const ClaimSentence& claim) {
  std::unordered_map<std::int32_t, double> shared;
  for (const ClaimTerm& term : claim.terms) {
    if (term.weight <= 0) continue;
    for (const std::int32_t unit : evidence.postings(term.id)) shared[unit] += term.weight;
  }
  std::vector<std::pair<double, std::int32_t>> order;
  order.reserve(shared.size());
  for (const auto& [unit, weight] : shared) {
    double score = weight;
    if (claim.bare) {
      const ClaimComparison comparison(evidence, claim, static_cast<std::size_t>(unit));
      score += weight_of_question * claim.all_weight * comparison.question_share();
    }
    order.emplace_back(score, -unit);
  }
  const std::size_t tried = std::min(order.size(), candidates_tried);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(tried), order.end(), std::greater<>());
  std::vector<std::size_t> candidates;
  for (std::size_t at = 0; at < tried; ++at) candidates.push_back(static_cast<std::size_t>(-order[at].second));
  return candidates;
}

/// Another sentence meets the question better than `unit` and measures otherwise: of "How long is the initial term?"
/// "one year" is no answer, although the text speaks of one year somewhere.
bool measured_elsewhere(const Evidence& evidence, const ClaimSentence& claim, std::size_t unit) {
  if (claim.question.size() < fewest_asked) return false;
  const double share = ClaimComparison(evidence, claim, unit).asked_share();
  std::unordered_set<std::int32_t> seen;
  for (const std::int32_t id : claim.question) {
    for (const std::int32_t other : evidence.postings(id)) {
      if (!seen.insert(other).second) continue;
      const ClaimComparison comparison(evidence, claim, static_cast<std::size_t>(other));
      if (comparison.measures_otherwise() && comparison.asked_share() > share) return true;
    }
  }
  return false;
}

}  // namespace

Judgement SupportCheck::judge(std::string_view sentence, std::string_view question, Preferred preferred) const {
  Judgement judgement;
  const std::string_view claiming = claiming_part(sentence);
  if (claiming.empty()) return judgement;
  if (claiming.size() != sentence.size()) return judge(claiming, question, preferred);

  if (const std::size_t split = sentence.find("; "); split != std::string_view::npos) {
    // Each part must be proved; the place is the first one's.
    Judgement first = judge(sentence.substr(0, split), question, preferred);
    if (first.verdict == Verdict::unsupported) return first;
    Judgement rest = judge(sentence.substr(split + 2), question, preferred);
    return first.verdict == Verdict::no_claim || rest.verdict == Verdict::unsupported ? rest : first;
  }

  const ClaimSentence claim(evidence_, sentence, question);
  const bool all_small_talk = std::all_of(claim.terms.begin(), claim.terms.end(),
                                          [](const ClaimTerm& term) { return small_talk().contains(term.term.text); });
  if (all_small_talk || is_lead_in(sentence, claim)) return judgement;

  judgement.verdict = Verdict::unsupported;
  const bool echo =
      std::all_of(claim.terms.begin(), claim.terms.end(), [](const ClaimTerm& term) { return term.in_question; });
  if (echo && asks_for_a_thing(question)) return judgement;

  for (const std::size_t unit : candidates_of(evidence_, claim)) {
    const ClaimComparison comparison(evidence_, claim, unit);
    if (!comparison.agrees() || measured_elsewhere(evidence_, claim, unit)) continue;
    const EvidencePassage& passage = evidence_.passages()[evidence_.units()[unit].passage];
    const bool is_preferred = passage.document == preferred.document && passage.page == preferred.page;
    if (judgement.verdict != Verdict::supported || is_preferred) {
      judgement.verdict = Verdict::supported;
      std::unordered_map<std::int32_t, double> wanted;
      for (const ClaimTerm& term : claim.terms) {
        if (term.id >= 0) wanted.emplace(term.id, term.weight);
      }
      judgement.place = evidence_.place(unit, wanted);
      judgement.place.score = comparison.weight_share();
    }
    if (is_preferred || preferred.page == 0) break;
  }
  return judgement;
}

}  // namespace lectern::app

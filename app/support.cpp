// The sentence is reduced to terms (claim_terms.h). Sentences of the text that share its rare terms are candidates;
// each must pass all of these, the first that does is the proof:
//   weight     the shared terms carry most of the IDF weight of the sentence, and of what it adds to the question
//   numbers    each number stands in the candidate, with the same unit ("60 days" is not proved by "60 hours"), and
//   near the words
//              that the sentence says it of
//   names      each capitalised word stands there ("Federal Trade Commission" is not proved by "laws of the State of
//   Delaware") negation   no shared term is negated on one side only opposites  "before" is not proved by "after",
//   "minimum" not by "maximum" order      "the Client notifies the Provider" is not proved by "the Provider notifies
//   the Client"
// Tried and dropped: counting negators per sentence (contract sentences hold several that do not matter) in favour of
// their reach.
#include "app/support.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_set>

#include "documents/utf8.h"

namespace lectern::app {
namespace {

constexpr double enough_weight = 0.66;       // of the sentence's terms
constexpr double enough_weight_short = 0.7;  // of a sentence of at most four terms
constexpr double enough_weight_cjk = 0.7;    // bigrams of a changed name overlap the words around it
constexpr double enough_new_weight = 0.55;   // of the terms that the question did not bring
constexpr double enough_of_question = 0.4;   // of the question's terms, for a bare answer
constexpr double most_foreign_weight =
    0.4;  // of the words that stand nearer to a measure which the sentence does not mention
constexpr std::size_t bare_answer_terms = 3;
constexpr std::size_t candidates_tried = 12;
constexpr double neighbour_share = 0.5;  // a term that stands only in the next sentence counts half

struct Claim {
  Term term;
  std::int32_t id = -1;
  double weight = 0;
  bool name = false;  // must stand in the text
  bool in_question = false;
  bool reference = false;  // the number of a section or page
};

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

/// Capitalised words that name the document itself, not something in it.
const std::unordered_set<std::string>& generic_names() {
  static const std::unordered_set<std::string> words = [] {
    std::unordered_set<std::string> result;
    for (const Term& term :
         terms_of("agreement document section article clause party page paragraph exhibit schedule note answer "
                  "question source appendix chapter file")) {
      result.insert(term.text);
    }
    return result;
  }();
  return words;
}

bool is_reference_word(const std::string& stem) {
  static const std::unordered_set<std::string> words = [] {
    std::unordered_set<std::string> result;
    for (const Term& term :
         terms_of("section article clause page paragraph exhibit schedule chapter appendix line lines pages")) {
      result.insert(term.text);
    }
    return result;
  }();
  return words.contains(stem);
}

const std::vector<std::pair<std::string, std::string>>& opposites() {
  static const std::vector<std::pair<std::string, std::string>> pairs = [] {
    constexpr std::array<std::pair<const char*, const char*>, 18> words = {{{"before", "after"},
                                                                            {"minimum", "maximum"},
                                                                            {"least", "most"},
                                                                            {"more", "less"},
                                                                            {"above", "below"},
                                                                            {"increase", "decrease"},
                                                                            {"increase", "reduce"},
                                                                            {"exclusive", "nonexclusive"},
                                                                            {"accept", "reject"},
                                                                            {"include", "exclude"},
                                                                            {"permitted", "prohibited"},
                                                                            {"allowed", "prohibited"},
                                                                            {"oral", "written"},
                                                                            {"plaintiff", "defendant"},
                                                                            {"buyer", "seller"},
                                                                            {"licensor", "licensee"},
                                                                            {"lessor", "lessee"},
                                                                            {"employer", "employee"}}};
    std::vector<std::pair<std::string, std::string>> result;
    for (const auto& [one, other] : words) result.emplace_back(terms_of(one)[0].text, terms_of(other)[0].text);
    return result;
  }();
  return pairs;
}

/// Same word in another form: one stem begins the other and little follows ("austria", "austrian").
bool related(const std::string& one, const std::string& other) {
  const std::string& shorter = one.size() <= other.size() ? one : other;
  const std::string& longer = one.size() <= other.size() ? other : one;
  return shorter.size() >= 5 && longer.size() - shorter.size() <= 3 && longer.starts_with(shorter);
}

bool is_list_number(std::string_view sentence, const Term& term) {
  if (term.kind != Term::Kind::number || !term.sentence_start) return false;
  const std::string_view after = documents::slice(sentence, term.end, term.end + 2);
  const std::string before(documents::slice(sentence, 0, term.start));
  if (before.find_first_not_of(" \n\t*#(-") != std::string::npos) return false;
  return after.starts_with(". ") || after.starts_with(") ") || after == "." || after == ")" ||
         after.starts_with(".*") || after.starts_with(":");
}

class Comparison {
 public:
  Comparison(const Evidence& evidence, std::size_t unit) : evidence_(evidence), unit_(unit) {
    const Evidence::Unit& here = evidence.units()[unit];
    begin_ = here.token_begin;
    end_ = wide_end_ = here.token_end;
    if (unit + 1 < evidence.units().size() && evidence.units()[unit + 1].passage == here.passage) {
      wide_end_ = evidence.units()[unit + 1].token_end;
    }
  }

  bool holds(std::int32_t id) const { return id >= 0 && find(id, begin_, end_) < end_; }

  /// 1: the term stands in the sentence, a part: only in the next one, 0: nowhere.
  double share(const Claim& claim) const {
    if (holds(claim.id)) return 1;
    if (claim.id >= 0 && find(claim.id, end_, wide_end_) < wide_end_) return neighbour_share;
    if (claim.term.kind == Term::Kind::word) {
      for (std::size_t at = begin_; at < end_; ++at) {
        if (evidence_.tokens()[at].kind == Term::Kind::word &&
            related(evidence_.word(evidence_.tokens()[at].id), claim.term.text)) {
          return 1;
        }
      }
    }
    return 0;
  }

  bool numbers_agree(const std::vector<Claim>& claims) const {
    for (const Claim& claim : claims) {
      if (claim.term.kind != Term::Kind::number || claim.reference) continue;
      bool found = false;
      for (std::size_t at = begin_; at < end_ && !found; ++at) {
        const Evidence::Token& token = evidence_.tokens()[at];
        if (token.id != claim.id || token.kind != Term::Kind::number) continue;
        found = claim.term.unit.empty() || token.unit < 0 || evidence_.word(token.unit) == claim.term.unit;
        if (found && !claim.term.unit.empty() && token.unit < 0) found = holds_unit(claim.term.unit);
      }
      if (!found) return false;
    }
    return true;
  }

  /// Where the candidate holds several measures ("after twelve months ... by notice of 180 days"), the words of the
  /// claim must stand nearer to its own than to one that it does not mention: else "the notice is twelve months" would
  /// pass.
  bool numbers_belong(const std::vector<Claim>& claims) const {
    std::vector<std::pair<std::size_t, bool>> measures;  // token, mentioned by the claim
    for (std::size_t at = begin_; at < end_; ++at) {
      const Evidence::Token& token = evidence_.tokens()[at];
      if (token.kind != Term::Kind::number || token.unit < 0) continue;
      const bool mentioned = std::any_of(claims.begin(), claims.end(), [&](const Claim& claim) {
        return claim.term.kind == Term::Kind::number && claim.id == token.id;
      });
      measures.emplace_back(at, mentioned);
    }
    const auto is_mentioned = [](const auto& measure) { return measure.second; };
    if (std::none_of(measures.begin(), measures.end(), is_mentioned)) return true;
    double own = 0, others = 0;
    for (const Claim& claim : claims) {
      if (claim.term.kind == Term::Kind::number || claim.weight <= 0 || claim.id < 0 || is_unit(claim.term.text))
        continue;
      std::size_t nearest = SIZE_MAX;
      bool nearest_is_own = true;
      for (std::size_t at = begin_; at < end_; ++at) {
        if (evidence_.tokens()[at].id != claim.id) continue;
        for (const auto& [place, mentioned] : measures) {
          const std::size_t distance = place > at ? place - at : at - place;
          if (distance < nearest || (distance == nearest && mentioned)) {
            nearest = distance;
            nearest_is_own = mentioned;
          }
        }
      }
      if (nearest != SIZE_MAX) (nearest_is_own ? own : others) += claim.weight;
    }
    return others <= most_foreign_weight * (own + others);
  }

  bool names_agree(const std::vector<Claim>& claims) const {
    return std::all_of(claims.begin(), claims.end(),
                       [&](const Claim& claim) { return !claim.name || share(claim) >= 1; });
  }

  bool negations_agree(const std::vector<Claim>& claims) const {
    double shared = 0, conflicting = 0;
    bool claim_negates = false, negation_met = false;
    for (const Claim& claim : claims) {
      if (claim.term.kind == Term::Kind::number) continue;
      claim_negates = claim_negates || claim.term.negated;
      bool any = false, same = false;
      for (std::size_t at = begin_; at < end_; ++at) {
        const Evidence::Token& token = evidence_.tokens()[at];
        if (token.id != claim.id) continue;
        any = true;
        same = same || token.negated == claim.term.negated;
        negation_met = negation_met || (token.negated && claim.term.negated);
      }
      if (!any) continue;
      shared += claim.weight;
      if (!same) conflicting += claim.weight;
    }
    if (claim_negates && !negation_met) return false;
    return conflicting <= 0.25 * shared;
  }

  bool no_opposites(const std::vector<Claim>& claims) const {
    const auto claimed = [&](const std::string& stem) {
      return std::any_of(claims.begin(), claims.end(), [&](const Claim& claim) { return claim.term.text == stem; });
    };
    for (const auto& [one, other] : opposites()) {
      for (const auto& [said, against] : {std::pair(one, other), std::pair(other, one)}) {
        if (claimed(said) && !claimed(against) && holds(evidence_.id(against)) && !holds(evidence_.id(said)))
          return false;
      }
    }
    return true;
  }

  /// Two capitalised words around a shared word stand in the same order, unless one side is passive.
  bool order_agrees(const std::vector<Claim>& claims) const {
    for (std::size_t verb = 1; verb + 1 < claims.size(); ++verb) {
      const Claim& middle = claims[verb];
      if (middle.term.capital || middle.term.kind != Term::Kind::word || middle.id < 0) continue;
      const Claim* before = nullptr;
      const Claim* after = nullptr;
      for (std::size_t at = 0; at < verb; ++at) {
        if (is_party(claims[at])) before = &claims[at];
      }
      for (std::size_t at = claims.size(); at-- > verb + 1;) {
        if (is_party(claims[at])) after = &claims[at];
      }
      if (before == nullptr || after == nullptr || before->id == after->id || after->term.passive_by) continue;
      const std::size_t place = find(middle.id, begin_, end_);
      if (place == end_ || find(middle.id, place + 1, end_) < end_) continue;  // not there, or not clear which one
      const bool first_before = find(before->id, begin_, place) < place;
      const bool second_before = find(after->id, begin_, place) < place;
      const std::size_t first_after = find(before->id, place, end_);
      const bool passive = first_after < end_ && evidence_.tokens()[first_after].passive_by;
      if (!first_before && second_before && first_after < end_ && !passive) return false;
    }
    return true;
  }

  /// Where the candidate defines several names ('Norfield GmbH (the "Client") and Alder Ltd (the "Provider")') and the
  /// claim is about one of them, what it says of it must stand before its own definition, not before another one.
  bool definitions_agree(const std::vector<Claim>& claims) const {
    const std::vector<std::size_t> defined = definitions();
    if (defined.size() < 2) return true;
    std::size_t own_begin = 0, own_end = 0, mentioned = 0;
    for (std::size_t i = 0; i < defined.size(); ++i) {
      const std::int32_t id = evidence_.tokens()[defined[i]].id;
      if (std::none_of(claims.begin(), claims.end(), [&](const Claim& claim) { return claim.id == id; })) continue;
      ++mentioned;
      own_begin = i == 0 ? begin_ : defined[i - 1] + 1;
      own_end = defined[i];
    }
    if (mentioned != 1) return true;
    return std::all_of(claims.begin(), claims.end(), [&](const Claim& claim) {
      const bool is_fact = claim.name || (claim.term.kind == Term::Kind::number && !claim.reference);
      if (!is_fact || claim.id < 0 || claim.id == evidence_.tokens()[own_end].id) return true;
      return find(claim.id, begin_, end_) == end_ || find(claim.id, own_begin, own_end) < own_end;
    });
  }

  double question_share(const std::vector<std::int32_t>& question) const {
    double all = 0, met = 0;
    const std::size_t from = unit_ > 0 && evidence_.units()[unit_ - 1].passage == evidence_.units()[unit_].passage
                                 ? evidence_.units()[unit_ - 1].token_begin
                                 : begin_;
    for (const std::int32_t id : question) {
      const double weight = id < 0 ? evidence_.largest_idf() * 0.5 : evidence_.idf(id);
      all += weight;
      if (id >= 0 && find(id, from, wide_end_) < wide_end_) met += weight;
    }
    return all > 0 ? met / all : 1;
  }

 private:
  std::size_t find(std::int32_t id, std::size_t from, std::size_t to) const {
    for (std::size_t at = from; at < to; ++at) {
      if (evidence_.tokens()[at].id == id) return at;
    }
    return to;
  }
  /// Tokens that begin a defined name: in quotation marks after an opening bracket.
  std::vector<std::size_t> definitions() const {
    std::vector<std::size_t> result;
    const std::string& text = evidence_.passages()[evidence_.units()[unit_].passage].text;
    for (std::size_t at = begin_; at < end_; ++at) {
      const Evidence::Token& token = evidence_.tokens()[at];
      if (!token.capital || generic_names().contains(evidence_.word(token.id))) continue;
      const std::string_view before = documents::slice(text, std::max<std::int64_t>(0, token.start - 6), token.start);
      const std::size_t bracket = before.rfind('(');
      if (bracket == std::string_view::npos) continue;
      if (before.ends_with('"') || before.ends_with("“") || before.ends_with("„") || before.ends_with("«"))
        result.push_back(at);
    }
    return result;
  }
  bool holds_unit(const std::string& unit) const {
    const std::vector<Term> terms = terms_of(unit);
    return !terms.empty() && holds(evidence_.id(terms[0].text));
  }
  static bool is_unit(const std::string& stem) {
    static const std::unordered_set<std::string> units = [] {
      std::unordered_set<std::string> result;
      for (const Term& term : terms_of("seconds minutes hours days weeks months years percent dollars euros pounds")) {
        result.insert(term.text);
      }
      return result;
    }();
    return units.contains(stem);
  }
  static bool is_party(const Claim& claim) {
    return claim.term.capital && claim.term.kind == Term::Kind::word && claim.id >= 0;
  }

  const Evidence& evidence_;
  std::size_t unit_ = 0, begin_ = 0, end_ = 0, wide_end_ = 0;
};

}  // namespace

Judgement SupportCheck::judge(std::string_view sentence, std::string_view question, Preferred preferred) const {
  Judgement judgement;
  const std::string_view claiming = claiming_part(sentence);
  if (claiming.empty()) return judgement;
  if (claiming.size() != sentence.size()) return judge(claiming, question, preferred);

  std::unordered_set<std::string> asked;
  std::vector<std::int32_t> asked_ids;
  for (const Term& term : terms_of(question)) {
    if (!term.stop && asked.insert(term.text).second) asked_ids.push_back(evidence_.id(term.text));
  }

  const std::vector<Term> terms = terms_of(sentence);
  std::vector<Claim> claims;
  bool cjk = false, all_small_talk = true;
  for (std::size_t at = 0; at < terms.size(); ++at) {
    const Term& term = terms[at];
    if (term.stop || is_list_number(sentence, term)) continue;
    Claim claim;
    claim.term = term;
    claim.id = evidence_.id(term.text);
    claim.in_question = asked.contains(term.text);
    claim.reference = term.kind == Term::Kind::number && at > 0 && is_reference_word(terms[at - 1].text);
    const bool next_capital =
        at + 1 < terms.size() && terms[at + 1].capital && !terms[at + 1].stop && !terms[at + 1].sentence_start;
    claim.name = term.kind == Term::Kind::word && term.capital && (!term.sentence_start || next_capital) &&
                 !generic_names().contains(term.text);
    claim.weight = std::max(0.5, claim.id < 0 ? 0.8 * evidence_.largest_idf() : evidence_.idf(claim.id));
    if (generic_names().contains(term.text)) claim.weight = 0.25;
    if (claim.reference) claim.weight = 0.25;
    cjk = cjk || term.kind == Term::Kind::cjk;
    all_small_talk = all_small_talk && small_talk().contains(term.text);
    claims.push_back(std::move(claim));
  }
  if (claims.empty() || all_small_talk) return judgement;
  const std::size_t last = sentence.find_last_not_of(" \n\t*_");
  const bool lead_in = last != std::string_view::npos && (sentence[last] == ':' || sentence.ends_with("："));
  const bool has_fact = std::any_of(claims.begin(), claims.end(), [](const Claim& c) {
    return c.term.kind == Term::Kind::number || (c.name && !c.in_question);
  });
  if (lead_in && !has_fact && claims.size() <= 10) return judgement;

  const bool echo = std::all_of(claims.begin(), claims.end(), [](const Claim& claim) { return claim.in_question; });
  judgement.verdict = Verdict::unsupported;
  if (echo && asks_for_a_thing(question)) return judgement;

  std::unordered_map<std::int32_t, double> wanted;
  std::unordered_map<std::int32_t, double> candidates;
  double all_weight = 0, new_weight = 0;
  std::unordered_set<std::string> distinct;
  for (Claim& claim : claims) {
    if (!distinct.insert(claim.term.text).second) {
      claim.weight = 0;  // a repeated term counts once
      continue;
    }
    all_weight += claim.weight;
    if (!claim.in_question) new_weight += claim.weight;
    if (claim.id < 0) continue;
    wanted.emplace(claim.id, claim.weight);
    for (const std::int32_t unit : evidence_.postings(claim.id)) candidates[unit] += claim.weight;
  }
  std::vector<std::pair<double, std::int32_t>> order;
  order.reserve(candidates.size());
  const bool bare = distinct.size() <= bare_answer_terms && !cjk;
  for (const auto& [unit, weight] : candidates) {
    double score = weight;
    if (bare)
      score += 0.5 * all_weight * Comparison(evidence_, static_cast<std::size_t>(unit)).question_share(asked_ids);
    order.emplace_back(score, -unit);  // of equals the earlier
  }
  const std::size_t tried = std::min(order.size(), candidates_tried);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(tried), order.end(), std::greater<>());

  const double enough = cjk ? enough_weight_cjk : distinct.size() <= 4 ? enough_weight_short : enough_weight;
  for (std::size_t at = 0; at < tried; ++at) {
    const auto unit = static_cast<std::size_t>(-order[at].second);
    const Comparison comparison(evidence_, unit);
    double weight = 0, added = 0;
    for (const Claim& claim : claims) {
      if (claim.weight <= 0) continue;
      const double share = comparison.share(claim) * claim.weight;
      weight += share;
      if (!claim.in_question) added += share;
    }
    if (weight < enough * all_weight || added < enough_new_weight * new_weight) continue;
    if (!comparison.numbers_agree(claims) || !comparison.numbers_belong(claims) || !comparison.names_agree(claims) ||
        !comparison.negations_agree(claims) || !comparison.no_opposites(claims) || !comparison.order_agrees(claims) ||
        !comparison.definitions_agree(claims)) {
      continue;
    }
    if (bare && !asked_ids.empty() && comparison.question_share(asked_ids) < enough_of_question) continue;
    const EvidencePassage& passage = evidence_.passages()[evidence_.units()[unit].passage];
    const bool is_preferred = passage.document == preferred.document && passage.page == preferred.page;
    if (judgement.verdict != Verdict::supported || is_preferred) {
      judgement.verdict = Verdict::supported;
      judgement.place = evidence_.place(unit, wanted);
      judgement.place.score = weight / all_weight;
    }
    if (is_preferred || preferred.page == 0) break;
  }
  return judgement;
}

}  // namespace lectern::app

// What is compared, and what each comparison is for:
//   weight       the shared terms carry most of the IDF weight of the claim, and of what it adds to the question
//   words        few of its plain words are missing: "keeps all data" is not proved by "deletes all data"
//   numbers      each stands in the sentence with the same unit ("60 days" is not proved by "60 hours"), and near the
//                words that the claim says it of
//   names        each capitalised word stands there ("Federal Trade Commission" is not "the State of Delaware")
//   negations    no shared term is negated on one side only, above all no verb
//   modes        "must" is not proved by "may"
//   scope        "only in Graz" and "every Party" are not proved by "in Graz" and "a Party"
//   opposites    "before" is not proved by "after", "minimum" not by "maximum"
//   order        "the Client notifies the Provider" is not proved by "the Provider notifies the Client"
//   pairs        "rarely in Unix, always in Windows" is not proved by "always in Unix, rarely in Windows"
//   definitions  what stands before (the "Client") is not said of the "Provider"
// Tried and dropped: counting negators per sentence (contract sentences hold several that do not matter) in favour of
// their reach; names in the weighing of negations (seven of them hid the one verb that was denied).
#include "app/claim_comparison.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "documents/utf8.h"

namespace lectern::app {
namespace {

constexpr double enough_weight = 0.66;            // of the claim's terms
constexpr double enough_weight_short = 0.7;       // of a claim of at most four terms
constexpr double enough_weight_cjk = 0.7;         // bigrams of a changed name overlap the words around it
constexpr double enough_new_weight = 0.55;        // of the terms that the question did not bring
constexpr double enough_of_question = 0.4;        // of the question's terms, for a bare answer
constexpr double most_foreign_weight = 0.4;       // of the words nearer to a measure which the claim does not mention
constexpr double most_conflicting_weight = 0.25;  // of the shared terms, negated on one side
constexpr std::size_t bare_terms = 3;
constexpr double words_for_one_missing = 8;  // so many others make up for one that the text does not have
constexpr double neighbour_share = 0.5;      // a term that stands only in the next sentence counts half
constexpr double generic_weight = 0.25;
constexpr double label_share = 0.5;  // of a label's weight
constexpr double topic_share = 0.5;  // of the weight that a word of the question has in the place of a number

using StemSet = std::unordered_set<std::string>;

StemSet stems_of(std::string_view words) {
  StemSet stems;
  for (const Term& term : terms_of(words)) stems.insert(term.text);
  return stems;
}

/// Capitalised words that name the document itself, not something in it.
bool is_generic_name(const std::string& stem) {
  static const StemSet stems = stems_of(
      "agreement document section article clause page paragraph exhibit schedule note answer question source "
      "appendix chapter file");
  return stems.contains(stem);
}

bool is_reference_word(const std::string& stem) {
  static const StemSet stems =
      stems_of("section article clause page paragraph exhibit schedule chapter appendix line lines pages");
  return stems.contains(stem);
}

/// Words with which an answer says what kind of thing it gives ("the notice period is 180 days"), and verbs that leave
/// the meaning to their object ("by giving notice").
bool is_label(const std::string& stem) {
  static const StemSet stems =
      stems_of("period time amount number date place name total rate length deadline called give make take");
  return stems.contains(stem);
}

bool is_unit(const std::string& stem) {
  static const StemSet stems = stems_of("seconds minutes hours days weeks months years percent dollars euros pounds");
  return stems.contains(stem);
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
  if (shorter.size() < 5 || longer.size() - shorter.size() > 3 || !longer.starts_with(shorter)) return false;
  const std::string_view added = std::string_view(longer).substr(shorter.size());
  return !added.starts_with("er") && !added.starts_with("or") && !added.starts_with("ee");  // who does it is another
}

bool is_list_number(std::string_view sentence, const Term& term, bool more) {
  if (term.kind != Term::Kind::number || !term.sentence_start || !more) return false;
  const std::string_view after = documents::slice(sentence, term.end, term.end + 2);
  const std::string before(documents::slice(sentence, 0, term.start));
  if (before.find_first_not_of(" \n\t*#(-") != std::string::npos) return false;
  return after.starts_with(". ") || after.starts_with(") ") || after == "." || after == ")" ||
         after.starts_with(".*") || after.starts_with(":");
}

bool is_number(const ClaimTerm& claim) {
  return claim.term.kind == Term::Kind::number && !claim.reference;
}

bool is_plain(const ClaimTerm& claim) {
  return claim.term.kind == Term::Kind::word && !claim.name && !is_generic_name(claim.term.text);
}

bool is_party(const ClaimTerm& claim) {
  return claim.term.capital && claim.term.kind == Term::Kind::word && claim.id >= 0;
}

constexpr std::array<std::string_view, 4> excluding = {"only", "no", "not", "unless"};
constexpr std::array<std::string_view, 3> differing = {"other", "another", "different"};
constexpr std::array<std::string_view, 1> alike = {"same"};
constexpr std::array<std::string_view, 1> own = {"own"};
constexpr std::array<std::string_view, 7> general = {"every", "all", "each", "any", "both", "no", "neither"};

}  // namespace

ClaimSentence::ClaimSentence(const Evidence& evidence, std::string_view sentence, std::string_view asked) {
  StemSet in_question;
  for (const Term& term : terms_of(asked)) {
    if (!term.stop && in_question.insert(term.text).second) question.push_back(evidence.id(term.text));
  }
  const std::vector<Term> all = terms_of(sentence);
  StemSet seen;
  int clause = 0;
  for (std::size_t at = 0; at < all.size(); ++at) {
    const Term& term = all[at];
    if (term.stop) {
      stop_words.insert(term.text);
      if (term.text == "and" || term.text == "between") ++clause;
    }
    if (term.stop || is_list_number(sentence, term, at + 1 < all.size())) continue;
    ClaimTerm claim;
    claim.term = term;
    claim.id = evidence.id(term.text);
    claim.clause = clause;
    claim.in_question = in_question.contains(term.text);
    claim.reference = term.kind == Term::Kind::number && at > 0 && is_reference_word(all[at - 1].text);
    const bool next_capital =
        at + 1 < all.size() && all[at + 1].capital && !all[at + 1].stop && !all[at + 1].sentence_start;
    claim.name = term.kind == Term::Kind::word && term.capital && (!term.sentence_start || next_capital) &&
                 !is_generic_name(term.text);
    claim.weight = std::max(0.5, claim.id < 0 ? 0.8 * evidence.largest_idf() : evidence.idf(claim.id));
    if (is_generic_name(term.text) || claim.reference) claim.weight = generic_weight;
    if (is_label(term.text)) claim.weight *= label_share;
    if (!seen.insert(term.text).second) claim.weight = 0;
    all_weight += claim.weight;
    if (!claim.in_question) new_weight += claim.weight;
    cjk = cjk || term.kind == Term::Kind::cjk;
    terms.push_back(std::move(claim));
  }
  for (std::size_t at = 0; at < terms.size(); ++at) {
    std::size_t nearest = terms.size();
    for (std::size_t number = 0; number < terms.size(); ++number) {
      if (!is_number(terms[number])) continue;
      nearest = std::min(nearest, number > at ? number - at : at - number);
    }
    terms[at].to_number = nearest;
  }
  distinct = seen.size();
  bare = distinct <= bare_terms && !cjk;
}

ClaimComparison::ClaimComparison(const Evidence& evidence, const ClaimSentence& claim, std::size_t unit)
    : evidence_(evidence), claim_(claim), unit_(unit) {
  const Evidence::Unit& here = evidence.units()[unit];
  begin_ = wide_begin_ = here.token_begin;
  if (unit > 0 && evidence.units()[unit - 1].passage == here.passage) {
    wide_begin_ = evidence.units()[unit - 1].token_begin;
  }
  end_ = wide_end_ = here.token_end;
  if (unit + 1 < evidence.units().size() && evidence.units()[unit + 1].passage == here.passage) {
    wide_end_ = evidence.units()[unit + 1].token_end;
  }
}

bool ClaimComparison::agrees() const {
  return weight_agrees() && words_agree() && numbers_agree() && numbers_belong() && names_agree() &&
         negations_agree() && modes_agree() && scope_agrees() && no_opposites() && order_agrees() && pairs_agree() &&
         definitions_agree();
}

double ClaimComparison::weight_share() const {
  double met = 0;
  for (const ClaimTerm& claim : claim_.terms) {
    if (claim.weight > 0) met += share(claim) * claim.weight;
  }
  return claim_.all_weight > 0 ? met / claim_.all_weight : 0;
}

double ClaimComparison::question_share() const {
  return question_share(wide_begin_, wide_end_);
}

double ClaimComparison::asked_share() const {
  return question_share(begin_, end_);
}

double ClaimComparison::question_share(std::size_t from, std::size_t to) const {
  double all = 0, met = 0;
  for (const std::int32_t id : claim_.question) {
    const double weight = id < 0 ? evidence_.largest_idf() * 0.5 : evidence_.idf(id);
    all += weight;
    if (id >= 0 && find(id, from, to) < to) met += weight;
  }
  return all > 0 ? met / all : 1;
}

bool ClaimComparison::measures_otherwise() const {
  bool other = false;
  for (std::size_t at = begin_; at < end_; ++at) {
    const Evidence::Token& token = evidence_.tokens()[at];
    if (token.kind != Term::Kind::number || token.unit < 0) continue;
    for (const ClaimTerm& claim : claim_.terms) {
      if (!is_number(claim) || claim.term.unit.empty()) continue;
      if (claim.id == token.id) return false;
      other = other || claim.term.unit == evidence_.word(token.unit);
    }
  }
  return other;
}

bool ClaimComparison::weight_agrees() const {
  double met = 0, added = 0;
  for (const ClaimTerm& claim : claim_.terms) {
    if (claim.weight <= 0) continue;
    const double weight = share(claim) * claim.weight;
    met += weight;
    if (!claim.in_question) added += weight;
  }
  const double enough = claim_.cjk ? enough_weight_cjk : claim_.distinct <= 4 ? enough_weight_short : enough_weight;
  if (met < enough * claim_.all_weight || added < enough_new_weight * claim_.new_weight) return false;
  return !claim_.bare || claim_.question.empty() || question_share() >= enough_of_question;
}

// A word of the question that the text has nowhere is the reader's own; one that it has in other places only is another
// subject.
bool ClaimComparison::words_agree() const {
  double all = 0, missing = 0;
  for (const ClaimTerm& claim : claim_.terms) {
    if (!is_plain(claim) || claim.weight <= 0 || is_label(claim.term.text)) continue;
    ++all;
    const double there = share(claim);
    if (there >= 1) continue;
    if (claim.in_question) {
      if (claim.id < 0 || (refers_back() && stands_near(claim.id))) continue;
      return false;
    }
    if (is_unit(claim.term.text)) return false;  // "six per cent a month"
    missing += 1 - there;
  }
  return missing * words_for_one_missing <= all;
}

bool ClaimComparison::numbers_agree() const {
  return std::all_of(claim_.terms.begin(), claim_.terms.end(), [&](const ClaimTerm& claim) {
    if (!is_number(claim)) return true;
    for (std::size_t at = begin_; at < end_; ++at) {
      const Evidence::Token& token = evidence_.tokens()[at];
      if (token.id != claim.id || token.kind != Term::Kind::number) continue;
      const std::string& unit = claim.term.unit;
      if (unit.empty()) return true;
      if (token.unit >= 0 ? evidence_.word(token.unit) == unit : holds_unit(unit)) return true;
    }
    return false;
  });
}

// Where the sentence holds several measures ("after twelve months ... by notice of 180 days"), the words of the claim
// must stand nearer to its own than to one that it does not mention: else "the notice is twelve months" would pass. A
// bare answer has its words in the question, and the first of them is what is asked for ("How long is the notice ...").
bool ClaimComparison::numbers_belong() const {
  std::vector<std::pair<std::size_t, bool>> measures;  // token, mentioned by the claim
  for (std::size_t at = begin_; at < end_; ++at) {
    const Evidence::Token& token = evidence_.tokens()[at];
    if (token.kind != Term::Kind::number || token.unit < 0) continue;
    const bool mentioned = std::any_of(claim_.terms.begin(), claim_.terms.end(), [&](const ClaimTerm& claim) {
      return claim.term.kind == Term::Kind::number && claim.id == token.id;
    });
    measures.emplace_back(at, mentioned);
  }
  const auto is_mentioned = [](const auto& measure) { return measure.second; };
  if (std::none_of(measures.begin(), measures.end(), is_mentioned)) return true;
  double own = 0, others = 0;
  const auto weigh = [&](std::int32_t id, double weight) {
    std::size_t nearest = SIZE_MAX;
    bool nearest_is_own = true;
    for (std::size_t at = begin_; at < end_; ++at) {
      if (evidence_.tokens()[at].id != id) continue;
      for (const auto& [place, mentioned] : measures) {
        const std::size_t distance = place > at ? place - at : at - place;
        if (distance < nearest || (distance == nearest && mentioned)) {
          nearest = distance;
          nearest_is_own = mentioned;
        }
      }
    }
    if (nearest != SIZE_MAX) (nearest_is_own ? own : others) += weight;
  };
  for (const ClaimTerm& claim : claim_.terms) {
    if (claim.term.kind == Term::Kind::number || claim.weight <= 0 || claim.id < 0 || is_unit(claim.term.text) ||
        is_label(claim.term.text))
      continue;
    weigh(claim.id, (claim.in_question ? topic_share : 1) * claim.weight / static_cast<double>(1 + claim.to_number));
  }
  if (claim_.bare) {
    const auto said = std::find_if(claim_.question.begin(), claim_.question.end(), [&](std::int32_t id) {
      return id >= 0 && !is_unit(evidence_.word(id)) && holds(id);
    });
    if (said != claim_.question.end()) weigh(*said, evidence_.idf(*said));
  }
  return others <= most_foreign_weight * (own + others);
}

bool ClaimComparison::names_agree() const {
  return std::all_of(claim_.terms.begin(), claim_.terms.end(),
                     [&](const ClaimTerm& claim) { return !claim.name || share(claim) >= 1; });
}

bool ClaimComparison::negations_agree() const {
  double shared = 0, conflicting = 0;
  bool claim_negates = false, negation_met = false;
  for (const ClaimTerm& claim : claim_.terms) {
    if (claim.term.kind == Term::Kind::number) continue;
    claim_negates = claim_negates || claim.term.negated;
    bool any = false, same = false, denied_alike = false;
    for (std::size_t at = begin_; at < end_; ++at) {
      const Evidence::Token& token = evidence_.tokens()[at];
      if (token.id != claim.id) continue;
      any = true;
      same = same || token.negated == claim.term.negated;
      negation_met = negation_met || (token.negated && claim.term.negated);
      denied_alike = denied_alike || (token.denied ? claim.term.negated : !claim.term.denied || token.negated);
    }
    if (!any) continue;
    if (!denied_alike) return false;
    shared += claim.weight;
    if (!same) conflicting += claim.weight;
  }
  if (claim_negates && !negation_met) return false;
  return conflicting <= most_conflicting_weight * shared;
}

// A word after "must" is not proved by the same word after "may", nor one after "may" by one after "must", unless it is
// denied ("may not", "must not") or "may only". Without a modal the text may say it in another way ("undertakes to").
bool ClaimComparison::modes_agree() const {
  return std::all_of(claim_.terms.begin(), claim_.terms.end(), [&](const ClaimTerm& claim) {
    const Term::Mode said = claim.term.mode;
    if (said == Term::Mode::none || claim.term.negated || claim.id < 0) return true;
    bool other = false;
    for (std::size_t at = begin_; at < end_; ++at) {
      const Evidence::Token& token = evidence_.tokens()[at];
      if (token.id != claim.id) continue;
      if (token.mode == said || token.negated) return true;
      if (token.mode == Term::Mode::none) continue;
      other = other || (said == Term::Mode::may ? !claim_.stop_words.contains("only") : token.mode < said);
    }
    return !other;
  });
}

bool ClaimComparison::scope_agrees() const {
  const bool negates =
      std::any_of(claim_.terms.begin(), claim_.terms.end(), [](const ClaimTerm& claim) { return claim.term.negated; });
  if (negates) return true;
  const auto says = [&](const char* word) { return claim_.stop_words.contains(word); };
  if (says("only") && !holds_any(excluding)) return false;
  if ((says("every") || says("all")) && !holds_any(general)) return false;
  if (says("same") && holds_any(differing) && !holds_any(alike)) return false;
  return !says("own") || !holds_any(differing) || holds_any(own);
}

bool ClaimComparison::no_opposites() const {
  const auto claimed = [&](const std::string& stem) {
    return std::any_of(claim_.terms.begin(), claim_.terms.end(),
                       [&](const ClaimTerm& claim) { return claim.term.text == stem; });
  };
  for (const auto& [one, other] : opposites()) {
    for (const auto& [said, against] : {std::pair(one, other), std::pair(other, one)}) {
      if (claimed(said) && !claimed(against) && holds(evidence_.id(against)) && !holds(evidence_.id(said)))
        return false;
    }
  }
  return true;
}

// Two capitalised words around a shared word stand in the same order, unless one side is passive.
bool ClaimComparison::order_agrees() const {
  const std::vector<ClaimTerm>& claims = claim_.terms;
  for (std::size_t verb = 1; verb + 1 < claims.size(); ++verb) {
    const ClaimTerm& middle = claims[verb];
    if (middle.term.capital || middle.term.kind != Term::Kind::word || middle.id < 0) continue;
    const ClaimTerm* before = nullptr;
    const ClaimTerm* after = nullptr;
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

// Two terms have changed places while another one stays between them and one before or after both: each is said of what
// the text says of the other. A passive ("is paid by the Client") changes places without that.
bool ClaimComparison::pairs_agree() const {
  struct Place {
    std::size_t at = 0;
    bool by = false;
  };
  std::vector<Place> places;  // in the sentence, by the order of the claim: terms that stand once in both
  for (const ClaimTerm& claim : claim_.terms) {
    if (claim.weight <= 0 || claim.id < 0 || claim.term.kind == Term::Kind::cjk || is_unit(claim.term.text)) continue;
    const bool again = std::count_if(claim_.terms.begin(), claim_.terms.end(),
                                     [&](const ClaimTerm& other) { return other.id == claim.id; }) > 1;
    const std::size_t at = find(claim.id, begin_, end_);
    if (again || at == end_ || find(claim.id, at + 1, end_) < end_) continue;
    places.push_back({at, claim.term.passive_by != evidence_.tokens()[at].passive_by});
  }
  // Terms that follow each other in both count as one ("Ashton-Tate").
  std::vector<std::size_t> in_text;
  for (const Place& place : places) in_text.push_back(place.at);
  std::sort(in_text.begin(), in_text.end());
  std::vector<Place> runs;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto next = i == 0 ? in_text.end() : std::upper_bound(in_text.begin(), in_text.end(), places[i - 1].at);
    if (next == in_text.end() || *next != places[i].at) runs.push_back(places[i]);
  }
  places = std::move(runs);
  const std::size_t count = places.size();
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i + 2; j < count; ++j) {
      const auto [low, high] = std::pair(places[j].at, places[i].at);
      if (low > high || places[i].by || places[j].by) continue;
      bool all_stay = true;
      std::size_t between = 0, outside = 0;
      for (std::size_t k = 0; k < count && all_stay; ++k) {
        if (k == i || k == j) continue;
        const bool inside_claim = k > i && k<j, inside_text = places[k].at> low && places[k].at < high;
        all_stay = inside_claim == inside_text && (inside_claim || (k < i) == (places[k].at < low));
        ++(inside_claim ? between : outside);
      }
      if (all_stay && between > 0 && outside > 0) return false;
    }
  }
  return true;
}

// Where the sentence defines several names ('Norfield GmbH in Wels (the "Client") and Alder Ltd in Leith (the
// "Provider")'), the names and numbers of one clause of the claim must stand before one and the same definition.
bool ClaimComparison::definitions_agree() const {
  const std::vector<std::size_t> defined = definitions();
  if (defined.size() < 2) return true;
  std::vector<std::vector<bool>> possible;  // by clause: the definitions that fit all its facts so far
  for (const ClaimTerm& claim : claim_.terms) {
    if ((!claim.name && !is_number(claim)) || !holds(claim.id)) continue;
    std::vector<bool> stands(defined.size());
    bool anywhere = false;
    for (std::size_t i = 0; i < defined.size(); ++i) {
      const std::size_t from = i == 0 ? begin_ : defined[i - 1] + 1;
      stands[i] = find(claim.id, from, defined[i] + 1) <= defined[i];
      anywhere = anywhere || stands[i];
    }
    if (!anywhere) continue;
    const auto clause = static_cast<std::size_t>(claim.clause);
    if (possible.size() <= clause) possible.resize(clause + 1, std::vector<bool>(defined.size(), true));
    bool fits = false;
    for (std::size_t i = 0; i < defined.size(); ++i) {
      possible[clause][i] = possible[clause][i] && stands[i];
      fits = fits || possible[clause][i];
    }
    if (!fits) return false;
  }
  return true;
}

// "It shall ..." has its subject in the sentence before.
bool ClaimComparison::refers_back() const {
  static const StemSet pronouns = {"it", "they", "this", "these", "those", "such", "he", "she"};
  const std::size_t first = evidence_.units()[unit_].heading_end;
  return first < end_ && pronouns.contains(evidence_.word(evidence_.tokens()[first].id));
}

bool ClaimComparison::holds_any(std::span<const std::string_view> stop_words) const {
  return std::any_of(stop_words.begin(), stop_words.end(),
                     [&](std::string_view word) { return holds(evidence_.id(std::string(word))); });
}

bool ClaimComparison::holds_unit(const std::string& unit) const {
  const std::vector<Term> terms = terms_of(unit);
  return !terms.empty() && holds(evidence_.id(terms[0].text));
}

// 1: the term stands in the sentence, a part: only in the next one, 0: nowhere.
double ClaimComparison::share(const ClaimTerm& claim) const {
  if (holds(claim.id)) return 1;
  if (claim.id >= 0 && find(claim.id, end_, wide_end_) < wide_end_) return neighbour_share;
  if (claim.term.kind != Term::Kind::word) return 0;
  for (std::size_t at = begin_; at < end_; ++at) {
    const Evidence::Token& token = evidence_.tokens()[at];
    if (token.kind == Term::Kind::word && related(evidence_.word(token.id), claim.term.text)) return 1;
  }
  return 0;
}

std::size_t ClaimComparison::find(std::int32_t id, std::size_t from, std::size_t to) const {
  for (std::size_t at = from; at < to; ++at) {
    if (evidence_.tokens()[at].id == id) return at;
  }
  return to;
}

// Tokens that begin a defined name: in quotation marks after an opening bracket.
std::vector<std::size_t> ClaimComparison::definitions() const {
  std::vector<std::size_t> result;
  const std::string& text = evidence_.passages()[evidence_.units()[unit_].passage].text;
  for (std::size_t at = begin_; at < end_; ++at) {
    const Evidence::Token& token = evidence_.tokens()[at];
    if (!token.capital || is_generic_name(evidence_.word(token.id))) continue;
    const std::string_view before = documents::slice(text, std::max<std::int64_t>(0, token.start - 6), token.start);
    const std::size_t bracket = before.rfind('(');
    if (bracket == std::string_view::npos) continue;
    if (before.ends_with('"') || before.ends_with("“") || before.ends_with("„") || before.ends_with("«"))
      result.push_back(at);
  }
  return result;
}

}  // namespace lectern::app

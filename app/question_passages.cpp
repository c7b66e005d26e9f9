// Sentences are ranked by BM25 over the question's terms, lifted where the terms stand in a heading (a question asks in
// the words of headings: "governing law"), where the sentences around hold the missing ones, and where the sentence has
// the kind of fact that is asked for: a number for "how many", with its unit for "how many days".
#include "app/question_passages.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace lectern::app {
namespace {

constexpr double saturation = 0.8;       // BM25's k1
constexpr double length_share = 0.3;     // BM25's b
constexpr double heading_lift = 0.7;     // of a term's weight, if it stands in the heading
constexpr double neighbour_lift = 0.15;  // if it stands only in a sentence beside
constexpr double passage_lift = 0.15;    // if it stands only elsewhere in the passage
constexpr double number_lift = 1.15;
constexpr double unit_lift = 1.3;
constexpr double front_lift = 2.0;  // a document's first sentences name it, its parties and its dates
constexpr std::size_t front_units = 6;

bool asks_for_number(std::string_view question) {
  std::string lower(question);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const std::string_view phrase :
       {"how many", "how much", "how long", "how often", "what date", "which date", "when ", "what percent", "how soon",
        "how old", "how far", "多少", "几", "何时", "多久"}) {
    if (lower.find(phrase) != std::string::npos) return true;
  }
  return false;
}

bool asks_for_front_matter(std::string_view question) {
  for (const Term& term : terms_of(question)) {
    for (const char* word : {"name", "title", "parti", "part", "date", "author", "sign", "who"}) {
      if (term.text == word) return true;
    }
  }
  return false;
}

}  // namespace

std::vector<EvidencePlace> best_places(const Evidence& evidence, std::string_view question, std::size_t count) {
  std::unordered_map<std::int32_t, double> wanted;
  std::unordered_set<std::string> units_asked;
  for (const Term& term : terms_of(question)) {
    if (term.stop) continue;
    const std::int32_t id = evidence.id(term.text);
    if (id >= 0) wanted.emplace(id, evidence.idf(id));
  }
  std::vector<EvidencePlace> places;
  const auto& units = evidence.units();
  const auto& tokens = evidence.tokens();
  if (wanted.empty() || units.empty()) return places;
  double all_weight = 0;
  for (const auto& [id, weight] : wanted) all_weight += weight;

  const std::size_t passages = evidence.passages().size();
  std::vector<std::unordered_set<std::int32_t>> in_passage(passages);
  std::vector<std::unordered_set<std::int32_t>> in_unit(units.size());
  for (const auto& [id, weight] : wanted) {
    for (const std::int32_t unit : evidence.postings(id)) {
      in_unit[static_cast<std::size_t>(unit)].insert(id);
      in_passage[units[static_cast<std::size_t>(unit)].passage].insert(id);
    }
  }
  const double average_length = static_cast<double>(tokens.size()) / static_cast<double>(units.size());
  const bool number_asked = asks_for_number(question);
  const bool front_asked = asks_for_front_matter(question);
  std::unordered_map<int, std::size_t> first_unit;  // of each document's first page
  for (std::size_t index = units.size(); index-- > 0;) {
    const EvidencePassage& passage = evidence.passages()[units[index].passage];
    if (passage.page == 1 && passage.start == 0) first_unit[passage.document] = index;
  }

  std::vector<std::pair<double, std::size_t>> ranked;
  for (std::size_t index = 0; index < units.size(); ++index) {
    if (in_unit[index].empty()) continue;
    const Evidence::Unit& unit = units[index];
    const double length = static_cast<double>(unit.token_end - unit.token_begin);
    const double norm = saturation * (1 - length_share + length_share * length / average_length);
    double score = 0, covered = 0;
    bool number = false, asked_unit = false;
    std::unordered_map<std::int32_t, double> times;
    std::unordered_set<std::int32_t> heading;
    for (std::size_t at = unit.token_begin; at < unit.token_end; ++at) {
      if (tokens[at].kind == Term::Kind::number && at >= unit.heading_end) {
        number = true;
        asked_unit = asked_unit || (tokens[at].unit >= 0 && wanted.contains(tokens[at].unit));
      }
      if (!wanted.contains(tokens[at].id)) continue;
      times[tokens[at].id] += 1;
      if (at < unit.heading_end) heading.insert(tokens[at].id);
    }
    for (const auto& [id, weight] : wanted) {
      if (const auto found = times.find(id); found != times.end()) {
        score += weight * found->second * (saturation + 1) / (found->second + norm);
        covered += weight;
        if (heading.contains(id)) score += weight * heading_lift;
        continue;
      }
      const auto beside = [&](std::size_t other) {
        return units[other].passage == unit.passage && in_unit[other].contains(id);
      };
      if ((index > 0 && beside(index - 1)) || (index + 1 < units.size() && beside(index + 1))) {
        score += weight * neighbour_lift;
      } else if (in_passage[unit.passage].contains(id)) {
        score += weight * passage_lift;
      }
    }
    score *= 0.3 + 0.7 * covered / all_weight;
    if (number_asked && number) score *= number_lift;
    if (number_asked && asked_unit) score *= unit_lift;
    if (front_asked) {
      const auto first = first_unit.find(evidence.passages()[unit.passage].document);
      if (first != first_unit.end() && index >= first->second && index < first->second + front_units)
        score *= front_lift;
    }
    ranked.emplace_back(score, index);
  }
  std::sort(ranked.begin(), ranked.end(), [](const auto& one, const auto& other) {
    return one.first != other.first ? one.first > other.first : one.second < other.second;
  });
  std::unordered_set<std::string> quotes;
  for (const auto& [score, index] : ranked) {
    if (places.size() == count) break;
    EvidencePlace place = evidence.place(index, wanted);
    if (!quotes.insert(place.quote).second) continue;
    place.score = score;
    places.push_back(std::move(place));
  }
  return places;
}

}  // namespace lectern::app

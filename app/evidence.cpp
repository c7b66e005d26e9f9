// An inverted index over sentences, small enough to be made for each question. A sentence alone often does not name its
// subject: a clause says "9.1 Governing law." and then "It is governed by ...". So a heading (a short sentence or line
// without a verb's length) is joined with the sentence after it and remembered, because a question asks in the words of
// headings.
#include "app/evidence.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "documents/sentences.h"
#include "documents/utf8.h"

namespace lectern::app {

namespace {

constexpr std::int64_t shortest_program_quote = 24;  // code points
constexpr int fewest_running_heads = 3;              // pages that begin with the same line
constexpr std::int64_t heading_length = 70;          // code points
constexpr int most_headings = 3;                     // before one sentence
constexpr std::ptrdiff_t heading_words = 7;          // of one that ends with a full stop: "9.1 Governing law."

/// "It shall pay the rest in time." is no heading.
bool has_verb(std::string_view text) {
  constexpr std::array<std::string_view, 14> verbs = {"is", "are", "was", "were", "has", "have",  "does",
                                                      "do", "may", "can", "must", "see", "shall", "should"};
  const std::vector<Term> terms = terms_of(text);
  return std::any_of(terms.begin(), terms.end(),
                     [&](const Term& term) { return std::find(verbs.begin(), verbs.end(), term.text) != verbs.end(); });
}

bool looks_like_heading(std::string_view text) {
  if (text.empty() || documents::code_points(text) > heading_length) return false;
  const char last = text.back();
  if (last == '.') return std::count(text.begin(), text.end(), ' ') < heading_words && !has_verb(text);
  return last != '?' && last != '!' && last != ';' && last != ',' && !text.ends_with("。") && !text.ends_with("？");
}

/// The first line of a page, which many pages share.
std::string_view head_of(const std::string& text) {
  const std::size_t start = text.find_first_not_of(" \n\r\t");
  if (start == std::string::npos) return {};
  const std::size_t end = text.find('\n', start);
  return std::string_view(text).substr(start, (end == std::string::npos ? text.size() : end) - start);
}

}  // namespace

Evidence::Evidence(std::vector<EvidencePassage> passages) : passages_(std::move(passages)) {
  find_running_heads();
  for (std::size_t passage = 0; passage < passages_.size(); ++passage) add_units(passage);
  postings_.resize(words_.size());
  for (std::size_t unit = 0; unit < units_.size(); ++unit) {
    for (std::size_t at = units_[unit].token_begin; at < units_[unit].token_end; ++at) {
      std::vector<std::int32_t>& list = postings_[static_cast<std::size_t>(tokens_[at].id)];
      if (list.empty() || list.back() != static_cast<std::int32_t>(unit))
        list.push_back(static_cast<std::int32_t>(unit));
    }
  }
}

std::int32_t Evidence::intern(const std::string& stem) {
  const auto [found, is_new] = ids_.emplace(stem, static_cast<std::int32_t>(words_.size()));
  if (is_new) words_.push_back(stem);
  return found->second;
}

void Evidence::find_running_heads() {
  std::unordered_map<std::string_view, int> times;
  for (const EvidencePassage& passage : passages_) {
    if (const std::string_view head = head_of(passage.text); passage.start == 0 && !head.empty()) ++times[head];
  }
  for (const auto& [head, count] : times) {
    if (count >= fewest_running_heads) running_heads_.emplace(head);
  }
}

void Evidence::add_units(std::size_t passage) {
  const std::string& text = passages_[passage].text;
  std::vector<documents::Sentence> sentences = documents::split_sentences(text);
  if (const std::string_view head = head_of(text); !sentences.empty() && running_heads_.contains(std::string(head))) {
    // It may have been joined with the sentence after it.
    const std::int64_t length = documents::code_points(head);
    sentences[0].start += length;
    if (sentences[0].start >= sentences[0].end) {
      sentences.erase(sentences.begin());
    } else {
      const std::string_view rest = documents::slice(text, sentences[0].start, sentences[0].end);
      const std::size_t skip = rest.find_first_not_of(" \n\r\t");
      sentences[0].start += skip == std::string_view::npos ? 0 : static_cast<std::int64_t>(skip);
    }
  }
  const std::vector<Term> terms = terms_of(text);
  const std::size_t token_begin = tokens_.size();
  for (const Term& term : terms) {
    Token token;
    token.id = intern(term.text);
    token.unit = term.unit.empty() ? -1 : intern(term.unit);
    token.start = term.start;
    token.end = term.end;
    token.kind = term.kind;
    token.stop = term.stop;
    token.negated = term.negated;
    token.denied = term.denied;
    token.mode = term.mode;
    token.capital = term.capital;
    token.passive_by = term.passive_by;
    tokens_.push_back(token);
  }
  std::size_t at = token_begin;
  for (std::size_t i = 0; i < sentences.size(); ++i) {
    Unit unit;
    unit.passage = passage;
    unit.start = sentences[i].start;
    unit.end = sentences[i].end;
    while (at < tokens_.size() && tokens_[at].end <= unit.start) ++at;
    unit.token_begin = unit.heading_end = at;
    while (at < tokens_.size() && tokens_[at].start < unit.end) ++at;
    // Headings that follow each other ("16. Disputes", "16.1 Governing law.") all stand over the sentence after them.
    for (int joined = 0; joined < most_headings && i + 1 < sentences.size() &&
                         looks_like_heading(documents::slice(text, sentences[i].start, sentences[i].end));
         ++joined) {
      unit.heading_end = at;
      ++i;
      unit.end = sentences[i].end;
      while (at < tokens_.size() && tokens_[at].start < unit.end) ++at;
    }
    unit.token_end = at;
    if (unit.token_end > unit.token_begin) units_.push_back(unit);
  }
}

std::int32_t Evidence::id(const std::string& stem) const {
  const auto found = ids_.find(stem);
  return found == ids_.end() ? -1 : found->second;
}

const std::vector<std::int32_t>& Evidence::postings(std::int32_t id) const {
  static const std::vector<std::int32_t> none;
  return id < 0 ? none : postings_[static_cast<std::size_t>(id)];
}

double Evidence::largest_idf() const {
  return std::log(1.0 + (static_cast<double>(units_.size()) + 0.5) / 0.5);
}

double Evidence::idf(std::int32_t id) const {
  const double with = static_cast<double>(postings(id).size());
  const double all = static_cast<double>(units_.size());
  return std::log(1.0 + (all - with + 0.5) / (with + 0.5));
}

EvidencePlace Evidence::place(std::size_t unit_index, const std::unordered_map<std::int32_t, double>& wanted) const {
  const Unit& unit = units_[unit_index];
  const EvidencePassage& passage = passages_[unit.passage];
  std::int64_t start = unit.start, end = unit.end;
  if (end - start > longest_program_quote) {
    // The best stretch begins at a word; weight counts each stem once.
    double best = -1;
    std::int64_t best_start = start, best_end = end;
    for (std::size_t first = unit.token_begin; first < unit.token_end; ++first) {
      std::unordered_map<std::int32_t, double> seen;
      double weight = 0;
      std::int64_t last_end = tokens_[first].end;
      for (std::size_t at = first;
           at < unit.token_end && tokens_[at].end - tokens_[first].start <= longest_program_quote; ++at) {
        last_end = tokens_[at].end;
        const auto found = wanted.find(tokens_[at].id);
        if (found != wanted.end() && seen.emplace(tokens_[at].id, 0).second) weight += found->second;
      }
      if (first == unit.token_begin) weight += 1e-6;  // of equals the beginning of the sentence
      if (weight > best) {
        best = weight;
        best_start = first == unit.token_begin ? unit.start : tokens_[first].start;
        best_end = last_end;
      }
      if (last_end == tokens_[unit.token_end - 1].end) break;
    }
    start = best_start;
    end = std::min(best_end, start + longest_program_quote);
    // The full stop after the last word belongs to the quote.
    if (best_end == tokens_[unit.token_end - 1].end && unit.end - start <= longest_program_quote) end = unit.end;
  }
  // A quote needs a dozen letters to be looked up: a bare heading takes the sentence after or before it.
  if (end - start < shortest_program_quote) {
    if (unit_index + 1 < units_.size() && units_[unit_index + 1].passage == unit.passage) {
      end = std::min(units_[unit_index + 1].end, start + longest_program_quote);
    } else if (unit_index > 0 && units_[unit_index - 1].passage == unit.passage) {
      start = std::max(units_[unit_index - 1].start, end - longest_program_quote);
    }
  }
  EvidencePlace place;
  place.document = passage.document;
  place.page = passage.page;
  place.start = passage.start + start;
  place.end = passage.start + end;
  place.quote = std::string(documents::slice(passage.text, start, end));
  return place;
}

}  // namespace lectern::app

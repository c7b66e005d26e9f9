// The figures must add up whatever the tokenizer does at the edges of a cut page, so a page's given tokens are bounded
// by the page's own count and what was dropped is the difference of the sums.
#include "app/coverage.h"

#include <algorithm>
#include <map>
#include <set>

#include "documents/utf8.h"

namespace lectern::app {

std::string with_thousands(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3; at -= 3) {
    if (digits[at - 4] != '-') digits.insert(at - 3, ",");
  }
  return digits;
}

std::int64_t document_tokens(const documents::Document& document, const CountTokens& count) {
  std::int64_t tokens = 0;
  for (const documents::Page& page : document.pages) tokens += page.text.empty() ? 0 : count(page.text);
  return tokens;
}

Coverage measure_coverage(const std::vector<GivenDocument>& given_documents, const CountTokens& count) {
  Coverage coverage;
  for (const GivenDocument& given : given_documents) {
    const documents::Document& document = *given.document;
    const std::set<int> without_text(document.report.pages_without_text.begin(),
                                     document.report.pages_without_text.end());
    std::map<int, std::int64_t> given_on_page;
    for (const documents::Passage& passage : given.passages) given_on_page.emplace(passage.page, 0);
    coverage.pages += static_cast<int>(document.pages.size());
    coverage.tokens += given.tokens;
    if (given.whole) coverage.given_tokens += given.tokens;
    for (const documents::Page& page : document.pages) {
      const bool blank = page.text.find_first_not_of(" \t\r\n\f") == std::string::npos;
      if (blank || without_text.contains(page.number)) {
        // A page with a few stray characters has no text to speak of, yet they are in the prompt: the pages' sum counts
        // it once.
        coverage.pages_without_text.push_back({document.name, page.number});
      } else if (given.whole || given_on_page.contains(page.number)) {
        ++coverage.pages_given;
      } else {
        ++coverage.pages_omitted;
      }
      if (given.whole || !given_on_page.contains(page.number)) continue;
      std::int64_t tokens = 0;
      for (const documents::Passage& passage : given.passages) {
        if (passage.page == page.number) tokens += count(documents::slice(page.text, passage.start, passage.end));
      }
      coverage.given_tokens += std::min(tokens, count(page.text));
    }
  }
  coverage.given_tokens = std::min(coverage.given_tokens, coverage.tokens);
  coverage.dropped_tokens = coverage.tokens - coverage.given_tokens;
  return coverage;
}

std::string coverage_sentence(const Coverage& coverage) {
  std::string sentence = "Read " + with_thousands(coverage.pages_given) + " of " + with_thousands(coverage.pages) +
                         (coverage.pages == 1 ? " page, " : " pages, ") + with_thousands(coverage.given_tokens) +
                         " tokens, " + with_thousands(coverage.dropped_tokens) + " dropped";
  std::map<std::string, std::vector<int>> by_document;
  std::vector<std::string> order;
  for (const Coverage::Place& place : coverage.pages_without_text) {
    std::vector<int>& pages = by_document[place.document];
    if (pages.empty()) order.push_back(place.document);
    pages.push_back(place.page);
  }
  for (const std::string& name : order) {
    const std::vector<int>& pages = by_document[name];
    std::string list;
    for (std::size_t at = 0; at < pages.size();) {
      std::size_t last = at;
      while (last + 1 < pages.size() && pages[last + 1] == pages[last] + 1) ++last;
      if (!list.empty()) list += ", ";
      list += std::to_string(pages[at]);
      if (last > at) list += "-" + std::to_string(pages[last]);
      at = last + 1;
    }
    sentence += "; " + (order.size() > 1 ? name + ": " : std::string()) + (pages.size() == 1 ? "page " : "pages ") +
                list + (pages.size() == 1 ? " has" : " have") + " no text (scan or empty)";
  }
  return sentence;
}

std::string coverage_sentence(const AnswerReport& report) {
  std::string sentence = coverage_sentence(report.coverage);
  if (report.turns_left_out > 0) {
    sentence += "; the window is full: " + std::to_string(report.turns_left_out) +
                (report.turns_left_out == 1 ? " earlier question was left out" : " earlier questions were left out");
  }
  return sentence;
}

}  // namespace lectern::app

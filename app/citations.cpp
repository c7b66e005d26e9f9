// Three origins, in this order. A quotation of the answer is looked up in the document that its marker names, else in
// all; it is verified on the claimed page, found elsewhere, or absent. A marker without a quotation points at a page:
// the sentence before it is aligned with that page's text, so that a marker is never called verified only because the
// page exists. A sentence without either gets the sentence of the text that supports it, or is listed as unsupported.
// Every quote that the program writes itself is looked up like any other before it is shown.
#include "app/citations.h"

#include <algorithm>

#include "app/support.h"
#include "documents/anchors.h"
#include "documents/sentences.h"
#include "documents/utf8.h"

namespace lectern::app {
namespace {

constexpr std::int64_t marker_reach = 60;  // code points between a quotation and the marker that belongs to it

const documents::Page* page_of(const documents::Document& document, int number) {
  const auto found = std::find_if(document.pages.begin(), document.pages.end(),
                                  [&](const documents::Page& page) { return page.number == number; });
  return found == document.pages.end() ? nullptr : &*found;
}

/// The page that a marker's number means: itself, or the block that holds the line. 0: none.
int page_of_marker(const documents::Document& document, int number) {
  if (!documents::is_line_based(document.kind)) return page_of(document, number) != nullptr ? number : 0;
  for (const documents::Page& page : document.pages) {
    if (number >= page.first_line && number <= page.last_line) return page.number;
  }
  return 0;
}

class Prover {
 public:
  Prover(std::string_view answer, std::string_view question, const std::vector<SourceDocument>& sources,
         const Evidence& given)
      : answer_(answer), question_(question), sources_(sources), check_(given) {
    markers_ = documents::parse_markers(answer);
    quotations_ = documents::extract_quotes(answer);
    sentences_ = documents::split_sentences(answer);
    used_.assign(markers_.size(), false);
    // A numbered marker is taken for a document's only if there is such a document.
    for (documents::Marker& marker : markers_) {
      if (marker.document == 0 && sources_.size() == 1) marker.document = 1;
    }
  }

  Proof run(const std::vector<EvidencePlace>& bearing) {
    for (const documents::Quotation& quotation : quotations_) cite_quotation(quotation);
    for (std::size_t at = 0; at < markers_.size(); ++at) {
      if (!used_[at]) cite_marker(at);
    }
    for (const documents::Sentence& sentence : sentences_) align(sentence);
    std::stable_sort(proof_.citations.begin(), proof_.citations.end(),
                     [](const Citation& one, const Citation& other) { return one.answer_end < other.answer_end; });
    for (const EvidencePlace& place : bearing) {
      if (std::optional<Citation> citation = cite_place(place)) proof_.citations.push_back(std::move(*citation));
    }
    int number = 0;
    for (Citation& citation : proof_.citations) citation.marker = ++number;
    return std::move(proof_);
  }

 private:
  const SourceDocument* source(int number) const {
    return number >= 1 && static_cast<std::size_t>(number) <= sources_.size()
               ? &sources_[static_cast<std::size_t>(number) - 1]
               : nullptr;
  }

  static void fill_place(Citation& citation, const documents::Document& document, int page_number, std::int64_t start,
                         std::int64_t end) {
    citation.fingerprint = document.fingerprint;
    citation.document = document.name;
    citation.page = page_number;
    citation.start = start;
    citation.end = end;
    const documents::Page* page = page_of(document, page_number);
    if (page == nullptr) return;
    citation.quote = std::string(documents::slice(page->text, start, end));
    if (documents::is_line_based(document.kind)) citation.lines = documents::lines_of(*page, start, end);
  }

  void cite_quotation(const documents::Quotation& quotation) {
    Citation citation;
    citation.quote = quotation.text;
    citation.answer_end = quotation.end;
    const SourceDocument* claimed = nullptr;
    for (std::size_t at = 0; at < markers_.size(); ++at) {
      const documents::Marker& marker = markers_[at];
      if (marker.start < quotation.end || marker.start - quotation.end > marker_reach ||
          another_begins(quotation.end, marker.start))
        continue;
      used_[at] = true;
      citation.answer_end = marker.end;
      claimed = source(marker.document);
      citation.claimed_page = claimed != nullptr && documents::is_line_based(claimed->document->kind)
                                  ? page_of_marker(*claimed->document, marker.first)
                                  : marker.first;
      break;
    }
    std::optional<documents::QuoteMatch> match;
    const SourceDocument* where = claimed;
    if (claimed != nullptr) match = claimed->quotes->find(quotation.text, citation.claimed_page);
    for (const SourceDocument& other : sources_) {
      if (match) break;
      if (&other == claimed) continue;
      where = &other;
      match = other.quotes->find(quotation.text, claimed == nullptr ? citation.claimed_page : 0);
    }
    if (match) {
      const bool claimed_second = match->second && match->second->page == citation.claimed_page;
      const documents::PageSpan& span = claimed_second ? *match->second : match->first;
      const bool right_document = claimed == nullptr || claimed == where;
      citation.status = right_document && (citation.claimed_page == 0 || span.page == citation.claimed_page)
                            ? CitationStatus::verified
                            : CitationStatus::elsewhere;
      // A quote over a page break keeps its own wording: neither page holds all of it.
      fill_place(citation, *where->document, span.page, span.start, span.end);
      if (match->second) citation.quote = quotation.text;
    }
    proof_.citations.push_back(std::move(citation));
  }

  bool another_begins(std::int64_t from, std::int64_t to) const {
    return std::any_of(quotations_.begin(), quotations_.end(), [&](const documents::Quotation& quotation) {
      return quotation.start >= from && quotation.start < to;
    });
  }

  /// The sentence without its markers, every code point kept in its place.
  std::string without_markers(const documents::Sentence& sentence) const {
    std::string text;
    std::int64_t at = sentence.start;
    for (const documents::Marker& marker : markers_) {
      if (marker.end <= at || marker.start >= sentence.end) continue;
      text += documents::slice(answer_, at, std::max(at, marker.start));
      text.append(static_cast<std::size_t>(std::min(marker.end, sentence.end) - std::max(at, marker.start)), ' ');
      at = std::min(marker.end, sentence.end);
    }
    text += documents::slice(answer_, at, sentence.end);
    return text;
  }

  static bool is_blank(std::string_view text) {
    return text.find_first_not_of(" \t\n.,;*_()[]-") == std::string_view::npos;
  }

  void cite_marker(std::size_t index) {
    const documents::Marker& marker = markers_[index];
    const SourceDocument* claimed = source(marker.document);
    Citation citation;
    citation.answer_end = marker.end;
    citation.claimed_page = marker.first;
    int page = 0;
    if (claimed != nullptr) {
      page = page_of_marker(*claimed->document, marker.first);
      if (documents::is_line_based(claimed->document->kind)) citation.claimed_page = page;
    }
    std::string sentence;
    for (const documents::Sentence& candidate : sentences_) {
      if (candidate.start > marker.start) break;
      std::string text = without_markers(candidate);
      if (!is_blank(text)) sentence = std::move(text);
    }
    Judgement judgement = check_.judge(sentence, question_, {marker.document - 1, page});
    if (judgement.verdict == Verdict::supported &&
        static_cast<std::size_t>(judgement.place.document) < sources_.size()) {
      if (std::optional<Citation> found = cite_place(judgement.place)) {
        const bool as_claimed = judgement.place.document == marker.document - 1 && judgement.place.page == page;
        found->origin = CitationOrigin::model;
        found->answer_end = citation.answer_end;
        found->claimed_page = citation.claimed_page;
        found->status = as_claimed ? CitationStatus::verified : CitationStatus::elsewhere;
        citation = std::move(*found);
      }
    }
    proof_.citations.push_back(std::move(citation));
  }

  void align(const documents::Sentence& sentence) {
    const std::string text = without_markers(sentence);
    const Judgement judgement = check_.judge(text, question_);
    if (judgement.verdict == Verdict::no_claim) return;
    if (judgement.verdict == Verdict::unsupported) {
      proof_.unsupported.push_back(
          {std::string(documents::slice(answer_, sentence.start, sentence.end)), sentence.start, sentence.end});
      return;
    }
    const bool cited = std::any_of(proof_.citations.begin(), proof_.citations.end(), [&](const Citation& citation) {
      return citation.status == CitationStatus::verified && citation.answer_end > sentence.start &&
             citation.answer_end <= sentence.end;
    });
    if (cited) return;
    if (std::optional<Citation> citation = cite_place(judgement.place)) {
      citation->answer_end = sentence.end;
      proof_.citations.push_back(std::move(*citation));
    }
  }

  /// A citation of the program's own; nothing if the quote cannot be looked up (too short to be a quote).
  std::optional<Citation> cite_place(const EvidencePlace& place) const {
    const SourceDocument* where = source(place.document + 1);
    if (where == nullptr) return std::nullopt;
    const std::optional<documents::QuoteMatch> match = where->quotes->find(place.quote, place.page);
    if (!match || match->first.page != place.page) return std::nullopt;
    Citation citation;
    citation.origin = CitationOrigin::program;
    citation.status = CitationStatus::verified;
    fill_place(citation, *where->document, place.page, place.start, place.end);
    return citation;
  }

  std::string_view answer_, question_;
  const std::vector<SourceDocument>& sources_;
  SupportCheck check_;
  std::vector<documents::Marker> markers_;
  std::vector<documents::Quotation> quotations_;
  std::vector<documents::Sentence> sentences_;
  std::vector<bool> used_;
  Proof proof_;
};

}  // namespace

Proof prove_answer(std::string_view answer, std::string_view question, const std::vector<SourceDocument>& sources,
                   const Evidence& given, const std::vector<EvidencePlace>& bearing) {
  return Prover(answer, question, sources, given).run(bearing);
}

}  // namespace lectern::app

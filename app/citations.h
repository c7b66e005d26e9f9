// The proof of an answer: its markers and quotes looked up in the documents, each sentence aligned with the text that
// was given, and the passages that bear on the question best.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/evidence.h"
#include "app/records.h"
#include "documents/document.h"
#include "documents/quote_match.h"

namespace lectern::app {

/// A document of the session with its folded text. Its number in markers is its place in the list, from 1.
struct SourceDocument {
  const documents::Document* document = nullptr;
  const documents::QuoteIndex* quotes = nullptr;
};

struct Proof {
  std::vector<Citation> citations;  // in the order of the answer, then those under it (answer_end = -1)
  std::vector<Unsupported> unsupported;
};

/// The passages under an answer, at most.
inline constexpr std::size_t passages_under_answer = 3;

/// `given`: the text that the model was given; `bearing`: places found for the question, best first. Their `document`
/// counts from 0 in `sources`.
Proof prove_answer(std::string_view answer, std::string_view question, const std::vector<SourceDocument>& sources,
                   const Evidence& given, const std::vector<EvidencePlace>& bearing);

}  // namespace lectern::app

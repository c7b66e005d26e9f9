// What of the documents the model was given, in numbers and in one sentence.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "app/records.h"
#include "documents/document.h"
#include "documents/passages.h"

namespace lectern::app {

using CountTokens = std::function<std::int64_t(std::string_view text)>;

/// A document and the parts of it that stand in the prompt.
struct GivenDocument {
  const documents::Document* document = nullptr;
  bool whole = false;                        // all pages; `passages` is empty
  std::vector<documents::Passage> passages;  // else: each once, without overlap
  std::int64_t tokens = 0;                   // document_tokens() of it
};

/// Tokens of the text of all pages, each page by itself.
std::int64_t document_tokens(const documents::Document& document, const CountTokens& count);

/// A page counts as given when any of its text was given. The sums of records.h hold.
Coverage measure_coverage(const std::vector<GivenDocument>& documents, const CountTokens& count);

/// "Read 312 of 312 pages, 198,440 tokens, 0 dropped; pages 44-47 have no text (scan or empty)"
std::string coverage_sentence(const Coverage& coverage);
/// The same of a report: and how many earlier questions did not fit any more.
std::string coverage_sentence(const AnswerReport& report);

/// 198440 → "198,440"
std::string with_thousands(std::int64_t number);

}  // namespace lectern::app

// The lines under an answer, in words.
#pragma once

#include <QString>

#include "app/records.h"

namespace lectern::ui {

struct CitationCounts {
  int verified = 0, elsewhere = 0, absent = 0;
};
/// Citations that stand in the answer; those under it are passages, not claims.
CitationCounts count_citations(const std::vector<app::Citation>& citations);

/// "Read 73 of 73 pages · 47,180 tokens · nothing dropped".
QString coverage_words(const app::Coverage& coverage);
/// "47,221 tokens kept from before · 38 read for this question · first word after 0.3 s".
QString cost_words(const app::AnswerReport& report);
/// Why the answer ended where it did, if not by itself; else empty.
QString ending_words(const app::Message& answer);
/// The answer with numbers for its citations and the list of their places.
QString with_sources(const app::Message& answer);

}  // namespace lectern::ui

// The lines under an answer, in words.
#pragma once

#include <QString>
#include <vector>

#include "app/records.h"

namespace lectern::ui {

struct CitationCounts {
  int verified = 0, elsewhere = 0, absent = 0;
};
/// Citations that stand in the answer; those under it are passages, not claims.
CitationCounts count_citations(const std::vector<app::Citation>& citations);

/// "Read 73 of 73 pages · 47,180 tokens · nothing dropped".
QString coverage_words(const app::Coverage& coverage);
/// "because the model file changed": the reason that says most, or empty if there is none.
QString miss_words(const std::vector<inference::MissReason>& reasons);
/// "212,340 tokens kept (180,000 from disk), 24 read · first word after 0.3 s"; where much was read also why.
QString cost_words(const app::AnswerReport& report);
/// Why the answer ended where it did, if not by itself; else empty.
QString ending_words(const app::Message& answer);
/// The answer with numbers for its citations and the list of their places.
QString with_sources(const app::Message& answer);

}  // namespace lectern::ui

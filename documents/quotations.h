// Quotations in an answer: what a model put between quotation marks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lectern::documents {

/// A quotation in a text.
struct Quotation {
  std::int64_t start = 0, end = 0;  // code points of the answer, with the quotation marks
  std::string text;                 // without them
};

/// “…”, "…", „…“, «…», 「…」, 『…』 and Markdown block quotes ("> …"), in order, not nested, none in fenced code; those
/// too short to be a quote (shortest_quote) are left out.
std::vector<Quotation> extract_quotes(std::string_view answer);

}  // namespace lectern::documents

// Markers of places in documents: "[1:31]" is page 31 of document 1, "[2:10-57]" lines 10 to 57 of document 2.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "documents/document.h"

namespace lectern::documents {

/// "[1:31]", or for documents with lines "[2:10-57]" ("[2:10]" if it is one line).
std::string page_marker(int document, int page);
std::string line_marker(int document, int first, int last);
/// The marker of a whole page of the document.
std::string marker_of(const Document& document, int number, const Page& page);

/// First and last line of code points start to end of a page of text or code; {0, 0} for a page without lines.
std::pair<int, int> lines_of(const Page& page, std::int64_t start, std::int64_t end);

/// A marker as a model wrote it.
struct Marker {
  std::int64_t start = 0, end = 0;  // code points of the answer
  int document = 0;                 // 0: not said ("p. 31")
  int first = 0, last = 0;          // pages or lines, by the kind of the document
  std::string text;
};

/// All markers in order: "[1:31]", "[1: 31-32]", "[1:3, 1:7]" (two), "[document 1, page 31]", "(page 31)", "(p. 31)",
/// "(pp. 3-5)",
/// "[2, lines 10-20]", "【1:31】". Numbers beyond a million are no markers.
std::vector<Marker> parse_markers(std::string_view answer);

}  // namespace lectern::documents

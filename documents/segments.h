// The text of a document as a model reads it: byte-stable, with a marker before each page or block of lines.
#pragma once

#include <string>
#include <vector>

#include "documents/document.h"
#include "documents/passages.h"

namespace lectern::documents {

/// Depends on the document's name, pages and number alone:
///   Document 1: agreement.pdf (12 pages)
///
///   [1:1]
///   text of the page
///
///   [1:2]
///   ...
/// Text and code have a marker every few dozen lines ("[2:10-57]"). Pages without text are left out.
std::string document_segment_text(const Document& document, int number);

/// The same form for chosen passages only (when not everything fits); the header says how many of the pages they touch.
/// They are sorted, and those that touch or overlap are joined.
std::string passages_segment_text(const Document& document, int number, std::vector<Passage> passages);

/// Whole pages as passages, for the function above.
std::vector<Passage> whole_pages(const Document& document, const std::vector<int>& pages);

}  // namespace lectern::documents

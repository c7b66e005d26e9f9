// Pages cut into passages of about 3,000 characters, for the full-text index and for finding support.
#pragma once

#include <cstdint>
#include <vector>

#include "documents/document.h"

namespace lectern::documents {

struct Passage {
  int page = 0;                     // from 1
  std::int64_t start = 0, end = 0;  // code points of the page's text
};

/// The passages of a page in order; together they hold all its characters but white space. Cut at paragraphs, else at
/// lines or sentences, else at spaces. None exceeds 1.5 times `target`; a page without text has none.
std::vector<Passage> split_passages(const Page& page, std::int64_t target = 3000);

}  // namespace lectern::documents

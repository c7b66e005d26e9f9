// Sentences of a text, with their offsets.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace lectern::documents {

struct Sentence {
  std::int64_t start = 0, end = 0;  // code points, without white space at either end
};

/// In order. A line break inside a paragraph does not end a sentence; an empty line, a bullet or a numbered item on a
/// new line does. Abbreviations ("No.", "Inc.", "e.g.", "J. Smith"), decimals and "Section 3.1" end none; "。！？" do.
std::vector<Sentence> split_sentences(std::string_view text);

}  // namespace lectern::documents

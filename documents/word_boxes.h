// Gives the words of a page's text their boxes. The text comes in one order (poppler's raw order) and the boxes in
// another, so the two are aligned by their characters.
#pragma once

#include <string_view>
#include <vector>

#include "documents/document.h"

namespace lectern::documents {

/// A character that stands on the page and where; white space is left out.
struct PlacedCharacter {
  char32_t character = 0;
  Box box;
};

/// The words of `text` (of CJK text the characters), in order, with the union of their characters' boxes. Words that
/// the placed characters do not have are left out.
std::vector<Word> align_words(std::string_view text, const std::vector<PlacedCharacter>& placed);

}  // namespace lectern::documents

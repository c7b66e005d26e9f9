// The words of a page and their boxes as a compact run of bytes: about ten bytes a word.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "documents/document.h"

namespace lectern::app {

/// Boxes are kept to a hundredth of a point.
std::string pack_words(const std::vector<documents::Word>& words);
/// Throws std::invalid_argument if the bytes are not what pack_words wrote.
std::vector<documents::Word> unpack_words(std::string_view bytes);

}  // namespace lectern::app

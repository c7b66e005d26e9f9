// Folding: what two spellings of one text have in common, with a way back to the original offsets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lectern::documents {

enum class FoldCase { keep, lower };
enum class FoldSpace {
  collapse,  // a run of white space becomes one space; none beside Chinese and Japanese characters
  drop,      // no white space and no dashes are left: `joint` remembers the dashes
};

struct FoldOptions {
  FoldCase letters = FoldCase::lower;
  FoldSpace space = FoldSpace::collapse;
};

/// What stood before a folded character and was dropped (FoldSpace::drop).
enum class Joint : std::uint8_t {
  none,
  dash,           // a hyphen or dash
  line_end_dash,  // a hyphen at a line's end: part of the word or not, the text does not say
};

struct FoldedCharacter {
  std::uint32_t start = 0;   // code point of the original
  std::uint16_t length = 1;  // code points of the original that it came from
  Joint joint = Joint::none;
};

struct FoldedText {
  std::string text;                         // UTF-8
  std::vector<FoldedCharacter> characters;  // one per code point of `text`
};

/// NFKC (ligatures, width), soft hyphens and zero-width characters dropped, words hyphenated at a line's end joined,
/// all quotation marks ' and all dashes -, white space as the options say. Texts beyond 4 GB are not supported.
FoldedText fold_with_map(std::string_view text, FoldOptions options = {});
std::string fold(std::string_view text, FoldOptions options = {});

}  // namespace lectern::documents

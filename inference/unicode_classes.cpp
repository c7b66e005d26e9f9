// Our own table rather than a Unicode library's: ids of a text must not depend on the version of Unicode that the
// machine's library happens to know. The table is Unicode 16, as in the reference (`tokenizers` 0.23).
#include "inference/unicode_classes.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace lectern::inference {

namespace {

constexpr auto l = CharacterClass::letter;
constexpr auto m = CharacterClass::mark;
constexpr auto n = CharacterClass::number;

struct Range {
  char32_t first, last;
  CharacterClass kind;
};

constexpr Range ranges[] = {
#include "inference/unicode_classes_table.inc"
};

constexpr bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

constexpr CharacterClass look_up(char32_t code_point) {
  if (is_white_space(code_point)) return CharacterClass::space;
  const auto* after = std::upper_bound(std::begin(ranges), std::end(ranges), code_point,
                                       [](char32_t value, const Range& range) { return value < range.first; });
  if (after == std::begin(ranges) || code_point > (after - 1)->last) return CharacterClass::other;
  return (after - 1)->kind;
}

// Latin, Greek, Cyrillic and their like without a search.
constexpr auto common = [] {
  std::array<CharacterClass, 0x600> classes{};
  for (char32_t c = 0; c < classes.size(); ++c) classes[c] = look_up(c);
  return classes;
}();

}  // namespace

CharacterClass character_class(char32_t code_point) {
  if (code_point < common.size()) return common[code_point];
  if (code_point >= 0x4E00 && code_point <= 0x9FFF) return CharacterClass::letter;  // CJK
  return look_up(code_point);
}

}  // namespace lectern::inference

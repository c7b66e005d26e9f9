// What kind of character a code point is, as the tokenizers' regular expressions see it.
#pragma once

#include <cstdint>

namespace lectern::inference {

enum class CharacterClass : std::uint8_t {
  other,
  letter,  // \p{L}
  mark,    // \p{M}
  number,  // \p{N}
  space,   // \s, Unicode White_Space
};

CharacterClass character_class(char32_t code_point);

}  // namespace lectern::inference

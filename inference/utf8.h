// Code points in UTF-8 text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lectern::inference {

struct CodePoint {
  char32_t value = 0xFFFD;  // U+FFFD when the bytes are invalid
  int size = 1;  // bytes it takes; of invalid bytes the longest beginning of a character (Unicode 3.9, table 3-8)
  bool valid = false;
  bool cut_short = false;  // not valid, but only because the text ends here
};

/// The code point at byte `at`, which lies inside `text`.
CodePoint code_point_at(std::string_view text, std::int64_t at);

void append_utf8(std::string& text, char32_t code_point);

bool is_valid_utf8(std::string_view bytes);

/// `bytes` with every invalid sequence replaced by U+FFFD, as Python's errors="replace" does.
std::string to_valid_utf8(std::string_view bytes);

}  // namespace lectern::inference

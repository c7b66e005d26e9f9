// Offsets in code points of UTF-8 text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lectern::documents {

/// Number of code points (valid UTF-8).
std::int64_t code_points(std::string_view text);
/// The bytes before code point `offset`; the size of the text if it is beyond the end.
std::int64_t byte_offset(std::string_view text, std::int64_t offset);
/// Code points start to end (exclusive), cut at the text's end.
std::string_view slice(std::string_view text, std::int64_t start, std::int64_t end);
bool is_valid_utf8(std::string_view text);
/// Bad bytes become U+FFFD; `replaced` counts them.
std::string repair_utf8(std::string_view text, std::int64_t& replaced);
/// The code points of valid UTF-8.
std::vector<char32_t> decode_utf8(std::string_view text);
void append_utf8(std::string& text, char32_t code_point);

/// White space of any script, line breaks included.
bool is_space(char32_t c);
/// Han, kana and their punctuation: scripts written without spaces.
bool is_cjk(char32_t c);
/// Letters and digits of any script.
bool is_word_character(char32_t c);

}  // namespace lectern::documents

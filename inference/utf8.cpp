#include "inference/utf8.h"

namespace lectern::inference {

namespace {
constexpr std::string_view replacement = "\xEF\xBF\xBD";
}

CodePoint code_point_at(std::string_view text, std::int64_t at) {
  const auto position = static_cast<std::size_t>(at);
  const auto byte = [&](std::size_t offset) { return static_cast<unsigned char>(text[position + offset]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1, true, false};
  if (first < 0xC2 || first > 0xF4) return {};
  const std::size_t size = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  char32_t value = first & (size == 2 ? 0x1FU : size == 3 ? 0x0FU : 0x07U);
  for (std::size_t i = 1; i < size; ++i) {
    if (position + i >= text.size()) return {0xFFFD, static_cast<int>(i), false, true};
    const unsigned char next = byte(i);
    unsigned char lowest = 0x80, highest = 0xBF;
    if (i == 1) {  // no overlong forms, no surrogates, nothing above U+10FFFF
      if (first == 0xE0) lowest = 0xA0;
      if (first == 0xED) highest = 0x9F;
      if (first == 0xF0) lowest = 0x90;
      if (first == 0xF4) highest = 0x8F;
    }
    if (next < lowest || next > highest) return {0xFFFD, static_cast<int>(i), false, false};
    value = (value << 6) | (next & 0x3FU);
  }
  return {value, static_cast<int>(size), true, false};
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

bool is_valid_utf8(std::string_view bytes) {
  const auto size = static_cast<std::int64_t>(bytes.size());
  for (std::int64_t at = 0; at < size;) {
    if (static_cast<unsigned char>(bytes[static_cast<std::size_t>(at)]) < 0x80) {
      ++at;
      continue;
    }
    const CodePoint point = code_point_at(bytes, at);
    if (!point.valid) return false;
    at += point.size;
  }
  return true;
}

std::string to_valid_utf8(std::string_view bytes) {
  if (is_valid_utf8(bytes)) return std::string(bytes);
  std::string text;
  text.reserve(bytes.size() + 16);
  const auto size = static_cast<std::int64_t>(bytes.size());
  for (std::int64_t at = 0; at < size;) {
    const CodePoint point = code_point_at(bytes, at);
    if (point.valid)
      text.append(bytes, static_cast<std::size_t>(at), static_cast<std::size_t>(point.size));
    else
      text.append(replacement);
    at += point.size;
  }
  return text;
}

}  // namespace lectern::inference

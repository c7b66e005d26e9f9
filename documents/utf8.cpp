// UTF-8 by utf8proc; counting and slicing by hand, since they run over every text.
#include "documents/utf8.h"

#include <utf8proc.h>

#include <algorithm>

namespace lectern::documents {
namespace {

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

}  // namespace

std::int64_t code_points(std::string_view text) {
  return static_cast<std::int64_t>(text.size()) - std::count_if(text.begin(), text.end(), is_continuation);
}

std::int64_t byte_offset(std::string_view text, std::int64_t offset) {
  std::int64_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_continuation(text[i])) continue;
    if (seen == offset) return static_cast<std::int64_t>(i);
    ++seen;
  }
  return static_cast<std::int64_t>(text.size());
}

std::string_view slice(std::string_view text, std::int64_t start, std::int64_t end) {
  if (end <= start) return {};
  const auto first = static_cast<std::size_t>(byte_offset(text, std::max<std::int64_t>(start, 0)));
  const std::string_view rest = text.substr(first);
  return rest.substr(0, static_cast<std::size_t>(byte_offset(rest, end - std::max<std::int64_t>(start, 0))));
}

bool is_valid_utf8(std::string_view text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    if (*bytes < 0x80U) {
      ++bytes;
      --left;
      continue;
    }
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t length = utf8proc_iterate(bytes, left, &c);
    if (length <= 0) return false;
    bytes += length;
    left -= length;
  }
  return true;
}

std::string repair_utf8(std::string_view text, std::int64_t& replaced) {
  std::string out;
  out.reserve(text.size());
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t c = 0;
    utf8proc_ssize_t length = utf8proc_iterate(bytes, left, &c);
    if (length > 0) {
      out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
    } else {
      out += "\xEF\xBF\xBD";
      ++replaced;
      length = 1;
    }
    bytes += length;
    left -= length;
  }
  return out;
}

std::vector<char32_t> decode_utf8(std::string_view text) {
  std::vector<char32_t> out;
  out.reserve(text.size());
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t c = 0;
    utf8proc_ssize_t length = utf8proc_iterate(bytes, left, &c);
    if (length <= 0) {  // not valid after all: keep the offsets of code_points()
      c = 0xFFFD;
      length = 1;
      while (length < left && is_continuation(static_cast<char>(bytes[length]))) ++length;
    }
    out.push_back(static_cast<char32_t>(c));
    bytes += length;
    left -= length;
  }
  return out;
}

void append_utf8(std::string& text, char32_t code_point) {
  utf8proc_uint8_t buffer[4];
  const utf8proc_ssize_t length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), buffer);
  text.append(reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(length));
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP ||
         c == 0x85;
}

bool is_cjk(char32_t c) {
  return (c >= 0x2E80 && c <= 0x30FF) || (c >= 0x3105 && c <= 0x312F) || (c >= 0x31A0 && c <= 0x9FFF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE4F) || (c >= 0xFF01 && c <= 0xFF9F) ||
         (c >= 0x20000 && c <= 0x3FFFF);
}

bool is_word_character(char32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
  }
}

}  // namespace lectern::documents

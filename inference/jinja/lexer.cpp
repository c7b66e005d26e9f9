// White space around a tag, as transformers sets jinja2 up:
//   lstrip_blocks   white space between the start of a line and a block or comment tag goes; {%+ keeps it
//   trim_blocks     the line break directly after a block or comment tag goes; +%} keeps it
//   {%- and -%}     all white space on that side goes, line breaks included
#include "inference/jinja/lexer.h"

#include <algorithm>
#include <cstdint>

#include "inference/jinja/failure.h"
#include "inference/unicode_classes.h"
#include "inference/utf8.h"

namespace lectern::inference::jinja {

namespace {

using Kind = Token::Kind;

/// Line breaks as \n, and without the last one.
std::string normalised(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text += source[i];
    }
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

bool is_space(char32_t c) {
  return character_class(c) == CharacterClass::space || (c >= 0x1C && c <= 0x1F);
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

/// Bytes of white space at the end of `text`.
std::size_t space_at_end(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t begin = end - 1;
    while (begin > 0 && (text[begin] & 0xC0) == 0x80) --begin;
    if (!is_space(code_point_at(text, static_cast<std::int64_t>(begin)).value)) break;
    end = begin;
  }
  return text.size() - end;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  std::vector<Token> run() {
    while (position_ < source_.size()) {
      const std::size_t tag = find_tag(position_);
      if (tag == std::string::npos) {
        add_text(source_.substr(position_));
        break;
      }
      read_tag(tag);
    }
    add(Kind::end, {});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Failure(Failure::Kind::syntax, "line " + std::to_string(line_) + ": " + what);
  }
  bool at(std::string_view text) const { return std::string_view(source_).substr(position_).starts_with(text); }
  void add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  void add_text(std::string text) {
    if (!text.empty()) add(Kind::text, std::move(text));
  }
  void move_to(std::size_t position) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(position_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(position), '\n'));
    if (position > position_) line_starting_ = source_[position - 1] == '\n';
    position_ = position;
  }

  std::size_t find_tag(std::size_t from) const {
    for (std::size_t i = source_.find('{', from); i != std::string::npos; i = source_.find('{', i + 1))
      if (i + 1 < source_.size() && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) return i;
    return std::string::npos;
  }

  /// The text before a tag whose sign, '-', '+' or anything else, stands after it.
  std::string text_before(std::string text, char sign, bool is_variable) const {
    if (sign == '-') {
      text.resize(text.size() - space_at_end(text));
    } else if (sign != '+' && !is_variable) {
      const std::size_t line_break = text.rfind('\n');
      const std::size_t line = line_break == std::string::npos ? 0 : line_break + 1;
      if ((line > 0 || line_starting_) && space_at_end(std::string_view(text).substr(line)) == text.size() - line)
        text.resize(line);
    }
    return text;
  }

  void skip_space() {
    std::size_t position = position_;
    while (position < source_.size()) {
      const CodePoint point = code_point_at(source_, static_cast<std::int64_t>(position));
      if (!is_space(point.value)) break;
      position += static_cast<std::size_t>(point.size);
    }
    move_to(position);
  }

  /// After the end of a tag that carried `sign` before it.
  void after_tag(char sign, bool trims_line_break) {
    if (sign == '-')
      skip_space();
    else if (sign != '+' && trims_line_break && at("\n"))
      move_to(position_ + 1);
  }

  void read_tag(std::size_t tag) {
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const bool is_variable = kind == '{';
    add_text(text_before(source_.substr(position_, tag - position_), sign, is_variable));
    move_to(tag + 2);
    if (kind == '#') return skip_comment();
    if (sign == '-' || sign == '+') move_to(position_ + 1);
    if (kind == '%' && read_raw()) return;
    add(is_variable ? Kind::variable_begin : Kind::block_begin, {});
    read_tokens(is_variable);
  }

  void skip_comment() {
    const std::size_t end = source_.find("#}", position_);
    if (end == std::string::npos) fail("a comment is not closed");
    const char sign = end > position_ ? source_[end - 1] : '\0';
    move_to(end + 2);
    after_tag(sign, true);
  }

  /// {% raw %} text {% endraw %}; false, and nothing read, for any other tag.
  bool read_raw() {
    const std::size_t begin = position_;
    const int line = line_;
    const auto give_up = [&] {
      position_ = begin;
      line_ = line;
      return false;
    };
    skip_space();
    if (!at("raw")) return give_up();
    move_to(position_ + 3);
    skip_space();
    const bool strips = at("-%}");
    if (!strips && !at("%}")) return give_up();
    move_to(position_ + (strips ? 3U : 2U));
    if (strips) skip_space();
    for (std::size_t tag = source_.find("{%", position_); tag != std::string::npos; tag = source_.find("{%", tag + 2)) {
      std::size_t next = tag + 2;
      const char sign = next < source_.size() ? source_[next] : '\0';
      if (sign == '-' || sign == '+') ++next;
      while (next < source_.size() && is_space(static_cast<unsigned char>(source_[next]))) ++next;
      if (source_.compare(next, 6, "endraw") != 0) continue;
      next += 6;
      while (next < source_.size() && is_space(static_cast<unsigned char>(source_[next]))) ++next;
      char end_sign = '\0';
      if (next < source_.size() && (source_[next] == '-' || source_[next] == '+')) end_sign = source_[next++];
      if (source_.compare(next, 2, "%}") != 0) continue;
      add_text(text_before(source_.substr(position_, tag - position_), sign, false));
      move_to(next + 2);
      after_tag(end_sign, true);
      return true;
    }
    fail("a raw block is not closed");
  }

  void read_tokens(bool is_variable) {
    const std::string_view end = is_variable ? "}}" : "%}";
    std::string open;  // brackets
    while (true) {
      skip_space();
      if (position_ >= source_.size()) fail("a tag is not closed");
      if (open.empty()) {
        const char sign = at("-") ? '-' : at("+") && !is_variable ? '+' : '\0';
        if (std::string_view(source_).substr(position_ + (sign != '\0' ? 1 : 0)).starts_with(end)) {
          add(is_variable ? Kind::variable_end : Kind::block_end, {});
          move_to(position_ + end.size() + (sign != '\0' ? 1 : 0));
          return after_tag(sign, !is_variable);
        }
      }
      const char c = source_[position_];
      if (is_digit(c))
        read_number();
      else if (is_name_start(c))
        read_name();
      else if (c == '"' || c == '\'')
        read_string(c);
      else
        read_symbol(open);
    }
  }

  void read_name() {
    std::size_t end = position_;
    while (end < source_.size() && (is_name_start(source_[end]) || is_digit(source_[end]))) ++end;
    add(Kind::name, source_.substr(position_, end - position_));
    move_to(end);
  }

  void read_number() {
    std::size_t end = position_;
    const auto digits = [&] {
      while (end < source_.size() && (is_digit(source_[end]) ||
                                      (source_[end] == '_' && end + 1 < source_.size() && is_digit(source_[end + 1]))))
        ++end;
    };
    const auto digit_at = [&](std::size_t i) { return i < source_.size() && is_digit(source_[i]); };
    digits();
    bool is_real = false;
    const bool after_dot = !tokens_.empty() && tokens_.back().is_symbol(".");  // a.0.1 are two subscripts
    if (!after_dot && end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
      is_real = true;
      ++end;
      digits();
    }
    if (!after_dot && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const std::size_t sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-') ? 1 : 0;
      if (digit_at(end + 1 + sign)) {
        is_real = true;
        end += 1 + sign;
        digits();
      }
    }
    if (!is_real && end < source_.size() && is_name_start(source_[end]))
      fail("a number is written in a way that is not supported");
    std::string text = source_.substr(position_, end - position_);
    std::erase(text, '_');
    add(is_real ? Kind::real : Kind::integer, std::move(text));
    move_to(end);
  }

  void read_string(char quote) {
    std::string text;
    std::size_t i = position_ + 1;
    for (; i < source_.size() && source_[i] != quote; ++i) {
      if (source_[i] != '\\') {
        text += source_[i];
        continue;
      }
      if (++i >= source_.size()) break;
      i = unescape(i, text);
    }
    if (i >= source_.size()) fail("a string is not closed");
    add(Kind::string, std::move(text));
    move_to(i + 1);
  }

  /// The escape whose letter stands at `i`, as in a Python string; returns the place of its last byte.
  std::size_t unescape(std::size_t i, std::string& text) const {
    const char c = source_[i];
    constexpr std::string_view letters = "abfnrtv\\'\"", meanings = "\a\b\f\n\r\t\v\\'\"";
    if (const std::size_t which = letters.find(c); which != std::string_view::npos) {
      text += meanings[which];
      return i;
    }
    if (c == '\n') return i;
    const std::size_t hex_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (hex_digits > 0) {
      char32_t value = 0;
      for (std::size_t k = 1; k <= hex_digits; ++k) {
        const char digit = i + k < source_.size() ? source_[i + k] : '\0';
        const bool is_letter = (digit >= 'a' && digit <= 'f') || (digit >= 'A' && digit <= 'F');
        if (!is_digit(digit) && !is_letter) fail("a string holds an escape that is cut short");
        value = value * 16 + static_cast<char32_t>(is_digit(digit) ? digit - '0' : (digit | 0x20) - 'a' + 10);
      }
      if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) value = 0xFFFD;
      append_utf8(text, value);
      return i + hex_digits;
    }
    if (c >= '0' && c <= '7') {
      char32_t value = 0;
      std::size_t k = 0;
      for (; k < 3 && i + k < source_.size() && source_[i + k] >= '0' && source_[i + k] <= '7'; ++k)
        value = value * 8 + static_cast<char32_t>(source_[i + k] - '0');
      append_utf8(text, value);
      return i + k - 1;
    }
    text += '\\';
    text += c;
    return i;
  }

  void read_symbol(std::string& open) {
    constexpr std::string_view symbols[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                            "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto* found = std::find_if(std::begin(symbols), std::end(symbols), [&](std::string_view s) { return at(s); });
    if (found == std::end(symbols)) fail("unexpected character");
    const char c = found->front();
    if (c == '(' || c == '[' || c == '{') open += c;
    if (c == ')' || c == ']' || c == '}') {
      const char opening = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (open.empty() || open.back() != opening) fail(std::string("unexpected ") + c);
      open.pop_back();
    }
    add(Kind::symbol, std::string(*found));
    move_to(position_ + found->size());
  }

  std::string source_;
  std::size_t position_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(normalised(to_valid_utf8(source))).run();
}

}  // namespace lectern::inference::jinja

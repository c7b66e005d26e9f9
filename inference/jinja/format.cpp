// Values as text: Python's str, repr and json.dumps.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "inference/jinja/value.h"
#include "inference/unicode_classes.h"
#include "inference/utf8.h"

namespace lectern::inference::jinja {

namespace {

/// The shortest digits that read back as `number`, with an exponent where Python's repr uses one.
std::string real_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  std::array<char, 64> buffer{};
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, std::chars_format::scientific).ptr;
  std::string_view text(buffer.data(), static_cast<std::size_t>(end - buffer.data()));  // -d.ddde+XX
  std::string result;
  if (text.front() == '-') {
    result = "-";
    text.remove_prefix(1);
  }
  const std::size_t mark = text.find('e');
  int exponent = 0;
  std::string_view exponent_text = text.substr(mark + 1);
  if (exponent_text.front() == '+') exponent_text.remove_prefix(1);
  std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
  std::string digits;
  for (const char c : text.substr(0, mark))
    if (c != '.') digits += c;
  if (exponent < -4 || exponent >= 16) {
    result += digits.substr(0, 1);
    if (digits.size() > 1) result += "." + digits.substr(1);
    std::snprintf(buffer.data(), buffer.size(), "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return result + buffer.data();
  }
  if (exponent < 0) return result + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return result + digits + std::string(whole - digits.size(), '0') + ".0";
  return result + digits.substr(0, whole) + "." + digits.substr(whole);
}

class Writer {
 public:
  explicit Writer(Work& work) : work_(work) {}

  void put(std::string_view text) {
    work_.charge(static_cast<std::int64_t>(text.size()) + 1);
    text_ += text;
  }

  void repr(const Value& value) {
    work_.charge(Work::step);
    if (value.is_text()) return repr_text(value.text());
    if (value.is_list()) {
      const bool is_tuple = value.list()->is_tuple;
      put(is_tuple ? "(" : "[");
      for (std::size_t i = 0; i < value.items().size(); ++i) {
        if (i > 0) put(", ");
        repr(value.items()[i]);
      }
      if (is_tuple && value.items().size() == 1) put(",");
      return put(is_tuple ? ")" : "]");
    }
    if (value.is_dict()) {
      put("{");
      bool first = true;
      for (const auto& [key, item] : value.dict().items) {
        if (!first) put(", ");
        first = false;
        repr_text(key);
        put(": ");
        repr(item);
      }
      return put("}");
    }
    if (value.is_undefined()) return put("Undefined");
    plain(value);
  }

  /// Whatever is written the same way by str and repr.
  void plain(const Value& value) {
    if (value.is_none()) return put("None");
    if (value.is_bool()) return put(value.integer() != 0 ? "True" : "False");
    if (value.is_integer()) return put(std::to_string(value.integer()));
    if (value.is<double>()) return put(real_text(value.real()));
    throw Failure(Failure::Kind::broken, "a " + type_name(value) + " cannot be printed");
  }

  void json(const Value& value, const JsonStyle& style, int level) {
    work_.charge(Work::step);
    if (value.is_text()) return json_text(value.text(), style);
    if (value.is_none()) return put("null");
    if (value.is_bool()) return put(value.integer() != 0 ? "true" : "false");
    if (value.is_integer()) return put(std::to_string(value.integer()));
    if (value.is<double>()) {
      const std::string text = real_text(value.real());
      return put(text == "nan" ? "NaN" : text == "inf" ? "Infinity" : text == "-inf" ? "-Infinity" : text);
    }
    if (value.is_list()) {
      if (value.items().empty()) return put("[]");
      put("[");
      bool first = true;
      for (const Value& item : value.items()) {
        if (!first) put(style.item_separator);
        first = false;
        new_line(style, level + 1);
        json(item, style, level + 1);
      }
      new_line(style, level);
      return put("]");
    }
    if (value.is_dict()) {
      const Dict& dict = value.dict();
      if (dict.items.empty()) return put("{}");
      std::vector<std::size_t> order(dict.items.size());
      for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
      if (style.sort_keys)
        std::sort(order.begin(), order.end(),
                  [&](std::size_t a, std::size_t b) { return dict.items[a].first < dict.items[b].first; });
      put("{");
      for (std::size_t i = 0; i < order.size(); ++i) {
        if (i > 0) put(style.item_separator);
        new_line(style, level + 1);
        json_text(dict.items[order[i]].first, style);
        put(style.key_separator);
        json(dict.items[order[i]].second, style, level + 1);
      }
      new_line(style, level);
      return put("}");
    }
    throw Failure(Failure::Kind::broken, "a " + type_name(value) + " cannot be written as JSON");
  }

  std::string take() { return std::move(text_); }

 private:
  void new_line(const JsonStyle& style, int level) {
    if (!style.indented) return;
    put("\n");
    for (int i = 0; i < level; ++i) put(style.indent);
  }

  void repr_text(const std::string& text) {
    const bool has_single = text.find('\'') != std::string::npos, has_double = text.find('"') != std::string::npos;
    const char quote = has_single && !has_double ? '"' : '\'';
    std::string quoted(1, quote);
    for (std::int64_t at = 0; at < static_cast<std::int64_t>(text.size());) {
      const CodePoint point = code_point_at(text, at);
      const auto c = point.value;
      std::array<char, 16> code{};
      if (c == static_cast<char32_t>(quote) || c == '\\') {
        quoted += '\\';
        quoted += static_cast<char>(c);
      } else if (c == '\n') {
        quoted += "\\n";
      } else if (c == '\r') {
        quoted += "\\r";
      } else if (c == '\t') {
        quoted += "\\t";
      } else if (c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD) {
        std::snprintf(code.data(), code.size(), "\\x%02x", static_cast<unsigned>(c));
        quoted += code.data();
      } else if (c > 0xFF && (character_class(c) == CharacterClass::space || (c >= 0x200B && c <= 0x200F) ||
                              (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF)) {
        std::snprintf(code.data(), code.size(), "\\u%04x", static_cast<unsigned>(c));
        quoted += code.data();
      } else {
        quoted.append(text, static_cast<std::size_t>(at), static_cast<std::size_t>(point.size));
      }
      at += point.size;
    }
    quoted += quote;
    put(quoted);
  }

  void json_text(const std::string& text, const JsonStyle& style) {
    std::string quoted = "\"";
    std::array<char, 16> code{};
    const auto escape = [&](unsigned unit) {
      std::snprintf(code.data(), code.size(), "\\u%04x", unit);
      quoted += code.data();
    };
    for (std::int64_t at = 0; at < static_cast<std::int64_t>(text.size());) {
      const CodePoint point = code_point_at(text, at);
      const auto c = static_cast<unsigned>(point.value);
      switch (c) {
        case '"': quoted += "\\\""; break;
        case '\\': quoted += "\\\\"; break;
        case '\n': quoted += "\\n"; break;
        case '\r': quoted += "\\r"; break;
        case '\t': quoted += "\\t"; break;
        case '\b': quoted += "\\b"; break;
        case '\f': quoted += "\\f"; break;
        default:
          if (c < 0x20 || (style.ensure_ascii && c > 0x7F && c < 0x10000)) {
            escape(c);
          } else if (style.ensure_ascii && c >= 0x10000) {
            escape(0xD800 + ((c - 0x10000) >> 10));
            escape(0xDC00 + ((c - 0x10000) & 0x3FF));
          } else {
            quoted.append(text, static_cast<std::size_t>(at), static_cast<std::size_t>(point.size));
          }
      }
      at += point.size;
    }
    put(quoted + "\"");
  }

  Work& work_;
  std::string text_;
};

}  // namespace

std::string to_text(const Value& value, Work& work) {
  if (value.is_undefined()) return {};
  if (value.is_text()) {
    work.charge(static_cast<std::int64_t>(value.text().size()));
    return value.text();
  }
  return to_repr(value, work);
}

std::string to_repr(const Value& value, Work& work) {
  Writer writer(work);
  writer.repr(value);
  return writer.take();
}

std::string to_json(const Value& value, const JsonStyle& style, Work& work) {
  Writer writer(work);
  writer.json(value, style, 0);
  return writer.take();
}

}  // namespace lectern::inference::jinja

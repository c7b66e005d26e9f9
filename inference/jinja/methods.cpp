// Methods that would change a list or dictionary (append, update, pop) exist in Python, but the sandbox of transformers
// refuses to call them, and so does this.
#include "inference/jinja/methods.h"

#include <utf8proc.h>

#include <algorithm>
#include <limits>

#include "inference/jinja/evaluate.h"
#include "inference/unicode_classes.h"
#include "inference/utf8.h"

namespace lectern::inference::jinja {

namespace {

[[noreturn]] void broken(const std::string& what) {
  throw Failure(Failure::Kind::broken, what);
}

bool is_space(char32_t c) {
  return character_class(c) == CharacterClass::space || (c >= 0x1C && c <= 0x1F);
}

template <typename Change>
std::string mapped(const std::string& text, Change change) {
  std::string result;
  result.reserve(text.size());
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(text.size());) {
    const CodePoint point = code_point_at(text, at);
    append_utf8(result, static_cast<char32_t>(change(static_cast<utf8proc_int32_t>(point.value))));
    at += point.size;
  }
  return result;
}

const std::string& text_argument(const Arguments& arguments, std::size_t position, std::string_view name) {
  const Value* value = arguments.find(position, name);
  if (value == nullptr || !value->is_text()) broken("the argument " + std::string(name) + " must be text");
  return value->text();
}

std::int64_t integer_argument(const Arguments& arguments, std::size_t position, std::string_view name,
                              std::int64_t otherwise) {
  const Value* value = arguments.find(position, name);
  if (value == nullptr) return otherwise;
  if (!value->is_integer() && !value->is_bool())
    broken("the argument " + std::string(name) + " must be a whole number");
  return value->integer();
}

std::optional<std::string> optional_text(const Arguments& arguments, std::size_t position, std::string_view name) {
  const Value* value = arguments.find(position, name);
  if (value == nullptr || value->is_none()) return std::nullopt;
  return text_argument(arguments, position, name);
}

/// For startswith and endswith: text, or a tuple of texts of which any will do.
template <typename Matches>
bool any_of_texts(const Arguments& arguments, Work& work, Matches matches) {
  const Value* value = arguments.find(0, "prefix");
  if (value != nullptr && value->is_list())
    return std::any_of(value->items().begin(), value->items().end(), [&](const Value& item) {
      work.charge(Work::step);
      return item.is_text() && matches(item.text());
    });
  return matches(text_argument(arguments, 0, "prefix"));
}

Value split_at_space(const std::string& text, std::int64_t most, bool from_right, Work& work) {
  std::vector<std::pair<std::size_t, std::size_t>> words;  // begin and end
  bool inside = false;
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(text.size());) {
    const CodePoint point = code_point_at(text, at);
    if (is_space(point.value)) {
      if (inside) words.back().second = static_cast<std::size_t>(at);
      inside = false;
    } else if (!inside) {
      words.emplace_back(static_cast<std::size_t>(at), text.size());
      inside = true;
    }
    at += point.size;
  }
  work.charge(static_cast<std::int64_t>(words.size()) * 64);
  if (most >= 0 && static_cast<std::int64_t>(words.size()) > most + 1) {
    const auto extra = static_cast<std::ptrdiff_t>(static_cast<std::int64_t>(words.size()) - most - 1);
    if (from_right) {
      words[static_cast<std::size_t>(extra)].first = 0;
      words.erase(words.begin(), words.begin() + extra);
    } else {  // the last part is all the rest
      words.resize(static_cast<std::size_t>(most) + 1);
      words.back().second = text.size();
    }
  }
  std::vector<Value> parts;
  for (const auto& [begin, end] : words) parts.emplace_back(text.substr(begin, end - begin));
  return Value::list(std::move(parts));
}

Value split(const std::string& text, const Arguments& arguments, bool from_right, Work& work) {
  const std::optional<std::string> separator = optional_text(arguments, 0, "sep");
  const std::int64_t most = integer_argument(arguments, 1, "maxsplit", -1);
  work.charge(static_cast<std::int64_t>(text.size()));
  if (!separator) return split_at_space(text, most, from_right, work);
  if (separator->empty()) broken("an empty separator");
  charge_search(text, *separator, work);
  std::vector<Value> parts;
  if (from_right) {
    std::size_t end = text.size();
    while (most < 0 || static_cast<std::int64_t>(parts.size()) < most) {
      const std::size_t found =
          end < separator->size() ? std::string::npos : text.rfind(*separator, end - separator->size());
      if (found == std::string::npos) break;
      work.charge(Work::step);
      parts.emplace_back(text.substr(found + separator->size(), end - found - separator->size()));
      end = found;
    }
    parts.emplace_back(text.substr(0, end));
    std::reverse(parts.begin(), parts.end());
  } else {
    std::size_t begin = 0;
    while (most < 0 || static_cast<std::int64_t>(parts.size()) < most) {
      const std::size_t found = text.find(*separator, begin);
      if (found == std::string::npos) break;
      work.charge(Work::step);
      parts.emplace_back(text.substr(begin, found - begin));
      begin = found + separator->size();
    }
    parts.emplace_back(text.substr(begin));
  }
  return Value::list(std::move(parts));
}

std::int64_t occurrences(const std::string& text, const std::string& part, Work& work) {
  if (part.empty()) return length(Value(text), work) + 1;
  std::int64_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

/// Every character is of one kind, and there is one.
template <typename Test>
bool all_characters(const std::string& text, Test test) {
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(text.size());) {
    const CodePoint point = code_point_at(text, at);
    if (!test(point.value)) return false;
    at += point.size;
  }
  return !text.empty();
}

Value join(const std::string& separator, const Value& values, Work& work) {
  std::string text;
  const Value list = list_of(values, work);
  for (std::size_t i = 0; i < list.items().size(); ++i) {
    const Value& item = list.items()[i];
    if (!item.is_text()) broken("join needs text, not " + type_name(item));
    work.charge(static_cast<std::int64_t>(item.text().size() + separator.size()) + 1);
    if (i > 0) text += separator;
    text += item.text();
  }
  return Value(std::move(text));
}

constexpr std::string_view text_methods[] = {
    "capitalize", "count",        "endswith",     "find",    "index",   "isalnum", "isalpha",
    "isdigit",    "isnumeric",    "islower",      "isspace", "isupper", "join",    "lower",
    "lstrip",     "removeprefix", "removesuffix", "replace", "rfind",   "rsplit",  "rstrip",
    "split",      "splitlines",   "startswith",   "strip",   "title",   "upper"};
constexpr std::string_view dict_methods[] = {"copy",     "get", "items",   "keys",       "values", "clear",
                                             "fromkeys", "pop", "popitem", "setdefault", "update"};
constexpr std::string_view list_methods[] = {"copy",   "count", "index",  "append",  "clear", "extend",
                                             "insert", "pop",   "remove", "reverse", "sort"};

Value call_text(const std::string& name, const std::string& text, const Arguments& arguments, Work& work) {
  work.charge(static_cast<std::int64_t>(text.size()));
  if (name == "strip") return stripped(text, optional_text(arguments, 0, "chars"), Side::both, work);
  if (name == "lstrip") return stripped(text, optional_text(arguments, 0, "chars"), Side::left, work);
  if (name == "rstrip") return stripped(text, optional_text(arguments, 0, "chars"), Side::right, work);
  if (name == "split" || name == "rsplit") return split(text, arguments, name == "rsplit", work);
  if (name == "startswith")
    return any_of_texts(arguments, work, [&](const std::string& part) { return text.starts_with(part); });
  if (name == "endswith")
    return any_of_texts(arguments, work, [&](const std::string& part) { return text.ends_with(part); });
  if (name == "replace")
    return replaced(text, text_argument(arguments, 0, "old"), text_argument(arguments, 1, "new"),
                    integer_argument(arguments, 2, "count", -1), work);
  if (name == "upper") return upper(text);
  if (name == "lower") return lower(text);
  if (name == "title") return titled(text);
  if (name == "capitalize") return capitalized(text);
  if (name == "join") {
    const Value* values = arguments.find(0, "iterable");
    if (values == nullptr) broken("join needs a list");
    return join(text, *values, work);
  }
  if (name == "removeprefix") {
    const std::string& part = text_argument(arguments, 0, "prefix");
    return Value(text.starts_with(part) ? text.substr(part.size()) : text);
  }
  if (name == "removesuffix") {
    const std::string& part = text_argument(arguments, 0, "suffix");
    return Value(text.ends_with(part) ? text.substr(0, text.size() - part.size()) : text);
  }
  if (name == "find" || name == "rfind" || name == "index" || name == "count") {
    const std::string& part = text_argument(arguments, 0, "sub");
    if (arguments.positional.size() > 1) broken(name + " with a range is not supported");
    charge_search(text, part, work);
    if (name == "count") return occurrences(text, part, work);
    const std::size_t found = name == "rfind" ? text.rfind(part) : text.find(part);
    if (found == std::string::npos && name == "index") broken("the text looked for is not there");
    return found == std::string::npos ? std::int64_t{-1} : length(Value(text.substr(0, found)), work);
  }
  if (name == "splitlines") {
    const Value* keep = arguments.find(0, "keepends");
    std::vector<Value> lines;
    for (std::string& line : lines_of(text, keep != nullptr && is_true(*keep))) lines.emplace_back(std::move(line));
    work.charge(static_cast<std::int64_t>(lines.size()) * 64);
    return Value::list(std::move(lines));
  }
  const auto is_letter = [](char32_t c) { return character_class(c) == CharacterClass::letter; };
  const auto is_number = [](char32_t c) { return character_class(c) == CharacterClass::number; };
  const auto is_digit = [](char32_t c) {
    return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND;
  };
  if (name == "isspace") return all_characters(text, is_space);
  if (name == "isalpha") return all_characters(text, is_letter);
  if (name == "isdigit") return all_characters(text, is_digit);
  if (name == "isnumeric") return all_characters(text, is_number);
  if (name == "isalnum") return all_characters(text, [&](char32_t c) { return is_letter(c) || is_number(c); });
  if (name == "isupper") return text == upper(text) && text != lower(text);
  return text == lower(text) && text != upper(text);  // islower
}

Value call_dict(const std::string& name, const Value& self, const Arguments& arguments, Work& work) {
  const Dict& dict = self.dict();
  if (name == "get") {
    const Value* key = arguments.find(0, "key");
    const Value* otherwise = arguments.find(1, "default");
    const Value* entry = key != nullptr && key->is_text() ? dict.find(key->text()) : nullptr;
    return entry != nullptr ? *entry : otherwise != nullptr ? *otherwise : Value(None{});
  }
  if (name == "copy") return self;
  if (name != "items" && name != "keys" && name != "values") broken("a template may not call " + name);
  work.charge(static_cast<std::int64_t>(dict.items.size()) * 128);
  std::vector<Value> result;
  for (const auto& [key, value] : dict.items) {
    if (name == "items")
      result.push_back(Value::tuple({Value(key), value}));
    else if (name == "keys")
      result.emplace_back(key);
    else
      result.push_back(value);
  }
  return Value::list(std::move(result));
}

Value call_list(const std::string& name, const Value& self, const Arguments& arguments, Work& work) {
  if (name == "copy") return self;
  if (name != "index" && name != "count") broken("a template may not call " + name);
  const Value* item = arguments.find(0, "value");
  if (item == nullptr) broken(name + " needs a value");
  std::int64_t count = 0;
  for (std::size_t i = 0; i < self.items().size(); ++i) {
    if (!equals(self.items()[i], *item, work)) continue;
    if (name == "index") return static_cast<std::int64_t>(i);
    ++count;
  }
  if (name == "index") broken("the value looked for is not in the list");
  return count;
}

template <std::size_t N>
bool is_one_of(const std::string_view (&names)[N], const std::string& name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace

std::optional<Value> method_of(const Value& value, const std::string& name) {
  const auto bound = [&](auto call) {
    auto callable = std::make_shared<Callable>();
    callable->name = name;
    callable->depth = value.depth();
    callable->call = [value, name, call](Evaluator& evaluator, Arguments& arguments) {
      return call(name, value, arguments, evaluator.work());
    };
    return Value(std::shared_ptr<const Callable>(std::move(callable)));
  };
  if (value.is_text() && is_one_of(text_methods, name))
    return bound([](const std::string& method, const Value& self, const Arguments& arguments, Work& work) {
      return call_text(method, self.text(), arguments, work);
    });
  if (value.is_dict() && is_one_of(dict_methods, name)) return bound(call_dict);
  if (value.is_list() && is_one_of(list_methods, name)) return bound(call_list);
  return std::nullopt;
}

Value loop_attribute(const std::shared_ptr<Loop>& loop, const std::string& name, Work& work) {
  const auto index = static_cast<std::int64_t>(loop->index),
             count = static_cast<std::int64_t>(loop->items->items.size());
  const auto item = [&](std::int64_t i) {
    return i < 0 || i >= count ? Value(Undefined{name}) : loop->items->items[static_cast<std::size_t>(i)];
  };
  if (name == "index") return index + 1;
  if (name == "index0") return index;
  if (name == "revindex") return count - index;
  if (name == "revindex0") return count - index - 1;
  if (name == "first") return index == 0;
  if (name == "last") return index == count - 1;
  if (name == "length") return count;
  if (name == "previtem") return item(index - 1);
  if (name == "nextitem") return item(index + 1);
  if (name == "depth") return std::int64_t{loop->level} + 1;
  if (name == "depth0") return std::int64_t{loop->level};
  if (name != "cycle" && name != "changed") return Undefined{name};
  work.charge(Work::step);
  auto callable = std::make_shared<Callable>();
  callable->name = name;
  const std::weak_ptr<Loop> weak = loop;
  callable->call = [weak, name](Evaluator& evaluator, Arguments& arguments) -> Value {
    const std::shared_ptr<Loop> self = weak.lock();
    if (!self) broken("a loop is used after its end");
    if (name == "cycle") {
      if (arguments.positional.empty()) broken("cycle needs values");
      return arguments.positional[self->index % arguments.positional.size()];
    }
    const Value now = Value::tuple(arguments.positional);
    const bool changed = !self->last_changed || !equals(*self->last_changed, now, evaluator.work());
    self->last_changed = std::make_shared<Value>(now);
    return changed;
  };
  return Value(std::shared_ptr<const Callable>(std::move(callable)));
}

std::string characters(const std::string& text, std::int64_t first, std::int64_t end, Work& work) {
  work.charge(static_cast<std::int64_t>(text.size()));
  std::int64_t at = 0, count = 0, begin_byte = 0;
  const auto size = static_cast<std::int64_t>(text.size());
  for (; at < size && count < end; ++count) {
    if (count == first) begin_byte = at;
    at += code_point_at(text, at).size;
  }
  if (count <= first) return {};
  return text.substr(static_cast<std::size_t>(begin_byte), static_cast<std::size_t>(at - begin_byte));
}

void charge_search(const std::string& text, const std::string& part, Work& work) {
  const auto passes = static_cast<std::int64_t>(part.size() / 32 + 1);
  std::int64_t units = 0;
  if (__builtin_mul_overflow(static_cast<std::int64_t>(text.size()), passes, &units))
    units = std::numeric_limits<std::int64_t>::max();
  work.charge(units);
}

std::string stripped(const std::string& text, const std::optional<std::string>& set, Side side, Work& work) {
  work.charge(static_cast<std::int64_t>(text.size()));
  std::vector<char32_t> members;
  if (set) {
    for (std::int64_t at = 0; at < static_cast<std::int64_t>(set->size());) {
      const CodePoint point = code_point_at(*set, at);
      members.push_back(point.value);
      at += point.size;
    }
    std::sort(members.begin(), members.end());
  }
  const auto goes = [&](char32_t c) {
    return set ? std::binary_search(members.begin(), members.end(), c) : is_space(c);
  };
  std::size_t begin = 0, end = text.size();
  while (side != Side::right && begin < end) {
    const CodePoint point = code_point_at(text, static_cast<std::int64_t>(begin));
    if (!goes(point.value)) break;
    begin += static_cast<std::size_t>(point.size);
  }
  while (side != Side::left && end > begin) {
    std::size_t last = end - 1;
    while (last > begin && (text[last] & 0xC0) == 0x80) --last;
    if (!goes(code_point_at(text, static_cast<std::int64_t>(last)).value)) break;
    end = last;
  }
  return text.substr(begin, end - begin);
}

std::string upper(const std::string& text) {
  std::string result = mapped(text, [](utf8proc_int32_t c) { return c == 0xDF ? c : utf8proc_toupper(c); });
  constexpr std::string_view sharp_s = "\xC3\x9F";  // becomes two letters
  for (std::size_t at = result.find(sharp_s); at != std::string::npos; at = result.find(sharp_s, at + 2))
    result.replace(at, 2, "SS");
  return result;
}
std::string lower(const std::string& text) {
  return mapped(text, utf8proc_tolower);
}

std::string capitalized(const std::string& text) {
  bool first = true;
  return mapped(text, [&](utf8proc_int32_t c) {
    return std::exchange(first, false) ? utf8proc_totitle(c) : utf8proc_tolower(c);
  });
}

std::string titled(const std::string& text) {
  bool inside = false;
  return mapped(text, [&](utf8proc_int32_t c) {
    const bool was_inside = std::exchange(inside, character_class(static_cast<char32_t>(c)) == CharacterClass::letter);
    return was_inside ? utf8proc_tolower(c) : utf8proc_totitle(c);
  });
}

std::string replaced(const std::string& text, const std::string& from, const std::string& to, std::int64_t most,
                     Work& work) {
  charge_search(text, from, work);
  std::string result;
  std::size_t begin = 0;
  std::int64_t count = 0;
  if (from.empty()) {  // between all characters
    while (most < 0 || count < most) {
      work.charge(static_cast<std::int64_t>(to.size()) + 1);
      result += to;
      ++count;
      if (begin >= text.size()) return result;
      const auto size = static_cast<std::size_t>(code_point_at(text, static_cast<std::int64_t>(begin)).size);
      result.append(text, begin, size);
      begin += size;
    }
    return result + text.substr(begin);
  }
  while (most < 0 || count < most) {
    const std::size_t found = text.find(from, begin);
    if (found == std::string::npos) break;
    work.charge(static_cast<std::int64_t>(to.size() + (found - begin)) + 1);
    result.append(text, begin, found - begin);
    result += to;
    begin = found + from.size();
    ++count;
  }
  return result + text.substr(begin);
}

std::vector<std::string> lines_of(const std::string& text, bool keep_ends) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(text.size());) {
    const CodePoint point = code_point_at(text, at);
    const char32_t c = point.value;
    const auto here = static_cast<std::size_t>(at);
    at += point.size;
    if (!((c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029)) continue;
    if (c == '\r' && static_cast<std::size_t>(at) < text.size() && text[static_cast<std::size_t>(at)] == '\n') ++at;
    const auto end = static_cast<std::size_t>(at);
    lines.push_back(text.substr(begin, (keep_ends ? end : here) - begin));
    begin = end;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

}  // namespace lectern::inference::jinja

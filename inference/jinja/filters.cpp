// One function for each filter and test, in a table by name.
#include "inference/jinja/filters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>

#include "inference/jinja/evaluate.h"
#include "inference/jinja/methods.h"
#include "inference/jinja/operations.h"

namespace lectern::inference::jinja {

namespace {

[[noreturn]] void broken(const std::string& what) {
  throw Failure(Failure::Kind::broken, what);
}

struct Call {
  Evaluator& evaluator;
  const Value& value;
  Arguments& arguments;

  Work& work() const { return evaluator.work(); }
  const Value* find(std::size_t position, std::string_view name) const { return arguments.find(position, name); }
  std::string text() const { return to_text(value, work()); }
  std::string text_of(std::size_t position, std::string_view name, std::string_view otherwise) const {
    const Value* found = find(position, name);
    return found == nullptr || found->is_none() ? std::string(otherwise) : to_text(*found, work());
  }
  bool flag(std::size_t position, std::string_view name, bool otherwise) const {
    const Value* found = find(position, name);
    return found == nullptr ? otherwise : is_true(*found);
  }
  std::int64_t integer(std::size_t position, std::string_view name, std::int64_t otherwise) const {
    const Value* found = find(position, name);
    if (found == nullptr || found->is_none()) return otherwise;
    if (!found->is_integer() && !found->is_bool())
      broken("the argument " + std::string(name) + " must be a whole number");
    return found->integer();
  }
};

using Filter = Value (*)(const Call&);

/// "a.b.0" of a value, as the filters that take an attribute understand it.
Value path_of(const Value& value, const Value& path, Work& work) {
  if (path.is_integer()) return item_of(value, path, work);
  if (!path.is_text()) broken("an attribute must be text");
  Value current = value;
  const std::string& text = path.text();
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('.', begin), text.size());
    const std::string name = text.substr(begin, end - begin);
    std::int64_t index = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), index);
    if (!name.empty() && parsed.ec == std::errc() && parsed.ptr == name.data() + name.size())
      current = item_of(current, index, work);
    else
      current = item_of(current, Value(name), work);
    begin = end + 1;
  }
  return current;
}

/// Text in lower case, anything else as it is: how sort and unique compare unless told otherwise.
Value folded(const Value& value, bool case_sensitive) {
  return value.is_text() && !case_sensitive ? Value(lower(value.text())) : value;
}

Value trim(const Call& c) {
  const Value* set = c.find(0, "chars");
  return stripped(c.text(), set == nullptr || set->is_none() ? std::nullopt : std::optional(to_text(*set, c.work())),
                  Side::both, c.work());
}

Value tojson(const Call& c) {
  JsonStyle style;
  style.ensure_ascii = c.flag(0, "ensure_ascii", false);
  if (const Value* indent = c.find(1, "indent"); indent != nullptr && !indent->is_none()) {
    style.indented = true;
    style.item_separator = ",";
    if (!indent->is_text() && !indent->is_integer()) broken("the argument indent must be a number or text");
    if (indent->is_integer() && indent->integer() > 1000)
      throw Failure(Failure::Kind::limit, "an indent of more than 1000");
    style.indent = indent->is_text()
                       ? indent->text()
                       : std::string(static_cast<std::size_t>(std::max<std::int64_t>(indent->integer(), 0)), ' ');
  }
  if (const Value* separators = c.find(2, "separators"); separators != nullptr && !separators->is_none()) {
    if (!separators->is_list() || separators->items().size() != 2 || !separators->items()[0].is_text() ||
        !separators->items()[1].is_text())
      broken("separators must be two texts");
    style.item_separator = separators->items()[0].text();
    style.key_separator = separators->items()[1].text();
  }
  style.sort_keys = c.flag(3, "sort_keys", false);
  return to_json(c.value, style, c.work());
}

Value standard(const Call& c) {
  const bool replace_false = c.flag(1, "boolean", false);
  if (!c.value.is_undefined() && !(replace_false && !is_true(c.value))) return c.value;
  const Value* otherwise = c.find(0, "default_value");
  return otherwise != nullptr ? *otherwise : Value("");
}

Value join(const Call& c) {
  const std::string separator = c.text_of(0, "d", "");
  const Value* attribute = c.find(1, "attribute");
  const Value list = list_of(c.value, c.work());
  std::string text;
  for (std::size_t i = 0; i < list.items().size(); ++i) {
    c.work().charge(static_cast<std::int64_t>(separator.size()) + 1);
    if (i > 0) text += separator;
    const Value& item = list.items()[i];
    text +=
        to_text(attribute != nullptr && !attribute->is_none() ? path_of(item, *attribute, c.work()) : item, c.work());
  }
  return Value(std::move(text));
}

Value items(const Call& c) {
  if (c.value.is_undefined()) return Value::list({});
  if (!c.value.is_dict()) broken("items needs a dictionary");
  Arguments none;
  return c.evaluator.call(attribute_of(c.value, "items", c.work()), none);
}

Value first(const Call& c) {
  const Value list = list_of(c.value, c.work());
  return list.items().empty() ? Value(Undefined{"the first item"}) : list.items().front();
}

Value last(const Call& c) {
  const Value list = list_of(c.value, c.work());
  return list.items().empty() ? Value(Undefined{"the last item"}) : list.items().back();
}

Value replace(const Call& c) {
  return replaced(c.text(), c.text_of(0, "old", ""), c.text_of(1, "new", ""), c.integer(2, "count", -1), c.work());
}

Value reverse(const Call& c) {
  if (c.value.is_text()) return slice_of(c.value, None{}, None{}, std::int64_t{-1}, c.work());
  const Value list = list_of(c.value, c.work());
  return Value::list({list.items().rbegin(), list.items().rend()});
}

Value indent(const Call& c) {
  const Value* width = c.find(0, "width");
  const bool is_text = width != nullptr && width->is_text();
  const std::int64_t count = is_text ? 0 : c.integer(0, "width", 4);
  c.work().charge(std::max<std::int64_t>(count, 0));
  const std::string space =
      is_text ? width->text() : std::string(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)), ' ');
  const bool indent_first = c.flag(1, "first", false), indent_blank = c.flag(2, "blank", false);
  const std::vector<std::string> lines = lines_of(c.text() + "\n", false);
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    c.work().charge(static_cast<std::int64_t>(space.size() + lines[i].size()) + 1);
    if (i > 0) text += "\n";
    if (i == 0 ? indent_first : (indent_blank || !lines[i].empty())) text += space;
    text += lines[i];
  }
  return Value(std::move(text));
}

std::optional<double> parse_real(std::string_view text) {
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

Value to_integer(const Call& c) {
  const Value* otherwise = c.find(0, "default");
  const Value fallback = otherwise != nullptr ? *otherwise : Value(std::int64_t{0});
  if (c.value.is_integer() || c.value.is_bool()) return c.value.integer();
  double number = 0;
  if (c.value.is_text()) {
    const std::string text = stripped(c.value.text(), std::nullopt, Side::both, c.work());
    std::int64_t whole = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), whole);
    if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && !text.empty()) return whole;
    const std::optional<double> real = parse_real(text);
    if (!real) return fallback;
    number = *real;
  } else if (c.value.is<double>()) {
    number = c.value.real();
  } else {
    return fallback;
  }
  if (!(std::fabs(number) < 9e18)) return fallback;
  return static_cast<std::int64_t>(number);
}

Value to_real(const Call& c) {
  if (c.value.is_number()) return c.value.real();
  if (c.value.is_text())
    if (const auto number = parse_real(stripped(c.value.text(), std::nullopt, Side::both, c.work()))) return *number;
  const Value* otherwise = c.find(0, "default");
  return otherwise != nullptr ? *otherwise : Value(0.0);
}

Value absolute(const Call& c) {
  if (c.value.is<double>()) return std::fabs(c.value.real());
  if (!c.value.is_number()) broken("abs needs a number");
  return less(c.value, std::int64_t{0}, c.work()) ? arithmetic("-", std::int64_t{0}, c.value, c.work()) : c.value;
}

Value rounded(const Call& c) {
  if (!c.value.is_number()) broken("round needs a number");
  const std::int64_t precision = c.integer(0, "precision", 0);
  if (precision < 0 || precision > 15) broken("round to this precision is not supported");
  const std::string method = c.text_of(1, "method", "common");
  const double scale = std::pow(10.0, static_cast<double>(precision)), scaled = c.value.real() * scale;
  return (method == "ceil"    ? std::ceil(scaled)
          : method == "floor" ? std::floor(scaled)
                              : std::nearbyint(scaled)) /
         scale;
}

Value extreme(const Call& c, bool largest) {
  const bool case_sensitive = c.flag(0, "case_sensitive", false);
  const Value* attribute = c.find(1, "attribute");
  const Value list = list_of(c.value, c.work());
  if (list.items().empty()) return Undefined{"the extreme of nothing"};
  const auto key = [&](const Value& item) {
    return folded(attribute != nullptr ? path_of(item, *attribute, c.work()) : item, case_sensitive);
  };
  const Value* best = &list.items().front();
  for (const Value& item : list.items())
    if (largest ? less(key(*best), key(item), c.work()) : less(key(item), key(*best), c.work())) best = &item;
  return *best;
}

Value sum(const Call& c) {
  const Value* attribute = c.find(0, "attribute");
  const Value* start = c.find(1, "start");
  Value total = start != nullptr ? *start : Value(std::int64_t{0});
  const Value list = list_of(c.value, c.work());
  for (const Value& item : list.items())
    total = arithmetic("+", total,
                       attribute != nullptr && !attribute->is_none() ? path_of(item, *attribute, c.work()) : item,
                       c.work());
  return total;
}

std::vector<Value> sorted(std::vector<Value> values, bool descending, const std::function<Value(const Value&)>& key,
                          Work& work) {
  std::vector<std::pair<Value, Value>> keyed;
  work.charge(static_cast<std::int64_t>(values.size()) * 128);
  for (const Value& value : values) keyed.emplace_back(key(value), value);
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return descending ? less(b.first, a.first, work) : less(a.first, b.first, work);
  });
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = keyed[i].second;
  return values;
}

Value sort(const Call& c) {
  const bool descending = c.flag(0, "reverse", false), case_sensitive = c.flag(1, "case_sensitive", false);
  const Value* attribute = c.find(2, "attribute");
  const Value list = list_of(c.value, c.work());
  return Value::list(sorted(
      list.items(), descending,
      [&](const Value& item) {
        return folded(attribute != nullptr && !attribute->is_none() ? path_of(item, *attribute, c.work()) : item,
                      case_sensitive);
      },
      c.work()));
}

Value dictsort(const Call& c) {
  const bool case_sensitive = c.flag(0, "case_sensitive", false), descending = c.flag(2, "reverse", false);
  const std::size_t by = c.text_of(1, "by", "key") == "value" ? 1 : 0;
  return Value::list(sorted(
      items(c).items(), descending, [&](const Value& pair) { return folded(pair.items()[by], case_sensitive); },
      c.work()));
}

Value unique(const Call& c) {
  const bool case_sensitive = c.flag(0, "case_sensitive", false);
  const Value* attribute = c.find(1, "attribute");
  const Value list = list_of(c.value, c.work());
  std::vector<Value> seen, result;
  for (const Value& item : list.items()) {
    const Value key = folded(attribute != nullptr && !attribute->is_none() ? path_of(item, *attribute, c.work()) : item,
                             case_sensitive);
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& other) { return equals(other, key, c.work()); }))
      continue;
    seen.push_back(key);
    result.push_back(item);
  }
  return Value::list(std::move(result));
}

/// The name of a filter or test given as the argument at `position`, and the arguments after it.
std::string name_and_rest(const Call& c, std::size_t position, Arguments& rest) {
  if (c.arguments.positional.size() <= position) return {};
  const Value& name = c.arguments.positional[position];
  if (!name.is_text()) broken("the name of a filter or test must be text");
  rest.positional.assign(c.arguments.positional.begin() + static_cast<std::ptrdiff_t>(position) + 1,
                         c.arguments.positional.end());
  rest.named = c.arguments.named;
  return name.text();
}

Value map(const Call& c) {
  std::vector<Value> result;
  const Value list = list_of(c.value, c.work());
  if (c.arguments.positional.empty()) {
    const Value* attribute = c.find(0, "attribute");
    const Value* otherwise = c.find(1, "default");
    if (attribute == nullptr) broken("map needs a filter or an attribute");
    for (const Value& item : list.items()) {
      Value found = path_of(item, *attribute, c.work());
      result.push_back(found.is_undefined() && otherwise != nullptr ? *otherwise : found);
    }
    return Value::list(std::move(result));
  }
  Arguments rest;
  const std::string name = name_and_rest(c, 0, rest);
  if (!is_filter(name)) broken("the filter " + name.substr(0, 40) + " is not supported");
  for (const Value& item : list.items()) {
    Arguments arguments = rest;
    result.push_back(apply_filter(name, c.evaluator, item, arguments));
  }
  return Value::list(std::move(result));
}

Value choose(const Call& c, bool by_attribute, bool keep) {
  const Value list = list_of(c.value, c.work());
  if (by_attribute && c.arguments.positional.empty()) broken("selectattr needs an attribute");
  Arguments rest;
  const std::string name = name_and_rest(c, by_attribute ? 1 : 0, rest);
  if (!name.empty() && !is_test(name)) broken("the test " + name.substr(0, 40) + " is not supported");
  std::vector<Value> result;
  for (const Value& item : list.items()) {
    const Value subject = by_attribute ? path_of(item, c.arguments.positional[0], c.work()) : item;
    const bool holds = name.empty() ? is_true(subject) : apply_test(name, c.evaluator, subject, rest);
    if (holds == keep) result.push_back(item);
  }
  return Value::list(std::move(result));
}

Value escaped(const Call& c) {
  std::string text;
  for (const char ch : c.text()) {
    switch (ch) {
      case '&': text += "&amp;"; break;
      case '<': text += "&lt;"; break;
      case '>': text += "&gt;"; break;
      case '"': text += "&#34;"; break;
      case '\'': text += "&#39;"; break;
      default: text += ch;
    }
  }
  c.work().charge(static_cast<std::int64_t>(text.size()));
  return Value(std::move(text));
}

Value attribute(const Call& c) {
  const Value* name = c.find(0, "name");
  if (name == nullptr || !name->is_text()) broken("attr needs a name");
  if (c.value.is_dict()) return Undefined{name->text()};  // entries are no attributes
  return attribute_of(c.value, name->text(), c.work());
}

Value format(const Call& c) {
  return arithmetic("%", Value(c.text()), Value::tuple(c.arguments.positional), c.work());
}

const std::map<std::string_view, Filter>& filters() {
  static const std::map<std::string_view, Filter> table = {
      {"trim", trim},
      {"tojson", tojson},
      {"default", standard},
      {"d", standard},
      {"join", join},
      {"items", items},
      {"first", first},
      {"last", last},
      {"replace", replace},
      {"reverse", reverse},
      {"indent", indent},
      {"int", to_integer},
      {"float", to_real},
      {"abs", absolute},
      {"round", rounded},
      {"sum", sum},
      {"sort", sort},
      {"dictsort", dictsort},
      {"unique", unique},
      {"map", map},
      {"escape", escaped},
      {"e", escaped},
      {"attr", attribute},
      {"format", format},
      {"length", [](const Call& c) { return Value(length(c.value, c.work())); }},
      {"count", [](const Call& c) { return Value(length(c.value, c.work())); }},
      {"upper", [](const Call& c) { return Value(upper(c.text())); }},
      {"lower", [](const Call& c) { return Value(lower(c.text())); }},
      {"title", [](const Call& c) { return Value(titled(c.text())); }},
      {"capitalize", [](const Call& c) { return Value(capitalized(c.text())); }},
      {"string", [](const Call& c) { return Value(c.text()); }},
      {"safe", [](const Call& c) { return Value(c.text()); }},
      {"list", [](const Call& c) { return Value::list(list_of(c.value, c.work()).items()); }},
      {"min", [](const Call& c) { return extreme(c, false); }},
      {"max", [](const Call& c) { return extreme(c, true); }},
      {"select", [](const Call& c) { return choose(c, false, true); }},
      {"reject", [](const Call& c) { return choose(c, false, false); }},
      {"selectattr", [](const Call& c) { return choose(c, true, true); }},
      {"rejectattr", [](const Call& c) { return choose(c, true, false); }},
  };
  return table;
}

// Tests

struct TestCall {
  const Value& value;
  const Arguments& arguments;
  Work& work;

  const Value& other() const {
    if (arguments.positional.empty()) broken("a test lacks its argument");
    return arguments.positional[0];
  }
  std::int64_t integer() const {
    if (!value.is_integer() && !value.is_bool()) broken("a test needs a whole number");
    return value.integer();
  }
};
using Test = bool (*)(const TestCall&);

bool is_equal(const TestCall& c) {
  return equals(c.value, c.other(), c.work);
}
bool is_less(const TestCall& c) {
  return less(c.value, c.other(), c.work);
}
bool is_greater(const TestCall& c) {
  return less(c.other(), c.value, c.work);
}

const std::map<std::string_view, Test>& tests() {
  static const std::map<std::string_view, Test> table = {
      {"defined", [](const TestCall& c) { return !c.value.is_undefined(); }},
      {"undefined", [](const TestCall& c) { return c.value.is_undefined(); }},
      {"none", [](const TestCall& c) { return c.value.is_none(); }},
      {"string", [](const TestCall& c) { return c.value.is_text(); }},
      {"mapping", [](const TestCall& c) { return c.value.is_dict(); }},
      {"iterable",
       [](const TestCall& c) {
         return c.value.is_list() || c.value.is_dict() || c.value.is_text() || c.value.is_undefined();
       }},
      {"sequence",
       [](const TestCall& c) {
         return c.value.is_list() || c.value.is_dict() || c.value.is_text() || c.value.is_undefined();
       }},
      {"boolean", [](const TestCall& c) { return c.value.is_bool(); }},
      {"true", [](const TestCall& c) { return c.value.is_bool() && c.value.integer() == 1; }},
      {"false", [](const TestCall& c) { return c.value.is_bool() && c.value.integer() == 0; }},
      {"number", [](const TestCall& c) { return c.value.is_number(); }},
      {"integer", [](const TestCall& c) { return c.value.is_integer(); }},
      {"float", [](const TestCall& c) { return c.value.is<double>(); }},
      {"callable", [](const TestCall& c) { return c.value.is<std::shared_ptr<const Callable>>(); }},
      {"even", [](const TestCall& c) { return c.integer() % 2 == 0; }},
      {"odd", [](const TestCall& c) { return c.integer() % 2 != 0; }},
      {"divisibleby", [](const TestCall& c) { return !is_true(arithmetic("%", c.value, c.other(), c.work)); }},
      {"in", [](const TestCall& c) { return contains(c.other(), c.value, c.work); }},
      {"upper",
       [](const TestCall& c) {
         const std::string text = to_text(c.value, c.work);
         return text == upper(text) && text != lower(text);
       }},
      {"lower",
       [](const TestCall& c) {
         const std::string text = to_text(c.value, c.work);
         return text == lower(text) && text != upper(text);
       }},
      {"sameas",
       [](const TestCall& c) {
         return c.value.data().index() == c.other().data().index() && equals(c.value, c.other(), c.work);
       }},
      {"equalto", is_equal},
      {"eq", is_equal},
      {"ne", [](const TestCall& c) { return !equals(c.value, c.other(), c.work); }},
      {"lt", is_less},
      {"lessthan", is_less},
      {"gt", is_greater},
      {"greaterthan", is_greater},
      {"le", [](const TestCall& c) { return is_less(c) || is_equal(c); }},
      {"ge", [](const TestCall& c) { return is_greater(c) || is_equal(c); }},
      {"==", is_equal},
      {"!=", [](const TestCall& c) { return !equals(c.value, c.other(), c.work); }},
      {"<", is_less},
      {">", is_greater},
      {"<=", [](const TestCall& c) { return is_less(c) || is_equal(c); }},
      {">=", [](const TestCall& c) { return is_greater(c) || is_equal(c); }},
  };
  return table;
}

}  // namespace

bool is_filter(std::string_view name) {
  return filters().contains(name);
}
bool is_test(std::string_view name) {
  return tests().contains(name);
}

Value apply_filter(std::string_view name, Evaluator& evaluator, const Value& value, Arguments& arguments) {
  evaluator.work().charge(Work::step);
  return filters().at(name)(Call{evaluator, value, arguments});
}

bool apply_test(std::string_view name, Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  evaluator.work().charge(Work::step);
  return tests().at(name)(TestCall{value, arguments, evaluator.work()});
}

}  // namespace lectern::inference::jinja

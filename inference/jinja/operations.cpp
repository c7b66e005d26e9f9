#include "inference/jinja/operations.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "inference/jinja/methods.h"

namespace lectern::inference::jinja {

namespace {

[[noreturn]] void broken(const std::string& what) {
  throw Failure(Failure::Kind::broken, what);
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Value whole(std::string_view symbol, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  const char operation = symbol == "**" ? '^' : symbol == "//" ? '|' : symbol.front();
  switch (operation) {
    case '+':
      if (__builtin_add_overflow(a, b, &result)) break;
      return result;
    case '-':
      if (__builtin_sub_overflow(a, b, &result)) break;
      return result;
    case '*':
      if (__builtin_mul_overflow(a, b, &result)) break;
      return result;
    case '/':
      if (b == 0) broken("division by zero");
      return static_cast<double>(a) / static_cast<double>(b);
    case '|':
    case '%':
      if (b == 0) broken("division by zero");
      if (b == -1) {
        if (operation == '%') return std::int64_t{0};
        if (a == std::numeric_limits<std::int64_t>::min()) break;
        return -a;
      }
      return operation == '|' ? floor_divide(a, b) : a - floor_divide(a, b) * b;
    default: {
      if (b < 0) return std::pow(static_cast<double>(a), static_cast<double>(b));
      result = 1;
      bool fits = true;
      if (a == 0 || a == 1) return b == 0 ? std::int64_t{1} : a;
      if (a == -1) return b % 2 == 0 ? std::int64_t{1} : std::int64_t{-1};
      for (std::int64_t i = 0; fits && i < b; ++i)
        fits = !__builtin_mul_overflow(result, a, &result);  // at most 63 times
      if (!fits) break;
      return result;
    }
  }
  broken("a number is too large");
}

Value real(std::string_view symbol, double a, double b) {
  if (symbol == "+") return a + b;
  if (symbol == "-") return a - b;
  if (symbol == "*") return a * b;
  if (symbol == "**") return std::pow(a, b);
  if (b == 0.0) broken("division by zero");
  if (symbol == "/") return a / b;
  if (symbol == "//") return std::floor(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0.0 && (rest < 0) != (b < 0)) rest += b;
  return rest;
}

Value repeat(const Value& value, std::int64_t times, Work& work) {
  const auto count = std::max<std::int64_t>(times, 0);
  const auto size =
      static_cast<std::int64_t>(value.is_text() ? value.text().size() : value.items().size() * sizeof(Value));
  std::int64_t total = 0;
  if (__builtin_mul_overflow(size, count, &total)) total = -1;
  work.charge(total);  // a negative one is refused
  if (value.is_text()) {
    std::string text;
    if (size > 0)
      for (std::int64_t i = 0; i < count; ++i) text += value.text();
    return Value(std::move(text));
  }
  std::vector<Value> items;
  if (size > 0)
    for (std::int64_t i = 0; i < count; ++i) items.insert(items.end(), value.items().begin(), value.items().end());
  return value.list()->is_tuple ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

/// "%s of %d" % (a, b), for %s, %d, %r and %%.
Value format(const std::string& pattern, const Value& values, Work& work) {
  const std::vector<Value> given =
      values.is_list() && values.list()->is_tuple ? values.items() : std::vector<Value>{values};
  std::string text;
  std::size_t next = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%') {
      text += pattern[i];
      continue;
    }
    const char kind = ++i < pattern.size() ? pattern[i] : '\0';
    if (kind == '%') {
      text += '%';
      continue;
    }
    if (kind != 's' && kind != 'd' && kind != 'r')
      broken("the format in \"" + pattern.substr(0, 40) + "\" is not supported");
    if (next >= given.size()) broken("not enough values for a format");
    const Value& value = given[next++];
    if (kind == 'd' && !value.is_number()) broken("%d needs a number");
    if (kind == 'd' && value.is<double>() && !(std::fabs(value.real()) < 9e18)) broken("a number is too large");
    text += kind == 'd' ? std::to_string(value.is<double>() ? static_cast<std::int64_t>(value.real()) : value.integer())
            : kind == 'r' ? to_repr(value, work)
                          : to_text(value, work);
  }
  work.charge(static_cast<std::int64_t>(text.size()));
  if (next < given.size()) broken("too many values for a format");
  return Value(std::move(text));
}

/// Index of item `index` from the start or, if negative, from the end; -1 when there is none.
std::int64_t place(std::int64_t index, std::int64_t size) {
  if (index < 0) index += size;
  return index >= 0 && index < size ? index : -1;
}

}  // namespace

Value arithmetic(std::string_view symbol, const Value& a, const Value& b, Work& work) {
  if (a.is_number() && b.is_number())
    return a.is<double>() || b.is<double>() ? real(symbol, a.real(), b.real())
                                            : whole(symbol, a.integer(), b.integer());
  if (symbol == "+" && a.is_text() && b.is_text()) {
    work.charge(static_cast<std::int64_t>(a.text().size() + b.text().size()));
    return Value(a.text() + b.text());
  }
  if (symbol == "+" && a.is_list() && b.is_list() && a.list()->is_tuple == b.list()->is_tuple) {
    work.charge(static_cast<std::int64_t>((a.items().size() + b.items().size()) * sizeof(Value)));
    std::vector<Value> items = a.items();
    items.insert(items.end(), b.items().begin(), b.items().end());
    return a.list()->is_tuple ? Value::tuple(std::move(items)) : Value::list(std::move(items));
  }
  const auto is_count = [](const Value& value) { return value.is_integer() || value.is_bool(); };
  if (symbol == "*" && (a.is_text() || a.is_list()) && is_count(b)) return repeat(a, b.integer(), work);
  if (symbol == "*" && (b.is_text() || b.is_list()) && is_count(a)) return repeat(b, a.integer(), work);
  if (symbol == "%" && a.is_text()) return format(a.text(), b, work);
  broken(std::string(symbol) + " does not go with " + type_name(a) + " and " + type_name(b));
}

bool contains(const Value& container, const Value& item, Work& work) {
  if (container.is_text()) {
    if (!item.is_text()) broken("only text can be looked for in text");
    charge_search(container.text(), item.text(), work);
    return container.text().find(item.text()) != std::string::npos;
  }
  if (container.is_dict()) return item.is_text() && container.dict().find(item.text()) != nullptr;
  if (container.is_list())
    return std::any_of(container.items().begin(), container.items().end(),
                       [&](const Value& x) { return equals(x, item, work); });
  if (container.is_undefined()) return false;
  broken("nothing can be looked for in a value of type " + type_name(container));
}

Value attribute_of(const Value& value, const std::string& name, Work& work) {
  if (const std::optional<Value> method = method_of(value, name)) return *method;
  if (value.is_dict()) {
    const Value* entry = value.dict().find(name);
    return entry != nullptr ? *entry : Value(Undefined{name});
  }
  if (const auto* attributes = std::get_if<std::shared_ptr<Namespace>>(&value.data())) {
    const Value* entry = (*attributes)->attributes.find(name);
    return entry != nullptr ? *entry : Value(Undefined{name});
  }
  if (const auto* loop = std::get_if<std::shared_ptr<Loop>>(&value.data())) return loop_attribute(*loop, name, work);
  if (value.is_undefined()) broken(std::get<Undefined>(value.data()).name + " is undefined, so it has no " + name);
  return Undefined{name};
}

Value item_of(const Value& value, const Value& key, Work& work) {
  work.charge(Work::step);
  if (value.is_undefined()) broken(std::get<Undefined>(value.data()).name + " is undefined, so it has no items");
  if (value.is_dict() && key.is_text()) {
    if (const Value* entry = value.dict().find(key.text())) return *entry;
    return attribute_of(value, key.text(), work);
  }
  if (key.is_integer() || key.is_bool()) {
    if (value.is_list()) {
      const std::int64_t at = place(key.integer(), static_cast<std::int64_t>(value.items().size()));
      return at < 0 ? Value(Undefined{"item " + std::to_string(key.integer())})
                    : value.items()[static_cast<std::size_t>(at)];
    }
    if (value.is_text()) {
      const std::int64_t at = place(key.integer(), length(value, work));
      return at < 0 ? Value(Undefined{"character " + std::to_string(key.integer())})
                    : Value(characters(value.text(), at, at + 1, work));
    }
  }
  if (key.is_text()) return attribute_of(value, key.text(), work);
  return Undefined{"item"};
}

Value slice_of(const Value& value, const Value& start, const Value& stop, const Value& step, Work& work) {
  if (value.is_undefined()) broken(std::get<Undefined>(value.data()).name + " is undefined, so it has no items");
  if (!value.is_list() && !value.is_text()) return Undefined{"slice"};
  const auto bound = [](const Value& given, std::int64_t otherwise) {
    if (given.is_none()) return otherwise;
    if (!given.is_integer() && !given.is_bool()) broken("a slice needs whole numbers");
    return given.integer();
  };
  const std::int64_t stride = bound(step, 1), size = length(value, work);
  if (stride == 0) broken("the step of a slice cannot be zero");
  const auto clamp = [&](std::int64_t index) {
    if (index < 0)
      index = index < -size ? -1 : index + size;  // below the first item: just before it
    else if (index > size)
      index = size;
    return stride > 0 ? std::max<std::int64_t>(index, 0) : std::min(index, size - 1);
  };
  const std::int64_t first = start.is_none() ? (stride > 0 ? 0 : size - 1) : clamp(bound(start, 0));
  const std::int64_t end = stop.is_none() ? (stride > 0 ? size : -1) : clamp(bound(stop, 0));
  if (value.is_text() && stride == 1) return Value(characters(value.text(), first, std::max(first, end), work));

  const Value source = list_of(value, work);
  std::vector<Value> items;
  std::string text;
  std::int64_t at = first;
  while (stride > 0 ? at < end : at > end) {
    work.charge(Work::step);
    const Value& item = source.items()[static_cast<std::size_t>(at)];
    if (value.is_text())
      text += item.text();
    else
      items.push_back(item);
    if (__builtin_add_overflow(at, stride, &at)) break;
  }
  if (value.is_text()) return Value(std::move(text));
  return value.list()->is_tuple ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

}  // namespace lectern::inference::jinja

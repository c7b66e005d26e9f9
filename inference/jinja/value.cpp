// Lists and dictionaries never change once made, so a value is copied by counting a reference, a container knows how
// deep it is when it is made, and nothing here needs to fear a circle.
#include "inference/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "inference/utf8.h"

namespace lectern::inference::jinja {

namespace {

constexpr std::int64_t item_units = 64;  // a Value in memory, rounded up

int checked_depth(int inner) {
  if (inner >= deepest_value) throw Failure(Failure::Kind::limit, "a value is nested too deeply");
  return inner + 1;
}

}  // namespace

const Value* Dict::find(const std::string& key) const {
  const auto found = index.find(key);
  return found == index.end() ? nullptr : &items[found->second].second;
}

void Dict::set(std::string key, Value value) {
  const auto [place, is_new] = index.try_emplace(key, items.size());
  if (is_new)
    items.emplace_back(std::move(key), std::move(value));
  else
    items[place->second].second = std::move(value);
}

const Value* Arguments::find(std::size_t position, std::string_view name) const {
  if (position < positional.size()) return &positional[position];
  for (const auto& [key, value] : named)
    if (key == name) return &value;
  return nullptr;
}

Value Value::list(std::vector<Value> items) {
  int inner = 0;
  for (const Value& item : items) inner = std::max(inner, item.depth());
  Value value;
  value.data_ = std::make_shared<const List>(List{std::move(items), false, checked_depth(inner)});
  return value;
}

Value Value::tuple(std::vector<Value> items) {
  int inner = 0;
  for (const Value& item : items) inner = std::max(inner, item.depth());
  Value value;
  value.data_ = std::make_shared<const List>(List{std::move(items), true, checked_depth(inner)});
  return value;
}

Value Value::dict(Dict dict) {
  int inner = 0;
  for (const auto& [key, item] : dict.items) inner = std::max(inner, item.depth());
  dict.depth = checked_depth(inner);
  Value value;
  value.data_ = std::make_shared<const Dict>(std::move(dict));
  return value;
}

int Value::depth() const {
  if (is_list()) return list()->depth;
  if (is_dict()) return dict().depth;
  if (const auto* loop = std::get_if<std::shared_ptr<Loop>>(&data_)) return (*loop)->items->depth;
  if (const auto* callable = std::get_if<std::shared_ptr<const Callable>>(&data_)) return (*callable)->depth;
  return 0;
}

bool is_true(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (value.is_bool() || value.is_integer()) return value.integer() != 0;
  if (value.is<double>()) return value.real() != 0.0;
  if (value.is_text()) return !value.text().empty();
  if (value.is_list()) return !value.items().empty();
  if (value.is_dict()) return !value.dict().items.empty();
  return true;
}

std::string type_name(const Value& value) {
  if (value.is_undefined()) return "undefined";
  if (value.is_none()) return "none";
  if (value.is_bool()) return "bool";
  if (value.is_integer()) return "int";
  if (value.is<double>()) return "float";
  if (value.is_text()) return "str";
  if (value.is_list()) return value.list()->is_tuple ? "tuple" : "list";
  if (value.is_dict()) return "dict";
  if (value.is<std::shared_ptr<Namespace>>()) return "namespace";
  if (value.is<std::shared_ptr<Loop>>()) return "loop";
  return "function";
}

std::int64_t length(const Value& value, Work& work) {
  if (value.is_undefined()) return 0;
  if (value.is_list()) return static_cast<std::int64_t>(value.items().size());
  if (value.is_dict()) return static_cast<std::int64_t>(value.dict().items.size());
  if (value.is_text()) {
    work.charge(static_cast<std::int64_t>(value.text().size()));
    return std::count_if(value.text().begin(), value.text().end(), [](char c) { return (c & 0xC0) != 0x80; });
  }
  throw Failure(Failure::Kind::broken, "a value of type " + type_name(value) + " has no length");
}

Value list_of(const Value& value, Work& work) {
  if (value.is_list()) return value;
  std::vector<Value> items;
  if (value.is_undefined()) return Value::list({});
  if (value.is_dict()) {
    work.charge(static_cast<std::int64_t>(value.dict().items.size()) * item_units);
    for (const auto& [key, item] : value.dict().items) items.emplace_back(key);
    return Value::list(std::move(items));
  }
  if (value.is_text()) {
    const std::string& text = value.text();
    work.charge(static_cast<std::int64_t>(text.size()) * item_units);
    for (std::int64_t at = 0; at < static_cast<std::int64_t>(text.size());) {
      const int size = code_point_at(text, at).size;
      items.emplace_back(text.substr(static_cast<std::size_t>(at), static_cast<std::size_t>(size)));
      at += size;
    }
    return Value::list(std::move(items));
  }
  throw Failure(Failure::Kind::broken, "a value of type " + type_name(value) + " cannot be iterated");
}

bool equals(const Value& a, const Value& b, Work& work) {
  work.charge(Work::step);
  if (a.is_number() && b.is_number()) {
    if (a.is<double>() || b.is<double>()) return a.real() == b.real();
    return a.integer() == b.integer();
  }
  if (a.data().index() != b.data().index()) return false;
  if (a.is_text()) {
    work.charge(static_cast<std::int64_t>(std::min(a.text().size(), b.text().size())));
    return a.text() == b.text();
  }
  if (a.is_list()) {
    return a.list()->is_tuple == b.list()->is_tuple &&
           std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(),
                      [&](const Value& x, const Value& y) { return equals(x, y, work); });
  }
  if (a.is_dict()) {
    if (a.dict().items.size() != b.dict().items.size()) return false;
    for (const auto& [key, item] : a.dict().items) {
      const Value* other = b.dict().find(key);
      if (other == nullptr || !equals(item, *other, work)) return false;
    }
    return true;
  }
  if (a.is_undefined() || a.is_none()) return true;
  if (const auto* x = std::get_if<std::shared_ptr<Namespace>>(&a.data()))
    return *x == std::get<std::shared_ptr<Namespace>>(b.data());
  if (const auto* x = std::get_if<std::shared_ptr<Loop>>(&a.data()))
    return *x == std::get<std::shared_ptr<Loop>>(b.data());
  return std::get<std::shared_ptr<const Callable>>(a.data()) == std::get<std::shared_ptr<const Callable>>(b.data());
}

bool less(const Value& a, const Value& b, Work& work) {
  work.charge(Work::step);
  if (a.is_number() && b.is_number()) {
    if (a.is<double>() || b.is<double>()) return a.real() < b.real();
    return a.integer() < b.integer();
  }
  if (a.is_text() && b.is_text()) {
    work.charge(static_cast<std::int64_t>(std::min(a.text().size(), b.text().size())));
    return a.text() < b.text();  // UTF-8 has the order of the code points
  }
  if (a.is_list() && b.is_list()) {
    const std::size_t both = std::min(a.items().size(), b.items().size());
    for (std::size_t i = 0; i < both; ++i)
      if (!equals(a.items()[i], b.items()[i], work)) return less(a.items()[i], b.items()[i], work);
    return a.items().size() < b.items().size();
  }
  throw Failure(Failure::Kind::broken, "values of type " + type_name(a) + " and " + type_name(b) + " have no order");
}

}  // namespace lectern::inference::jinja

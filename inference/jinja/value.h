// The values of a template: Python's, as far as templates use them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "inference/jinja/failure.h"

namespace lectern::inference::jinja {

class Value;
class Evaluator;

struct Undefined {
  std::string name;  // what was looked up, for messages
};
struct None {};

struct List {
  std::vector<Value> items;
  bool is_tuple = false;
  int depth = 1;  // of the nesting of containers
};

/// Keys are strings, in order of insertion.
struct Dict {
  std::vector<std::pair<std::string, Value>> items;
  std::unordered_map<std::string, std::size_t> index;
  int depth = 1;

  const Value* find(const std::string& key) const;
  void set(std::string key, Value value);
};

/// namespace(): the only value that can be changed. The evaluator keeps all of them and empties them at its end,
/// because they may refer to each other in circles.
struct Namespace {
  Dict attributes;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  /// The argument at `position` or called `name`; null when it was not given.
  const Value* find(std::size_t position, std::string_view name) const;
};

struct Callable {
  std::string name;
  std::function<Value(Evaluator&, Arguments&)> call;
  int depth = 0;  // of the container that a method is bound to
};

/// `loop` inside a for statement.
struct Loop {
  std::shared_ptr<const List> items;
  std::size_t index = 0;
  int level = 0;                                         // of recursion
  std::shared_ptr<Value> last_changed;                   // of loop.changed
  std::function<Value(Evaluator&, Arguments&)> recurse;  // empty unless the loop is recursive
};

class Value {
 public:
  using Data = std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const std::string>,
                            std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
                            std::shared_ptr<const Callable>, std::shared_ptr<Loop>>;

  Value() = default;
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(None none) : data_(none) {}
  Value(bool truth) : data_(truth) {}
  Value(std::int64_t integer) : data_(integer) {}
  Value(double real) : data_(real) {}
  Value(std::string text) : data_(std::make_shared<const std::string>(std::move(text))) {}
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(std::shared_ptr<Namespace> attributes) : data_(std::move(attributes)) {}
  Value(std::shared_ptr<const Callable> callable) : data_(std::move(callable)) {}
  Value(std::shared_ptr<Loop> loop) : data_(std::move(loop)) {}
  template <typename T>
  Value(T*) = delete;

  /// Throw Failure{limit} for containers nested too deeply.
  static Value list(std::vector<Value> items);
  static Value tuple(std::vector<Value> items);
  static Value dict(Dict dict);

  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(data_);
  }
  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<None>(); }
  bool is_bool() const { return is<bool>(); }
  bool is_integer() const { return is<std::int64_t>(); }
  bool is_number() const { return is<std::int64_t>() || is<double>() || is<bool>(); }
  bool is_text() const { return is<std::shared_ptr<const std::string>>(); }
  bool is_list() const { return is<std::shared_ptr<const List>>(); }
  bool is_dict() const { return is<std::shared_ptr<const Dict>>(); }

  /// Each only for a value of that kind.
  const std::string& text() const { return *std::get<std::shared_ptr<const std::string>>(data_); }
  const std::shared_ptr<const List>& list() const { return std::get<std::shared_ptr<const List>>(data_); }
  const std::vector<Value>& items() const { return list()->items; }
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  /// A bool counts as 0 or 1.
  std::int64_t integer() const { return is_bool() ? (std::get<bool>(data_) ? 1 : 0) : std::get<std::int64_t>(data_); }
  double real() const { return is<double>() ? std::get<double>(data_) : static_cast<double>(integer()); }

  const Data& data() const { return data_; }
  int depth() const;  // of the containers inside; 0 for plain values and namespaces

 private:
  Data data_;
};

/// Python's bool(), type name and len(). A value without length: Failure{broken}.
bool is_true(const Value& value);
std::string type_name(const Value& value);
std::int64_t length(const Value& value, Work& work);

/// What a for loop goes over: items, keys or characters.
Value list_of(const Value& value, Work& work);

/// Python's == and <. Values that Python cannot order: Failure{broken}.
bool equals(const Value& a, const Value& b, Work& work);
bool less(const Value& a, const Value& b, Work& work);

/// Python's str(), repr() and json.dumps(ensure_ascii=False).
std::string to_text(const Value& value, Work& work);
std::string to_repr(const Value& value, Work& work);
struct JsonStyle {
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool indented = false;
  std::string indent;  // of one level
  bool sort_keys = false;
  bool ensure_ascii = false;
};
std::string to_json(const Value& value, const JsonStyle& style, Work& work);

}  // namespace lectern::inference::jinja

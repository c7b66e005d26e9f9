// The functions that transformers gives to templates.
#include <array>
#include <ctime>

#include "inference/jinja/evaluate.h"
#include "inference/utf8.h"

namespace lectern::inference::jinja {

namespace {

[[noreturn]] void broken(const std::string& what) {
  throw Failure(Failure::Kind::broken, what);
}

constexpr std::int64_t longest_range = 100'000;  // as in jinja2's sandbox

Value range(Evaluator& evaluator, Arguments& arguments) {
  std::int64_t bounds[3] = {0, 0, 1};
  const std::vector<Value>& given = arguments.positional;
  if (given.empty() || given.size() > 3 || !arguments.named.empty()) broken("range takes one to three whole numbers");
  for (const Value& value : given)
    if (!value.is_integer() && !value.is_bool()) broken("range takes one to three whole numbers");
  if (given.size() == 1) {
    bounds[1] = given[0].integer();
  } else {
    for (std::size_t i = 0; i < given.size(); ++i) bounds[i] = given[i].integer();
  }
  const std::int64_t step = bounds[2];
  if (step == 0) broken("the step of a range cannot be zero");
  std::vector<Value> items;
  for (std::int64_t i = bounds[0]; step > 0 ? i < bounds[1] : i > bounds[1];) {
    evaluator.work().charge(Work::step);
    if (static_cast<std::int64_t>(items.size()) >= longest_range) broken("a range of more than 100,000 numbers");
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::list(std::move(items));
}

/// The entries of dict(...) and namespace(...): of a dictionary, and those named.
Dict entries(Evaluator& evaluator, Arguments& arguments) {
  Dict dict;
  if (arguments.positional.size() > 1) broken("dict takes one dictionary at most");
  for (const Value& value : arguments.positional) {
    if (!value.is_dict()) broken("dict takes a dictionary");
    evaluator.work().charge(static_cast<std::int64_t>(value.dict().items.size()) * 128);
    for (const auto& [key, item] : value.dict().items) dict.set(key, item);
  }
  for (auto& [key, item] : arguments.named) dict.set(key, item);
  return dict;
}

Value raise_exception(Evaluator& evaluator, Arguments& arguments) {
  const Value* message = arguments.find(0, "message");
  std::string text = message != nullptr ? to_text(*message, evaluator.work()) : std::string();
  if (text.size() > 500) text.resize(500);
  throw Failure(Failure::Kind::refused, to_valid_utf8(text));
}

Value strftime_now(Evaluator& evaluator, Arguments& arguments) {
  const Value* format = arguments.find(0, "format");
  if (format == nullptr || !format->is_text() || format->text().empty()) return "";
  const auto now = static_cast<std::time_t>(evaluator.now_s().value_or(static_cast<std::int64_t>(std::time(nullptr))));
  std::tm parts{};
  if (evaluator.now_s())
    gmtime_r(&now, &parts);
  else
    localtime_r(&now, &parts);
  std::array<char, 4096> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), format->text().c_str(), &parts);
  evaluator.work().charge(static_cast<std::int64_t>(size));
  return Value(to_valid_utf8(std::string_view(text.data(), size)));
}

}  // namespace

Variables template_functions() {
  Variables functions;
  const auto add = [&](const char* name, auto call) {
    functions[name] = Value(std::shared_ptr<const Callable>(std::make_shared<Callable>(Callable{name, call, 0})));
  };
  add("range", range);
  add("raise_exception", raise_exception);
  add("strftime_now", strftime_now);
  add("dict", [](Evaluator& evaluator, Arguments& arguments) { return Value::dict(entries(evaluator, arguments)); });
  add("namespace", [](Evaluator& evaluator, Arguments& arguments) {
    const std::shared_ptr<Namespace> result = evaluator.new_namespace();
    result->attributes = entries(evaluator, arguments);
    return Value(result);
  });
  return functions;
}

}  // namespace lectern::inference::jinja

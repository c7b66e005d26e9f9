// A walk over the tree. Names live in a chain of scopes: `if` has none of its own, each turn of a `for` has a fresh
// one, and a macro sees those around its definition, so `set` in a loop is lost at the end of the turn, as in jinja2.
#include "inference/jinja/evaluate.h"

#include <algorithm>
#include <utility>

#include "inference/jinja/filters.h"
#include "inference/jinja/operations.h"

namespace lectern::inference::jinja {

namespace {

using Kind = Expression::Kind;

constexpr int deepest_evaluation = 500;

[[noreturn]] void broken(const std::string& what) {
  throw Failure(Failure::Kind::broken, what);
}

}  // namespace

class Evaluator::Level {
 public:
  explicit Level(Evaluator& evaluator) : evaluator_(evaluator) {
    evaluator_.work_.charge(Work::step);
    if (++evaluator_.level_ > deepest_evaluation) {
      --evaluator_.level_;
      throw Failure(Failure::Kind::limit, "it calls itself too deeply");
    }
  }
  ~Level() { --evaluator_.level_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  Evaluator& evaluator_;
};

Evaluator::Evaluator(Variables variables, std::int64_t budget, std::optional<std::int64_t> now_s)
    : work_(budget), now_s_(now_s), functions_(template_functions()), scope_(std::make_shared<Scope>()) {
  scope_->variables = std::move(variables);
}

Evaluator::~Evaluator() {
  scope_.reset();
  for (const auto& attributes : namespaces_) {
    attributes->attributes.items.clear();
    attributes->attributes.index.clear();
  }
  for (const auto& scope : macro_scopes_) scope->variables.clear();
  while (!macro_scopes_.empty()) macro_scopes_.pop_back();
}

std::string Evaluator::run(const Block& block) {
  run_block(block);
  return std::move(output_);
}

std::shared_ptr<Namespace> Evaluator::new_namespace() {
  work_.charge(256);
  namespaces_.push_back(std::make_shared<Namespace>());
  return namespaces_.back();
}

std::shared_ptr<Scope> Evaluator::inner_scope() {
  work_.charge(256);
  auto scope = std::make_shared<Scope>();
  scope->outer = scope_;
  return scope;
}

void Evaluator::write(const std::string& text) {
  work_.charge(static_cast<std::int64_t>(text.size()));
  output_ += text;
}

Evaluator::Flow Evaluator::run_block(const Block& block) {
  for (const auto& statement : block)
    if (const Flow flow = run_statement(*statement); flow != Flow::go_on) return flow;
  return Flow::go_on;
}

Evaluator::Flow Evaluator::run_statement(const Statement& statement) {
  const Level level(*this);
  switch (statement.kind) {
    case Statement::Kind::text: write(statement.text); break;
    case Statement::Kind::print: write(to_text(evaluate(*statement.value), work_)); break;
    case Statement::Kind::if_: return run_if(statement);
    case Statement::Kind::for_: run_for(statement, evaluate(*statement.value), 0); break;
    case Statement::Kind::set: assign(statement.target, evaluate(*statement.value)); break;
    case Statement::Kind::set_block: {
      Value text(captured(statement.body, inner_scope()));
      if (statement.filter) text = evaluate_filter(*statement.filter, text);
      assign(statement.target, text);
      break;
    }
    case Statement::Kind::macro: scope_->variables[statement.text] = macro(statement, statement.text); break;
    case Statement::Kind::call_block: run_call_block(statement); break;
    case Statement::Kind::filter: {
      const Value text(captured(statement.body, inner_scope()));
      write(to_text(evaluate_filter(*statement.filter, text), work_));
      break;
    }
    case Statement::Kind::with: {
      auto inner = inner_scope();
      for (const auto& [target, value] : statement.assignments)
        inner->variables[target.names.front()] = evaluate(*value);
      const auto outer = std::exchange(scope_, std::move(inner));
      const Flow flow = run_block(statement.body);
      scope_ = outer;
      return flow;
    }
    case Statement::Kind::scope: {
      const auto outer = std::exchange(scope_, inner_scope());
      const Flow flow = run_block(statement.body);
      scope_ = outer;
      return flow;
    }
    case Statement::Kind::break_: return Flow::break_;
    case Statement::Kind::continue_: return Flow::continue_;
  }
  return Flow::go_on;
}

Evaluator::Flow Evaluator::run_if(const Statement& statement) {
  for (const Statement::Branch& branch : statement.branches)
    if (is_true(evaluate(*branch.condition))) return run_block(branch.body);
  return run_block(statement.otherwise);
}

Value Evaluator::selected(const Statement& statement, const Value& values) {
  const Value all = list_of(values, work_);
  if (!statement.condition) return all;
  std::vector<Value> items;
  const auto outer = scope_;
  for (const Value& item : all.items()) {
    scope_ = outer;
    scope_ = inner_scope();
    assign(statement.target, item);
    if (is_true(evaluate(*statement.condition))) items.push_back(item);
  }
  scope_ = outer;
  return Value::list(std::move(items));
}

void Evaluator::run_for(const Statement& statement, const Value& values, int level) {
  const Value chosen = selected(statement, values);
  const auto outer = scope_;
  if (chosen.items().empty()) {
    scope_ = inner_scope();
    run_block(statement.otherwise);
    scope_ = outer;
    return;
  }
  auto loop = std::make_shared<Loop>();
  loop->items = chosen.list();
  loop->level = level;
  if (statement.recursive) {
    // {{ loop(children) }} runs the same body for other items; it is called only while this loop runs.
    const std::weak_ptr<Scope> definition = outer;
    loop->recurse = [&statement, definition, level](Evaluator& self, Arguments& arguments) -> Value {
      const std::shared_ptr<Scope> scope = definition.lock();
      if (!scope || arguments.positional.size() != 1) broken("loop() needs the items to go on with, inside the loop");
      const auto caller = std::exchange(self.scope_, scope);
      std::string text = std::exchange(self.output_, {});
      self.run_for(statement, arguments.positional[0], level + 1);
      text.swap(self.output_);
      self.scope_ = caller;
      return Value(std::move(text));
    };
  }
  for (std::size_t i = 0; i < loop->items->items.size(); ++i) {
    work_.charge(Work::step);
    loop->index = i;
    scope_ = outer;
    scope_ = inner_scope();
    scope_->variables["loop"] = Value(loop);
    assign(statement.target, loop->items->items[i]);
    if (run_block(statement.body) == Flow::break_) break;
  }
  scope_ = outer;
  loop->recurse = nullptr;
  loop->last_changed.reset();
}

std::string Evaluator::captured(const Block& block, const std::shared_ptr<Scope>& scope) {
  const auto outer = std::exchange(scope_, scope);
  std::string text = std::exchange(output_, {});
  run_block(block);
  text.swap(output_);
  scope_ = outer;
  return text;
}

Value Evaluator::macro(const Statement& statement, std::string name) {
  if (macro_scopes_.empty() || macro_scopes_.back() != scope_) macro_scopes_.push_back(scope_);
  auto callable = std::make_shared<Callable>();
  callable->name = std::move(name);
  const std::weak_ptr<Scope> definition = scope_;  // kept alive by macro_scopes_
  callable->call = [&statement, definition](Evaluator& self, Arguments& arguments) {
    return self.call_macro(statement, definition.lock(), arguments);
  };
  return Value(std::shared_ptr<const Callable>(std::move(callable)));
}

Value Evaluator::call_macro(const Statement& statement, const std::shared_ptr<Scope>& definition,
                            Arguments& arguments) {
  work_.charge(256);
  auto scope = std::make_shared<Scope>();
  scope->outer = definition;
  const auto caller = std::exchange(scope_, scope);
  const std::size_t count = statement.parameters.size();
  std::vector<Value> further;  // varargs
  for (std::size_t i = count; i < arguments.positional.size(); ++i) further.push_back(arguments.positional[i]);
  Dict others;  // kwargs
  for (auto& [name, value] : arguments.named) {
    const bool is_parameter =
        std::any_of(statement.parameters.begin(), statement.parameters.end(),
                    [&, &key = name](const Statement::Parameter& parameter) { return parameter.name == key; });
    if (name == "caller")
      scope->variables["caller"] = value;
    else if (!is_parameter)
      others.set(name, value);
  }
  scope->variables["varargs"] = Value::tuple(std::move(further));
  scope->variables["kwargs"] = Value::dict(std::move(others));
  for (std::size_t i = 0; i < count; ++i) {
    const Statement::Parameter& parameter = statement.parameters[i];
    if (const Value* given = arguments.find(i, parameter.name))
      scope->variables[parameter.name] = *given;
    else
      scope->variables[parameter.name] =
          parameter.standard ? evaluate(*parameter.standard) : Value(Undefined{parameter.name});
  }
  Value text(captured(statement.body, scope));
  scope_ = caller;
  return text;
}

void Evaluator::run_call_block(const Statement& statement) {
  const Value callable = evaluate(*statement.value->parts[0]);
  Arguments arguments = evaluate_arguments(statement.value->arguments);
  arguments.named.emplace_back("caller", macro(statement, "caller"));
  write(to_text(call(callable, arguments), work_));
}

Value Evaluator::call(const Value& callable, Arguments& arguments) {
  const Level level(*this);
  if (const auto* function = std::get_if<std::shared_ptr<const Callable>>(&callable.data())) {
    const std::shared_ptr<const Callable> kept = *function;
    return kept->call(*this, arguments);
  }
  if (const auto* loop = std::get_if<std::shared_ptr<Loop>>(&callable.data()); loop != nullptr && (*loop)->recurse) {
    const auto recurse = (*loop)->recurse;
    return recurse(*this, arguments);
  }
  if (callable.is_undefined())
    broken(std::get<Undefined>(callable.data()).name + " is undefined, so it cannot be called");
  broken("a value of type " + type_name(callable) + " cannot be called");
}

Value Evaluator::look_up(const std::string& name) const {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->outer.get())
    if (const auto found = scope->variables.find(name); found != scope->variables.end()) return found->second;
  if (const auto found = functions_.find(name); found != functions_.end()) return found->second;
  return Undefined{name};
}

void Evaluator::assign(const Target& target, const Value& value) {
  work_.charge(Work::step);
  if (!target.attribute.empty()) {
    const Value object = look_up(target.names.front());
    const auto* attributes = std::get_if<std::shared_ptr<Namespace>>(&object.data());
    if (attributes == nullptr) broken("only a namespace takes attributes, and " + target.names.front() + " is none");
    (*attributes)->attributes.set(target.attribute, value);
    return;
  }
  if (!target.is_tuple) {
    scope_->variables[target.names.front()] = value;
    return;
  }
  const Value items = list_of(value, work_);
  if (items.items().size() != target.names.size())
    broken(std::to_string(items.items().size()) + " values cannot be given to " + std::to_string(target.names.size()) +
           " names");
  for (std::size_t i = 0; i < target.names.size(); ++i) scope_->variables[target.names[i]] = items.items()[i];
}

std::vector<Value> Evaluator::evaluate_all(const std::vector<ExpressionPointer>& parts) {
  work_.charge(static_cast<std::int64_t>(parts.size() * sizeof(Value)));
  std::vector<Value> values;
  values.reserve(parts.size());
  for (const ExpressionPointer& part : parts) values.push_back(evaluate(*part));
  return values;
}

Arguments Evaluator::evaluate_arguments(const std::vector<Expression::Argument>& given) {
  Arguments arguments;
  for (const Expression::Argument& argument : given) {
    if (argument.name.empty())
      arguments.positional.push_back(evaluate(*argument.value));
    else
      arguments.named.emplace_back(argument.name, evaluate(*argument.value));
  }
  return arguments;
}

Value Evaluator::evaluate_optional(const ExpressionPointer& expression) {
  return expression ? evaluate(*expression) : Value(None{});
}

Value Evaluator::evaluate_filter(const Expression& expression, const Value& value) {
  // A chain on a block's text: the innermost filter has no operand.
  const Value operand = expression.parts[0] ? evaluate_filter(*expression.parts[0], value) : value;
  Arguments arguments = evaluate_arguments(expression.arguments);
  return apply_filter(expression.text, *this, operand, arguments);
}

Value Evaluator::evaluate_compare(const Expression& expression) {
  Value left = evaluate(*expression.parts[0]);
  for (std::size_t i = 0; i < expression.operators.size(); ++i) {
    const std::string& symbol = expression.operators[i];
    Value right = evaluate(*expression.parts[i + 1]);
    bool holds = false;
    if (symbol == "==")
      holds = equals(left, right, work_);
    else if (symbol == "!=")
      holds = !equals(left, right, work_);
    else if (symbol == "in")
      holds = contains(right, left, work_);
    else if (symbol == "not in")
      holds = !contains(right, left, work_);
    else if (symbol == "<")
      holds = less(left, right, work_);
    else if (symbol == ">")
      holds = less(right, left, work_);
    else if (symbol == "<=")
      holds = less(left, right, work_) || equals(left, right, work_);
    else
      holds = less(right, left, work_) || equals(left, right, work_);
    if (!holds) return false;
    left = std::move(right);
  }
  return true;
}

Value Evaluator::evaluate(const Expression& expression) {
  const Level level(*this);
  const auto part = [&](std::size_t i) { return evaluate(*expression.parts[i]); };
  switch (expression.kind) {
    case Kind::constant: return expression.constant;
    case Kind::name: return look_up(expression.text);
    case Kind::list: return Value::list(evaluate_all(expression.parts));
    case Kind::tuple: return Value::tuple(evaluate_all(expression.parts));
    case Kind::dictionary: {
      Dict dict;
      const std::vector<Value> parts = evaluate_all(expression.parts);
      for (std::size_t i = 0; i + 1 < parts.size(); i += 2) {
        if (!parts[i].is_text()) broken("the keys of a dictionary must be text");
        dict.set(parts[i].text(), parts[i + 1]);
      }
      return Value::dict(std::move(dict));
    }
    case Kind::attribute: return attribute_of(part(0), expression.text, work_);
    case Kind::item: {
      const Value container = part(0);
      return item_of(container, part(1), work_);
    }
    case Kind::slice: {
      const Value container = part(0);
      const Value start = evaluate_optional(expression.parts[1]), stop = evaluate_optional(expression.parts[2]);
      return slice_of(container, start, stop, evaluate_optional(expression.parts[3]), work_);
    }
    case Kind::call: {
      const Value callable = part(0);
      Arguments arguments = evaluate_arguments(expression.arguments);
      return call(callable, arguments);
    }
    case Kind::filter: {
      const Value value = part(0);
      Arguments arguments = evaluate_arguments(expression.arguments);
      return apply_filter(expression.text, *this, value, arguments);
    }
    case Kind::test: {
      const Value value = part(0);
      return apply_test(expression.text, *this, value, evaluate_arguments(expression.arguments));
    }
    case Kind::negative: return arithmetic("-", std::int64_t{0}, part(0), work_);
    case Kind::positive: return arithmetic("+", std::int64_t{0}, part(0), work_);
    case Kind::logical_not: return !is_true(part(0));
    case Kind::logical_and:
    case Kind::logical_or: {
      Value value;
      for (const ExpressionPointer& operand : expression.parts) {
        value = evaluate(*operand);
        if (is_true(value) == (expression.kind == Kind::logical_or)) break;
      }
      return value;
    }
    case Kind::arithmetic: {
      const Value left = part(0);
      return arithmetic(expression.text, left, part(1), work_);
    }
    case Kind::concatenate: {
      std::string text;
      for (const ExpressionPointer& operand : expression.parts) text += to_text(evaluate(*operand), work_);
      return Value(std::move(text));
    }
    case Kind::compare: return evaluate_compare(expression);
    case Kind::conditional:
      if (is_true(part(1))) return part(0);
      return expression.parts[2] ? part(2) : Value(Undefined{"the value of an if without else"});
  }
  return {};
}

}  // namespace lectern::inference::jinja

// Runs a template.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "inference/jinja/ast.h"
#include "inference/jinja/value.h"

namespace lectern::inference::jinja {

using Variables = std::unordered_map<std::string, Value>;

/// The names of a block, and those of the blocks around it.
struct Scope {
  Variables variables;
  std::shared_ptr<Scope> outer;
};

/// One rendering of one template. Throws Failure.
class Evaluator {
 public:
  /// `budget`: see Work. `now_s`: Unix time of strftime_now in UTC; nothing: the clock, in local time.
  Evaluator(Variables variables, std::int64_t budget, std::optional<std::int64_t> now_s);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  std::string run(const Block& block);

  Work& work() { return work_; }
  Value call(const Value& callable, Arguments& arguments);
  std::shared_ptr<Namespace> new_namespace();
  std::optional<std::int64_t> now_s() const { return now_s_; }

 private:
  enum class Flow { go_on, break_, continue_ };
  class Level;

  Flow run_block(const Block& block);
  Flow run_statement(const Statement& statement);
  Flow run_if(const Statement& statement);
  void run_for(const Statement& statement, const Value& values, int level);
  Value selected(const Statement& statement, const Value& values);
  Value macro(const Statement& statement, std::string name);
  Value call_macro(const Statement& statement, const std::shared_ptr<Scope>& scope, Arguments& arguments);
  void run_call_block(const Statement& statement);
  /// What a block writes, with names of its own.
  std::string captured(const Block& block, const std::shared_ptr<Scope>& scope);

  Value evaluate(const Expression& expression);
  Value evaluate_optional(const ExpressionPointer& expression);  // none for a null pointer
  Value evaluate_compare(const Expression& expression);
  Value evaluate_filter(const Expression& expression, const Value& value);
  Arguments evaluate_arguments(const std::vector<Expression::Argument>& arguments);
  std::vector<Value> evaluate_all(const std::vector<ExpressionPointer>& parts);

  Value look_up(const std::string& name) const;
  void assign(const Target& target, const Value& value);
  void write(const std::string& text);
  std::shared_ptr<Scope> inner_scope();

  Work work_;
  std::optional<std::int64_t> now_s_;
  Variables functions_;
  std::shared_ptr<Scope> scope_;
  std::string output_;
  int level_ = 0;
  // Whatever may take part in a circle of references, emptied at the end: last made, first freed.
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<std::shared_ptr<Scope>> macro_scopes_;
};

/// The functions that transformers gives to templates: range, dict, namespace, raise_exception, strftime_now.
Variables template_functions();

}  // namespace lectern::inference::jinja

// The part of the parser that reads expressions; parser.cpp puts statements around them.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inference/jinja/ast.h"
#include "inference/jinja/lexer.h"

namespace lectern::inference::jinja {

/// A position in a template's tokens, and expressions read from it. Every parse_ function throws Failure{syntax} with
/// the line.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

 protected:
  /// Counts the nesting of what is being parsed.
  class Level {
   public:
    explicit Level(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.level_ > deepest_nesting) parser_.fail("it is nested too deeply");
    }
    ~Level() { --parser_.level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    ExpressionParser& parser_;
  };

  const Token& current() const { return tokens_[position_]; }
  Token take() { return position_ + 1 < tokens_.size() ? tokens_[position_++] : tokens_[position_]; }

  [[noreturn]] void fail(const std::string& what) const;
  bool skip_symbol(std::string_view symbol);
  bool skip_name(std::string_view name);
  void expect_symbol(std::string_view symbol);
  std::string expect_name();

  enum class ConditionalAllowed { yes, no };
  /// Expressions separated by commas; without a comma just the expression.
  ExpressionPointer parse_tuple(ConditionalAllowed conditional = ConditionalAllowed::yes);
  ExpressionPointer parse_expression();
  /// | filter(...), is test and calls after an operand; `starts_inside` when the first bar has been left out.
  ExpressionPointer parse_filters(ExpressionPointer value, bool starts_inside);

 private:
  template <typename... Parts>
  ExpressionPointer node(Expression::Kind kind, std::string text, Parts... parts) {
    auto expression = std::make_unique<Expression>();
    expression->kind = kind;
    expression->text = std::move(text);
    (expression->parts.push_back(std::move(parts)), ...);
    return measured(std::move(expression));
  }
  ExpressionPointer measured(ExpressionPointer expression);
  ExpressionPointer constant(Value value);
  ExpressionPointer number(const Token& token);

  const Token& ahead() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  bool at_end_of_tuple() const;
  bool starts_bare_argument() const;
  std::string take_comparison();
  ExpressionPointer parse_or();
  ExpressionPointer parse_and();
  ExpressionPointer parse_not();
  ExpressionPointer parse_compare();
  ExpressionPointer parse_sum();
  ExpressionPointer parse_concatenation();
  ExpressionPointer parse_product();
  ExpressionPointer parse_power();
  ExpressionPointer parse_unary(bool with_filters);
  ExpressionPointer parse_primary();
  ExpressionPointer parse_postfix(ExpressionPointer value);
  ExpressionPointer parse_subscript(ExpressionPointer value);
  std::vector<Expression::Argument> parse_arguments();
  ExpressionPointer parse_test(ExpressionPointer value);

  std::vector<Token> tokens_;
  std::size_t position_ = 0;
  int level_ = 0;
};

}  // namespace lectern::inference::jinja

// Recursive descent in the order of jinja2's own grammar: condition, or, and, not, compare, + -, ~, * / // %, **, sign,
// then what may follow an operand: .name [item] (call) | filter, is test. Trees know their depth, and deep ones are
// refused here, so that neither evaluating nor freeing one can exhaust the stack.
#include "inference/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>

#include "inference/jinja/filters.h"

namespace lectern::inference::jinja {

using Kind = Expression::Kind;

void ExpressionParser::fail(const std::string& what) const {
  throw Failure(Failure::Kind::syntax, "line " + std::to_string(current().line) + ": " + what);
}

bool ExpressionParser::skip_symbol(std::string_view symbol) {
  if (!current().is_symbol(symbol)) return false;
  take();
  return true;
}

bool ExpressionParser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  take();
  return true;
}

void ExpressionParser::expect_symbol(std::string_view symbol) {
  if (!skip_symbol(symbol)) fail("expected " + std::string(symbol));
}

std::string ExpressionParser::expect_name() {
  if (current().kind != Token::Kind::name) fail("expected a name");
  return take().text;
}

ExpressionPointer ExpressionParser::measured(ExpressionPointer expression) {
  int depth = 0;
  for (const ExpressionPointer& part : expression->parts)
    if (part) depth = std::max(depth, part->depth);
  for (const Expression::Argument& argument : expression->arguments) depth = std::max(depth, argument.value->depth);
  expression->depth = depth + 1;
  if (expression->depth > deepest_nesting) fail("an expression is nested too deeply");
  return expression;
}

ExpressionPointer ExpressionParser::parse_tuple(ConditionalAllowed conditional) {
  const auto parse_item = [&] { return conditional == ConditionalAllowed::yes ? parse_expression() : parse_or(); };
  ExpressionPointer first = parse_item();
  if (!current().is_symbol(",")) return first;
  ExpressionPointer tuple = node(Kind::tuple, {}, std::move(first));
  while (skip_symbol(",")) {
    if (at_end_of_tuple()) break;
    tuple->parts.push_back(parse_item());
  }
  return measured(std::move(tuple));
}

bool ExpressionParser::at_end_of_tuple() const {
  return current().kind == Token::Kind::variable_end || current().kind == Token::Kind::block_end ||
         current().is_symbol(")") || current().is_symbol("]") || current().is_name("in");
}

ExpressionPointer ExpressionParser::parse_expression() {
  const Level level(*this);
  ExpressionPointer value = parse_or();
  while (skip_name("if")) {
    ExpressionPointer condition = parse_or();
    ExpressionPointer otherwise = skip_name("else") ? parse_expression() : nullptr;
    value = node(Kind::conditional, {}, std::move(value), std::move(condition), std::move(otherwise));
  }
  return value;
}

ExpressionPointer ExpressionParser::parse_or() {
  ExpressionPointer left = parse_and();
  if (!current().is_name("or")) return left;
  ExpressionPointer all = node(Kind::logical_or, {}, std::move(left));
  while (skip_name("or")) all->parts.push_back(parse_and());
  return measured(std::move(all));
}

ExpressionPointer ExpressionParser::parse_and() {
  ExpressionPointer left = parse_not();
  if (!current().is_name("and")) return left;
  ExpressionPointer all = node(Kind::logical_and, {}, std::move(left));
  while (skip_name("and")) all->parts.push_back(parse_not());
  return measured(std::move(all));
}

ExpressionPointer ExpressionParser::parse_not() {
  const Level level(*this);
  if (skip_name("not")) return node(Kind::logical_not, {}, parse_not());
  return parse_compare();
}

std::string ExpressionParser::take_comparison() {
  for (const std::string_view symbol : {"==", "!=", ">", ">=", "<", "<="})
    if (current().is_symbol(symbol)) return take().text;
  if (skip_name("in")) return "in";
  if (current().is_name("not") && ahead().is_name("in")) {
    take();
    take();
    return "not in";
  }
  return {};
}

ExpressionPointer ExpressionParser::parse_compare() {
  ExpressionPointer left = parse_sum();
  std::string comparison = take_comparison();
  if (comparison.empty()) return left;
  ExpressionPointer all = node(Kind::compare, {}, std::move(left));
  while (!comparison.empty()) {
    all->operators.push_back(std::move(comparison));
    all->parts.push_back(parse_sum());
    comparison = take_comparison();
  }
  return measured(std::move(all));
}

ExpressionPointer ExpressionParser::parse_sum() {
  ExpressionPointer left = parse_concatenation();
  while (current().is_symbol("+") || current().is_symbol("-")) {
    std::string symbol = take().text;
    left = node(Kind::arithmetic, std::move(symbol), std::move(left), parse_concatenation());
  }
  return left;
}

ExpressionPointer ExpressionParser::parse_concatenation() {
  ExpressionPointer left = parse_product();
  if (!current().is_symbol("~")) return left;
  ExpressionPointer all = node(Kind::concatenate, {}, std::move(left));
  while (skip_symbol("~")) all->parts.push_back(parse_product());
  return measured(std::move(all));
}

ExpressionPointer ExpressionParser::parse_product() {
  ExpressionPointer left = parse_power();
  while (current().is_symbol("*") || current().is_symbol("/") || current().is_symbol("//") ||
         current().is_symbol("%")) {
    std::string symbol = take().text;
    left = node(Kind::arithmetic, std::move(symbol), std::move(left), parse_power());
  }
  return left;
}

ExpressionPointer ExpressionParser::parse_power() {
  ExpressionPointer left = parse_unary(true);
  while (skip_symbol("**")) left = node(Kind::arithmetic, "**", std::move(left), parse_unary(true));
  return left;
}

ExpressionPointer ExpressionParser::parse_unary(bool with_filters) {
  const Level level(*this);
  ExpressionPointer operand;
  if (skip_symbol("-"))
    operand = node(Kind::negative, {}, parse_unary(false));
  else if (skip_symbol("+"))
    operand = node(Kind::positive, {}, parse_unary(false));
  else
    operand = parse_primary();
  operand = parse_postfix(std::move(operand));
  return with_filters ? parse_filters(std::move(operand), false) : std::move(operand);
}

ExpressionPointer ExpressionParser::constant(Value value) {
  ExpressionPointer expression = node(Kind::constant, {});
  expression->constant = std::move(value);
  return expression;
}

ExpressionPointer ExpressionParser::parse_primary() {
  const Token token = take();
  if (token.kind == Token::Kind::name) {
    if (token.text == "true" || token.text == "True") return constant(true);
    if (token.text == "false" || token.text == "False") return constant(false);
    if (token.text == "none" || token.text == "None") return constant(None{});
    return node(Kind::name, token.text);
  }
  if (token.kind == Token::Kind::string) {
    std::string text = token.text;
    while (current().kind == Token::Kind::string) text += take().text;
    return constant(Value(std::move(text)));
  }
  if (token.kind == Token::Kind::integer || token.kind == Token::Kind::real) return number(token);
  if (token.is_symbol("(")) {
    if (skip_symbol(")")) return node(Kind::tuple, {});
    ExpressionPointer inner = parse_tuple();
    expect_symbol(")");
    return inner;
  }
  if (token.is_symbol("[")) {
    ExpressionPointer list = node(Kind::list, {});
    while (!current().is_symbol("]")) {
      if (!list->parts.empty()) expect_symbol(",");
      if (current().is_symbol("]")) break;
      list->parts.push_back(parse_expression());
    }
    take();
    return measured(std::move(list));
  }
  if (token.is_symbol("{")) {
    ExpressionPointer dictionary = node(Kind::dictionary, {});
    while (!current().is_symbol("}")) {
      if (!dictionary->parts.empty()) expect_symbol(",");
      if (current().is_symbol("}")) break;
      dictionary->parts.push_back(parse_expression());
      expect_symbol(":");
      dictionary->parts.push_back(parse_expression());
    }
    take();
    return measured(std::move(dictionary));
  }
  fail("an expression is missing or not supported");
}

ExpressionPointer ExpressionParser::number(const Token& token) {
  const char* begin = token.text.data();
  const char* end = begin + token.text.size();
  if (token.kind == Token::Kind::integer) {
    std::int64_t value = 0;
    if (std::from_chars(begin, end, value).ec != std::errc())
      fail("the number " + token.text.substr(0, 40) + " is too large");
    return constant(value);
  }
  double value = 0;
  if (std::from_chars(begin, end, value).ec != std::errc())
    fail("the number " + token.text.substr(0, 40) + " is too large");
  return constant(value);
}

ExpressionPointer ExpressionParser::parse_postfix(ExpressionPointer value) {
  while (true) {
    if (skip_symbol(".")) {
      if (current().kind == Token::Kind::integer) {
        const Token token = take();
        value = node(Kind::item, {}, std::move(value), number(token));
      } else {
        std::string name = expect_name();
        value = node(Kind::attribute, std::move(name), std::move(value));
      }
    } else if (skip_symbol("[")) {
      value = parse_subscript(std::move(value));
    } else if (current().is_symbol("(")) {
      value = node(Kind::call, {}, std::move(value));
      value->arguments = parse_arguments();
      value = measured(std::move(value));
    } else {
      return value;
    }
  }
}

ExpressionPointer ExpressionParser::parse_subscript(ExpressionPointer value) {
  ExpressionPointer bounds[3];
  bool is_slice = false;
  for (int i = 0; i < 3; ++i) {
    if (!current().is_symbol(":") && !current().is_symbol("]")) bounds[i] = parse_expression();
    if (!skip_symbol(":")) break;
    is_slice = true;
  }
  expect_symbol("]");
  if (is_slice)
    return node(Kind::slice, {}, std::move(value), std::move(bounds[0]), std::move(bounds[1]), std::move(bounds[2]));
  if (!bounds[0]) fail("an empty subscript");
  return node(Kind::item, {}, std::move(value), std::move(bounds[0]));
}

std::vector<Expression::Argument> ExpressionParser::parse_arguments() {
  std::vector<Expression::Argument> arguments;
  expect_symbol("(");
  while (!current().is_symbol(")")) {
    if (!arguments.empty()) expect_symbol(",");
    if (current().is_symbol(")")) break;
    Expression::Argument argument;
    if (current().kind == Token::Kind::name && ahead().is_symbol("=")) {
      argument.name = take().text;
      take();
    } else if (!arguments.empty() && !arguments.back().name.empty()) {
      fail("a positional argument after a named one");
    }
    argument.value = parse_expression();
    arguments.push_back(std::move(argument));
  }
  take();
  return arguments;
}

ExpressionPointer ExpressionParser::parse_filters(ExpressionPointer value, bool starts_inside) {
  while (true) {
    if (starts_inside || skip_symbol("|")) {
      starts_inside = false;
      std::string name = expect_name();
      if (!is_filter(name)) fail("the filter " + name.substr(0, 40) + " is not supported");
      value = node(Kind::filter, std::move(name), std::move(value));
      if (current().is_symbol("(")) value->arguments = parse_arguments();
      value = measured(std::move(value));
    } else if (value && skip_name("is")) {
      value = parse_test(std::move(value));
    } else if (value && current().is_symbol("(")) {
      value = node(Kind::call, {}, std::move(value));
      value->arguments = parse_arguments();
      value = measured(std::move(value));
    } else {
      return value;
    }
  }
}

ExpressionPointer ExpressionParser::parse_test(ExpressionPointer value) {
  const bool negated = skip_name("not");
  std::string name = expect_name();
  if (!is_test(name)) fail("the test " + name.substr(0, 40) + " is not supported");
  ExpressionPointer test = node(Kind::test, std::move(name), std::move(value));
  if (current().is_symbol("(")) {
    test->arguments = parse_arguments();
  } else if (starts_bare_argument()) {
    Expression::Argument argument;
    argument.value = parse_postfix(parse_primary());
    test->arguments.push_back(std::move(argument));
  }
  test = measured(std::move(test));
  return negated ? node(Kind::logical_not, {}, std::move(test)) : std::move(test);
}

/// `x is divisibleby 3`: an argument without brackets.
bool ExpressionParser::starts_bare_argument() const {
  const Token& token = current();
  if (token.kind == Token::Kind::name)
    return !token.is_name("else") && !token.is_name("or") && !token.is_name("and") && !token.is_name("is") &&
           !token.is_name("if") && !token.is_name("not") && !token.is_name("in") && !token.is_name("recursive");
  return token.kind == Token::Kind::string || token.kind == Token::Kind::integer || token.kind == Token::Kind::real ||
         token.is_symbol("[") || token.is_symbol("{");
}

}  // namespace lectern::inference::jinja

// Recursive descent in the order of jinja2's own grammar: condition, or, and, not, compare, + -, ~, * / // %, **, sign,
// then what may follow an operand: .name [item] (call) | filter, is test. Trees know their depth, and deep ones are
// refused here, so that neither evaluating nor freeing one can exhaust the stack.
#include "inference/jinja/parser.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "inference/jinja/filters.h"
#include "inference/jinja/lexer.h"

namespace lectern::inference::jinja {

namespace {

using Kind = Expression::Kind;
using Names = std::initializer_list<std::string_view>;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Block run() {
    Block block = parse_block({});
    if (current().kind != Token::Kind::end) fail("unexpected end tag");
    return block;
  }

 private:
  /// Counts the nesting of what is being parsed.
  class Level {
   public:
    explicit Level(Parser& parser) : parser_(parser) {
      if (++parser_.level_ > deepest_nesting) parser_.fail("it is nested too deeply");
    }
    ~Level() { --parser_.level_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Parser& parser_;
  };

  const Token& current() const { return tokens_[position_]; }
  const Token& ahead() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  Token take() { return position_ + 1 < tokens_.size() ? tokens_[position_++] : tokens_[position_]; }

  [[noreturn]] void fail(const std::string& what) const {
    throw Failure(Failure::Kind::syntax, "line " + std::to_string(current().line) + ": " + what);
  }
  bool skip_symbol(std::string_view symbol) {
    if (!current().is_symbol(symbol)) return false;
    take();
    return true;
  }
  bool skip_name(std::string_view name) {
    if (!current().is_name(name)) return false;
    take();
    return true;
  }
  void expect_symbol(std::string_view symbol) {
    if (!skip_symbol(symbol)) fail("expected " + std::string(symbol));
  }
  std::string expect_name() {
    if (current().kind != Token::Kind::name) fail("expected a name");
    return take().text;
  }
  void expect_block_end() {
    if (current().kind != Token::Kind::block_end) fail("unexpected text at the end of a tag");
    take();
  }

  // Statements

  /// Up to a tag named in `ends`, whose name is left as the current token; or to the end of the template.
  Block parse_block(Names ends) {
    const Level level(*this);
    Block block;
    while (current().kind != Token::Kind::end) {
      if (current().kind == Token::Kind::text) {
        auto statement = make(Statement::Kind::text);
        statement->text = take().text;
        block.push_back(std::move(statement));
      } else if (current().kind == Token::Kind::variable_begin) {
        take();
        auto statement = make(Statement::Kind::print);
        statement->value = parse_tuple();
        if (current().kind != Token::Kind::variable_end) fail("unexpected text in {{ }}");
        take();
        block.push_back(std::move(statement));
      } else {
        take();  // block_begin
        if (current().kind != Token::Kind::name) fail("a tag without a name");
        if (std::find(ends.begin(), ends.end(), current().text) != ends.end()) return block;
        block.push_back(parse_statement());
      }
    }
    if (ends.size() > 0) fail("the tag " + std::string(*(ends.end() - 1)) + " is missing");
    return block;
  }

  std::unique_ptr<Statement> make(Statement::Kind kind) {
    auto statement = std::make_unique<Statement>();
    statement->kind = kind;
    return statement;
  }

  /// The body of a tag and its end tag.
  Block parse_body(std::string_view end) {
    expect_block_end();
    Block body = parse_block({end});
    take();
    expect_block_end();
    return body;
  }

  std::unique_ptr<Statement> parse_statement() {
    const std::string tag = take().text;
    if (tag == "if") return parse_if();
    if (tag == "for") return parse_for();
    if (tag == "set") return parse_set();
    if (tag == "macro") return parse_macro();
    if (tag == "call") return parse_call_block();
    if (tag == "with") return parse_with();
    if (tag == "filter") {
      auto statement = make(Statement::Kind::filter);
      statement->filter = parse_filters(nullptr, true);
      statement->body = parse_body("endfilter");
      return statement;
    }
    if (tag == "generation") {  // marks the model's words for training; nothing to do here
      auto statement = make(Statement::Kind::scope);
      statement->body = parse_body("endgeneration");
      return statement;
    }
    if (tag == "print") {
      auto statement = make(Statement::Kind::print);
      statement->value = parse_tuple();
      expect_block_end();
      return statement;
    }
    if (tag == "break" || tag == "continue") {
      if (loops_ == 0) fail(tag + " outside a loop");
      expect_block_end();
      return make(tag == "break" ? Statement::Kind::break_ : Statement::Kind::continue_);
    }
    fail("the tag " + tag.substr(0, 40) + " is not supported");
  }

  std::unique_ptr<Statement> parse_if() {
    auto statement = make(Statement::Kind::if_);
    while (true) {
      Statement::Branch branch;
      branch.condition = parse_tuple();
      expect_block_end();
      branch.body = parse_block({"elif", "else", "endif"});
      statement->branches.push_back(std::move(branch));
      if (skip_name("elif")) continue;
      if (skip_name("else")) {
        expect_block_end();
        statement->otherwise = parse_block({"endif"});
      }
      take();
      expect_block_end();
      return statement;
    }
  }

  std::unique_ptr<Statement> parse_for() {
    auto statement = make(Statement::Kind::for_);
    statement->target = parse_target();
    if (!skip_name("in")) fail("expected in");
    statement->value = parse_tuple(ConditionalAllowed::no);
    if (skip_name("if")) statement->condition = parse_expression();
    statement->recursive = skip_name("recursive");
    expect_block_end();
    ++loops_;
    statement->body = parse_block({"else", "endfor"});
    --loops_;
    if (skip_name("else")) {
      expect_block_end();
      statement->otherwise = parse_block({"endfor"});
    }
    take();
    expect_block_end();
    return statement;
  }

  Target parse_target() {
    Target target;
    const bool in_brackets = skip_symbol("(");
    target.names.push_back(expect_target_name());
    if (!in_brackets && current().is_symbol(".")) {
      take();
      target.attribute = expect_name();
      return target;
    }
    while (skip_symbol(",")) {
      target.is_tuple = true;
      if (current().kind != Token::Kind::name || current().is_name("in")) break;
      target.names.push_back(expect_target_name());
    }
    if (in_brackets) expect_symbol(")");
    return target;
  }

  std::string expect_target_name() {
    for (const std::string_view word : {"true", "false", "none", "True", "False", "None"})
      if (current().is_name(word)) fail("cannot assign to " + std::string(word));
    return expect_name();
  }

  std::unique_ptr<Statement> parse_set() {
    Target target = parse_target();
    if (skip_symbol("=")) {
      auto statement = make(Statement::Kind::set);
      statement->target = std::move(target);
      statement->value = parse_tuple();
      expect_block_end();
      return statement;
    }
    auto statement = make(Statement::Kind::set_block);
    statement->target = std::move(target);
    if (current().is_symbol("|")) statement->filter = parse_filters(nullptr, false);
    statement->body = parse_body("endset");
    return statement;
  }

  std::vector<Statement::Parameter> parse_parameters() {
    std::vector<Statement::Parameter> parameters;
    expect_symbol("(");
    while (!current().is_symbol(")")) {
      if (!parameters.empty()) expect_symbol(",");
      if (current().is_symbol(")")) break;
      Statement::Parameter parameter;
      parameter.name = expect_target_name();
      if (skip_symbol("=")) parameter.standard = parse_expression();
      parameters.push_back(std::move(parameter));
    }
    take();
    return parameters;
  }

  /// A body that break and continue cannot leave.
  Block parse_closed_body(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    Block body = parse_body(end);
    loops_ = loops;
    return body;
  }

  std::unique_ptr<Statement> parse_macro() {
    auto statement = make(Statement::Kind::macro);
    statement->text = expect_target_name();
    statement->parameters = parse_parameters();
    statement->body = parse_closed_body("endmacro");
    return statement;
  }

  std::unique_ptr<Statement> parse_call_block() {
    auto statement = make(Statement::Kind::call_block);
    if (current().is_symbol("(")) statement->parameters = parse_parameters();
    statement->value = parse_expression();
    if (statement->value->kind != Kind::call) fail("expected a call");
    statement->body = parse_closed_body("endcall");
    return statement;
  }

  std::unique_ptr<Statement> parse_with() {
    auto statement = make(Statement::Kind::with);
    while (current().kind != Token::Kind::block_end) {
      if (!statement->assignments.empty()) expect_symbol(",");
      Target target;
      target.names.push_back(expect_target_name());
      expect_symbol("=");
      statement->assignments.emplace_back(std::move(target), parse_expression());
    }
    statement->body = parse_body("endwith");
    return statement;
  }

  // Expressions

  enum class ConditionalAllowed { yes, no };

  template <typename... Parts>
  ExpressionPointer node(Kind kind, std::string text, Parts... parts) {
    auto expression = std::make_unique<Expression>();
    expression->kind = kind;
    expression->text = std::move(text);
    (expression->parts.push_back(std::move(parts)), ...);
    return measured(std::move(expression));
  }

  ExpressionPointer measured(ExpressionPointer expression) {
    int depth = 0;
    for (const ExpressionPointer& part : expression->parts)
      if (part) depth = std::max(depth, part->depth);
    for (const Expression::Argument& argument : expression->arguments) depth = std::max(depth, argument.value->depth);
    expression->depth = depth + 1;
    if (expression->depth > deepest_nesting) fail("an expression is nested too deeply");
    return expression;
  }

  /// Expressions separated by commas; without a comma just the expression.
  ExpressionPointer parse_tuple(ConditionalAllowed conditional = ConditionalAllowed::yes) {
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

  bool at_end_of_tuple() const {
    return current().kind == Token::Kind::variable_end || current().kind == Token::Kind::block_end ||
           current().is_symbol(")") || current().is_symbol("]") || current().is_name("in");
  }

  ExpressionPointer parse_expression() {
    const Level level(*this);
    ExpressionPointer value = parse_or();
    while (skip_name("if")) {
      ExpressionPointer condition = parse_or();
      ExpressionPointer otherwise = skip_name("else") ? parse_expression() : nullptr;
      value = node(Kind::conditional, {}, std::move(value), std::move(condition), std::move(otherwise));
    }
    return value;
  }

  ExpressionPointer parse_or() {
    ExpressionPointer left = parse_and();
    if (!current().is_name("or")) return left;
    ExpressionPointer all = node(Kind::logical_or, {}, std::move(left));
    while (skip_name("or")) all->parts.push_back(parse_and());
    return measured(std::move(all));
  }

  ExpressionPointer parse_and() {
    ExpressionPointer left = parse_not();
    if (!current().is_name("and")) return left;
    ExpressionPointer all = node(Kind::logical_and, {}, std::move(left));
    while (skip_name("and")) all->parts.push_back(parse_not());
    return measured(std::move(all));
  }

  ExpressionPointer parse_not() {
    const Level level(*this);
    if (skip_name("not")) return node(Kind::logical_not, {}, parse_not());
    return parse_compare();
  }

  std::string take_comparison() {
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

  ExpressionPointer parse_compare() {
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

  ExpressionPointer parse_sum() {
    ExpressionPointer left = parse_concatenation();
    while (current().is_symbol("+") || current().is_symbol("-")) {
      std::string symbol = take().text;
      left = node(Kind::arithmetic, std::move(symbol), std::move(left), parse_concatenation());
    }
    return left;
  }

  ExpressionPointer parse_concatenation() {
    ExpressionPointer left = parse_product();
    if (!current().is_symbol("~")) return left;
    ExpressionPointer all = node(Kind::concatenate, {}, std::move(left));
    while (skip_symbol("~")) all->parts.push_back(parse_product());
    return measured(std::move(all));
  }

  ExpressionPointer parse_product() {
    ExpressionPointer left = parse_power();
    while (current().is_symbol("*") || current().is_symbol("/") || current().is_symbol("//") ||
           current().is_symbol("%")) {
      std::string symbol = take().text;
      left = node(Kind::arithmetic, std::move(symbol), std::move(left), parse_power());
    }
    return left;
  }

  ExpressionPointer parse_power() {
    ExpressionPointer left = parse_unary(true);
    while (skip_symbol("**")) left = node(Kind::arithmetic, "**", std::move(left), parse_unary(true));
    return left;
  }

  ExpressionPointer parse_unary(bool with_filters) {
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

  ExpressionPointer constant(Value value) {
    ExpressionPointer expression = node(Kind::constant, {});
    expression->constant = std::move(value);
    return expression;
  }

  ExpressionPointer parse_primary() {
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

  ExpressionPointer number(const Token& token) {
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

  ExpressionPointer parse_postfix(ExpressionPointer value) {
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

  ExpressionPointer parse_subscript(ExpressionPointer value) {
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

  std::vector<Expression::Argument> parse_arguments() {
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

  /// | filter(...), is test and calls after an operand; `starts_inside` when the first bar has been left out.
  ExpressionPointer parse_filters(ExpressionPointer value, bool starts_inside) {
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

  ExpressionPointer parse_test(ExpressionPointer value) {
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
  bool starts_bare_argument() const {
    const Token& token = current();
    if (token.kind == Token::Kind::name)
      return !token.is_name("else") && !token.is_name("or") && !token.is_name("and") && !token.is_name("is") &&
             !token.is_name("if") && !token.is_name("not") && !token.is_name("in") && !token.is_name("recursive");
    return token.kind == Token::Kind::string || token.kind == Token::Kind::integer || token.kind == Token::Kind::real ||
           token.is_symbol("[") || token.is_symbol("{");
  }

  std::vector<Token> tokens_;
  std::size_t position_ = 0;
  int level_ = 0;
  int loops_ = 0;
};

}  // namespace

Block parse(std::string_view source) {
  return Parser(tokenize(source)).run();
}

}  // namespace lectern::inference::jinja

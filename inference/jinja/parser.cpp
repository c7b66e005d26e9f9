// Statements: tags, their bodies and ends. Expressions are read by expression_parser.
#include "inference/jinja/parser.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "inference/jinja/expression_parser.h"

namespace lectern::inference::jinja {

namespace {

using Names = std::initializer_list<std::string_view>;

class Parser : private ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Block run() {
    Block block = parse_block({});
    if (current().kind != Token::Kind::end) fail("unexpected end tag");
    return block;
  }

 private:
  void expect_block_end() {
    if (current().kind != Token::Kind::block_end) fail("unexpected text at the end of a tag");
    take();
  }

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
    if (statement->value->kind != Expression::Kind::call) fail("expected a call");
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

  int loops_ = 0;
};

}  // namespace

Block parse(std::string_view source) {
  return Parser(tokenize(source)).run();
}

}  // namespace lectern::inference::jinja

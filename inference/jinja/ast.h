// A template as a tree.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "inference/jinja/value.h"

namespace lectern::inference::jinja {

struct Expression;
using ExpressionPointer = std::unique_ptr<Expression>;

struct Expression {
  enum class Kind {
    constant,     // constant
    name,         // text
    list,         // parts
    tuple,        // parts
    dictionary,   // parts: key, value, key, value ...
    attribute,    // parts[0].text
    item,         // parts[0][parts[1]]
    slice,        // parts[0][parts[1]:parts[2]:parts[3]], each of the last three may be null
    call,         // parts[0](arguments)
    filter,       // parts[0] | text(arguments); parts[0] is null for the text of a block
    test,         // parts[0] is text(arguments)
    negative,     // -parts[0]
    positive,     // +parts[0]
    logical_not,  // not parts[0]
    logical_and,  // all of parts
    logical_or,   // any of parts
    arithmetic,   // parts[0] text parts[1]: + - * / // % **
    concatenate,  // all of parts, with ~
    compare,      // parts[0] operators[0] parts[1] operators[1] parts[2] ...
    conditional,  // parts[0] if parts[1] else parts[2], which may be null
  };
  struct Argument {
    std::string name;  // empty: positional
    ExpressionPointer value;
  };

  Kind kind = Kind::constant;
  std::string text;
  Value constant;
  std::vector<ExpressionPointer> parts;
  std::vector<Argument> arguments;
  std::vector<std::string> operators;
  int depth = 1;  // of the tree below
};

/// What a value is given to.
struct Target {
  std::vector<std::string> names;  // one, or as many as the value has items
  bool is_tuple = false;           // x, = ... unpacks even a single item
  std::string attribute;           // of the namespace names[0], or empty
};

struct Statement;
using Block = std::vector<std::unique_ptr<Statement>>;

struct Statement {
  enum class Kind {
    text,        // text
    print,       // value
    if_,         // branches, otherwise
    for_,        // target, value, condition, body, otherwise
    set,         // target, value
    set_block,   // target, body, filter
    macro,       // text: its name, parameters, body
    call_block,  // value: a call, parameters, body
    filter,      // filter, body
    with,        // assignments, body
    scope,       // body, with names of its own
    break_,
    continue_,
  };
  struct Branch {
    ExpressionPointer condition;
    Block body;
  };
  struct Parameter {
    std::string name;
    ExpressionPointer standard;  // null: undefined unless given
  };

  Kind kind = Kind::text;
  std::string text;
  Target target;
  ExpressionPointer value, condition, filter;
  std::vector<Branch> branches;
  std::vector<Parameter> parameters;
  std::vector<std::pair<Target, ExpressionPointer>> assignments;
  Block body, otherwise;
  bool recursive = false;  // for_
};

}  // namespace lectern::inference::jinja

// Cuts a template into text and tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lectern::inference::jinja {

struct Token {
  enum class Kind {
    text,            // template text between the tags
    variable_begin,  // {{
    variable_end,
    block_begin,  // {%
    block_end,
    name,
    integer,
    real,
    string,  // unescaped
    symbol,  // an operator or bracket
    end,
  };
  Kind kind = Kind::end;
  std::string text;
  int line = 1;

  bool is_symbol(std::string_view symbol) const { return kind == Kind::symbol && text == symbol; }
  bool is_name(std::string_view name) const { return kind == Kind::name && text == name; }
};

/// The tokens of a template, the last of kind end. White space around tags is handled as with trim_blocks and
/// lstrip_blocks, comments are dropped, raw blocks are text. Throws Failure{syntax}.
std::vector<Token> tokenize(std::string_view source);

}  // namespace lectern::inference::jinja

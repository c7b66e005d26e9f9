// Why a template could not be read or run, and the limits under which it runs.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace lectern::inference::jinja {

/// Never leaves chat_template.cpp.
class Failure : public std::runtime_error {
 public:
  enum class Kind {
    syntax,   // not Jinja, or a construct outside our subset
    broken,   // an operation that Python would refuse too: an undefined value called, 1 + "a"
    refused,  // the template itself called raise_exception
    limit,    // too long, too deep, too much
  };
  Failure(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

/// Nesting of expressions, statements and macro calls together; a level takes about a kilobyte of stack.
constexpr int deepest_nesting = 300;
/// Nesting of lists and dictionaries.
constexpr int deepest_value = 100;

/// What a rendering may still cost. A byte made, read or compared is one unit and every step 64, so the budget bounds
/// time and memory alike, whatever the template does.
class Work {
 public:
  static constexpr std::int64_t step = 64;

  explicit Work(std::int64_t budget) : left_(budget) {}
  void charge(std::int64_t units) {
    if (units > left_ || units < 0) throw Failure(Failure::Kind::limit, "it takes too much time or memory");
    left_ -= units;
  }

 private:
  std::int64_t left_;
};

}  // namespace lectern::inference::jinja

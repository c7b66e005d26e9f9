// Options and operands of one command.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace lectern::app {

/// A wrong call: exit status 2. `what()` is "SUBJECT: what is wrong and what to do".
class CliUsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The task failed: exit status 1.
class CliError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct CliOptions {
  std::vector<std::string> flags;   // "--json"
  std::vector<std::string> values;  // "--model", which takes the next argument (or "--model=M")
};

/// Options may stand anywhere before "--"; "-" alone is an operand.
class CliArguments {
 public:
  CliArguments(const std::string& command, const std::vector<std::string>& arguments, const CliOptions& known);

  bool has(const std::string& flag) const { return given_.contains(flag); }
  std::optional<std::string> value(const std::string& option) const;
  std::optional<std::int64_t> integer(const std::string& option, std::int64_t least, std::int64_t most) const;
  std::optional<double> number(const std::string& option, double least, double most) const;
  const std::vector<std::string>& operands() const { return operands_; }

 private:
  std::map<std::string, std::string> given_;
  std::vector<std::string> operands_;
};

}  // namespace lectern::app

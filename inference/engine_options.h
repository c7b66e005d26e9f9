// The command line of one engine command, as values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace lectern::inference {

/// A wrong call: exit status 2, with one line that says what was expected.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// "--name VALUE", "--name=VALUE", bare "--flag" and positional arguments. "--" ends the options; "-" is positional.
class EngineOptions {
 public:
  /// `valued` and `flags`: the options that exist. Throws UsageError for any other, and for a missing value.
  EngineOptions(std::span<const std::string> args, std::span<const std::string_view> valued,
                std::span<const std::string_view> flags);

  bool has(std::string_view flag) const;
  std::optional<std::string> text(std::string_view option) const;
  std::string required_text(std::string_view option) const;
  /// Throws UsageError if it is not a whole number of [least, most].
  std::optional<std::int64_t> integer(std::string_view option, std::int64_t least, std::int64_t most) const;
  std::optional<double> number(std::string_view option, double least, double most) const;
  /// Whole numbers separated by commas; empty if the option is absent.
  std::vector<std::int64_t> integers(std::string_view option, std::int64_t least, std::int64_t most) const;
  const std::vector<std::string>& positional() const { return positional_; }

 private:
  struct Given {
    std::string name, value;
  };
  std::vector<Given> given_;
  std::vector<std::string> positional_;
};

/// The whole of a file, or of standard input for "-". Throws Error{io} naming it.
std::string read_text(const std::string& path);
/// Decimal ids separated by white space. Throws Error{bad_file} naming the file and the word.
std::vector<std::int32_t> read_ids(const std::string& path);

}  // namespace lectern::inference

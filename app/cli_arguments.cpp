#include "app/cli_arguments.h"

#include <algorithm>
#include <charconv>
#include <sstream>

namespace lectern::app {

CliArguments::CliArguments(const std::string& command, const std::vector<std::string>& arguments,
                           const CliOptions& known) {
  const auto is_in = [](const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  const std::string help = "; see lectern-cli " + command + " --help";
  bool options_end = false;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    const std::string& argument = arguments[at];
    if (options_end || argument.size() < 2 || argument[0] != '-') {
      operands_.push_back(argument);
      continue;
    }
    if (argument == "--") {
      options_end = true;
      continue;
    }
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    if (is_in(known.flags, name)) {
      if (equals != std::string::npos) throw CliUsageError(name + ": it takes no value" + help);
      given_[name] = "";
    } else if (is_in(known.values, name)) {
      if (equals != std::string::npos) {
        given_[name] = argument.substr(equals + 1);
      } else if (at + 1 < arguments.size()) {
        given_[name] = arguments[++at];
      } else {
        throw CliUsageError(name + ": its value is missing" + help);
      }
    } else {
      throw CliUsageError(name + ": there is no such option" + help);
    }
  }
}

std::optional<std::string> CliArguments::value(const std::string& option) const {
  const auto found = given_.find(option);
  return found == given_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::int64_t> CliArguments::integer(const std::string& option, std::int64_t least,
                                                  std::int64_t most) const {
  const std::optional<std::string> text = value(option);
  if (!text) return std::nullopt;
  std::int64_t number = 0;
  const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (problem != std::errc() || end != text->data() + text->size() || number < least || number > most) {
    throw CliUsageError(option + ": \"" + *text + "\" is no whole number from " + std::to_string(least) + " to " +
                        std::to_string(most));
  }
  return number;
}

std::optional<double> CliArguments::number(const std::string& option, double least, double most) const {
  const std::optional<std::string> text = value(option);
  if (!text) return std::nullopt;
  double number = 0;
  const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (problem != std::errc() || end != text->data() + text->size() || !(number >= least && number <= most)) {
    std::ostringstream range;
    range << least << " to " << most;
    throw CliUsageError(option + ": \"" + *text + "\" is no number from " + range.str());
  }
  return number;
}

}  // namespace lectern::app

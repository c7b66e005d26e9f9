#include "inference/engine_options.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "kernels/error.h"

namespace lectern::inference {

namespace {

std::int64_t whole_number(std::string_view option, std::string_view word, std::int64_t least, std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value < least || value > most)
    throw UsageError(std::string(option) + ": \"" + std::string(word) + "\" is not a whole number from " +
                     std::to_string(least) + " to " + std::to_string(most));
  return value;
}

}  // namespace

EngineOptions::EngineOptions(std::span<const std::string> args, std::span<const std::string_view> valued,
                             std::span<const std::string_view> flags) {
  const auto known = [](std::span<const std::string_view> names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (std::size_t index = 0; index < args.size(); ++index) {
    const std::string& word = args[index];
    if (word == "--") {
      positional_.insert(positional_.end(), args.begin() + static_cast<std::ptrdiff_t>(index) + 1, args.end());
      return;
    }
    if (word.size() < 3 || !word.starts_with("--")) {
      positional_.push_back(word);
      continue;
    }
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (known(flags, name) && equals == std::string::npos) {
      given_.push_back({name, ""});
    } else if (known(valued, name)) {
      if (equals != std::string::npos) {
        given_.push_back({name, word.substr(equals + 1)});
      } else {
        if (index + 1 >= args.size()) throw UsageError(name + ": a value must follow");
        given_.push_back({name, args[++index]});
      }
    } else {
      throw UsageError(name + ": there is no such option");
    }
  }
}

bool EngineOptions::has(std::string_view flag) const {
  return std::any_of(given_.begin(), given_.end(), [&](const Given& given) { return given.name == flag; });
}

std::optional<std::string> EngineOptions::text(std::string_view option) const {
  for (auto given = given_.rbegin(); given != given_.rend(); ++given)
    if (given->name == option) return given->value;
  return std::nullopt;
}

std::string EngineOptions::required_text(std::string_view option) const {
  auto value = text(option);
  if (!value) throw UsageError(std::string(option) + ": it must be given");
  return *value;
}

std::optional<std::int64_t> EngineOptions::integer(std::string_view option, std::int64_t least,
                                                   std::int64_t most) const {
  const auto value = text(option);
  if (!value) return std::nullopt;
  return whole_number(option, *value, least, most);
}

std::optional<double> EngineOptions::number(std::string_view option, double least, double most) const {
  const auto value = text(option);
  if (!value) return std::nullopt;
  double parsed = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), parsed);
  if (error != std::errc() || end != value->data() + value->size() || !(parsed >= least && parsed <= most))
    throw UsageError(std::string(option) + ": \"" + *value + "\" is not a number in its range");
  return parsed;
}

std::vector<std::int64_t> EngineOptions::integers(std::string_view option, std::int64_t least,
                                                  std::int64_t most) const {
  std::vector<std::int64_t> values;
  const auto value = text(option);
  if (!value) return values;
  std::stringstream words(*value);
  for (std::string word; std::getline(words, word, ',');) values.push_back(whole_number(option, word, least, most));
  if (values.empty()) throw UsageError(std::string(option) + ": numbers separated by commas must follow");
  return values;
}

std::string read_text(const std::string& path) {
  if (path == "-") return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  if (std::filesystem::is_directory(path)) throw Error(ErrorKind::io, path + ": is a folder; give a file");
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw Error(ErrorKind::io, path + ": cannot be read: " + std::strerror(errno));
  std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (stream.bad()) throw Error(ErrorKind::io, path + ": reading failed");
  return text;
}

std::vector<std::int32_t> read_ids(const std::string& path) {
  std::istringstream words(read_text(path));
  std::vector<std::int32_t> ids;
  for (std::string word; words >> word;) {
    std::int32_t id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size() || id < 0)
      throw Error(ErrorKind::bad_file, path + ": \"" + word.substr(0, 40) + "\" is not a token id");
    ids.push_back(id);
  }
  if (ids.empty()) throw Error(ErrorKind::bad_file, path + ": holds no token ids");
  return ids;
}

}  // namespace lectern::inference

#include "inference/json_file.h"

#include <cmath>
#include <fstream>
#include <set>
#include <vector>

#include "inference/gguf_file.h"
#include "kernels/error.h"

namespace lectern::inference {

using Json = nlohmann::json;

namespace {

constexpr int deepest = 32;

}  // namespace

Json parse_json_object(std::string_view text, const std::string& file) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > deepest) throw Error(ErrorKind::bad_file, file + ": its JSON is nested too deeply");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      throw Error(ErrorKind::bad_file, file + ": '" + printable(parsed.get<std::string>()) + "' is given twice");
    return true;
  };
  try {
    Json json = Json::parse(text, watch);
    if (json.is_object()) return json;
  } catch (const Json::exception&) {
    // one message for all that JSON can get wrong
  }
  throw Error(ErrorKind::bad_file, file + ": is not a JSON object; fetch the file again");
}

Json read_json_object(const std::filesystem::path& path, std::int64_t most_bytes) {
  const std::string file = path.string();
  std::error_code failure;
  const auto size = std::filesystem::file_size(path, failure);
  if (failure) throw Error(ErrorKind::io, file + ": cannot be read: " + failure.message());
  if (size > static_cast<std::uintmax_t>(most_bytes))
    throw Error(ErrorKind::bad_file, file + ": is " + std::to_string(size) + " bytes long, more than " +
                                         std::to_string(most_bytes) + " are possible");
  std::string text(static_cast<std::size_t>(size), '\0');
  std::ifstream stream(path, std::ios::binary);
  if (!stream.read(text.data(), static_cast<std::streamsize>(text.size())))
    throw Error(ErrorKind::io, file + ": cannot be read");
  return parse_json_object(text, file);
}

JsonKeys::JsonKeys(const Json& object, std::string file, std::string prefix)
    : object_(&object), file_(std::move(file)), prefix_(std::move(prefix)) {}

const Json* JsonKeys::find(const char* key) const {
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

std::optional<JsonKeys> JsonKeys::object(const char* key) const {
  const Json* const value = find(key);
  if (value == nullptr) return {};
  if (!value->is_object()) bad(key, "is not an object");
  return JsonKeys(*value, file_, prefix_ + key + ".");
}

std::optional<std::int64_t> JsonKeys::integer(const char* key, std::int64_t least, std::int64_t most) const {
  const Json* const value = find(key);
  if (value == nullptr) return {};
  if (!value->is_number_integer()) bad(key, "is not a whole number");
  const bool beyond = value->is_number_unsigned() && value->get<std::uint64_t>() > static_cast<std::uint64_t>(most);
  if (beyond || value->get<std::int64_t>() < least || value->get<std::int64_t>() > most)
    bad(key, "is " + value->dump() + "; " + std::to_string(least) + " to " + std::to_string(most) + " is possible");
  return value->get<std::int64_t>();
}

std::int64_t JsonKeys::required(const char* key, std::int64_t least, std::int64_t most) const {
  const auto value = integer(key, least, most);
  if (!value) bad(key, "is missing");
  return *value;
}

std::optional<double> JsonKeys::positive(const char* key) const {
  const Json* const value = find(key);
  if (value == nullptr) return {};
  if (!value->is_number()) bad(key, "is not a number");
  const double number = value->get<double>();
  if (!std::isfinite(number) || number <= 0) bad(key, "is " + value->dump() + ", not a number above 0");
  return number;
}

double JsonKeys::required_positive(const char* key) const {
  const auto value = positive(key);
  if (!value) bad(key, "is missing");
  return *value;
}

std::optional<bool> JsonKeys::boolean(const char* key) const {
  const Json* const value = find(key);
  if (value == nullptr) return {};
  if (!value->is_boolean()) bad(key, "is neither true nor false");
  return value->get<bool>();
}

std::optional<std::string> JsonKeys::text(const char* key) const {
  const Json* const value = find(key);
  if (value == nullptr) return {};
  if (!value->is_string()) bad(key, "is not a text");
  return value->get<std::string>();
}

void JsonKeys::bad(const char* key, const std::string& what) const {
  throw Error(ErrorKind::bad_file, file_ + ": '" + prefix_ + key + "' " + what);
}

void JsonKeys::unsupported(const std::string& what) const {
  throw Error(ErrorKind::unsupported, file_ + ": " + what);
}

}  // namespace lectern::inference

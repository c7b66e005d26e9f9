// One table-like function says which key holds which value within which bounds; loading and saving both run it, so that
// they cannot disagree.
#include "app/settings.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/atomic_file.h"
#include "app/paths.h"

namespace lectern::app {
namespace {

using Json = nlohmann::ordered_json;

/// Visitor of visit(): takes values from the JSON.
struct Reader {
  const Json& json;
  std::string bad_keys;

  const Json* find(const char* key) const {
    const auto found = json.find(key);
    return found == json.end() ? nullptr : &*found;
  }
  void reject(const char* key) { bad_keys += (bad_keys.empty() ? "" : ", ") + std::string(key); }

  void text(const char* key, std::string& value) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (found->is_string())
      value = found->get<std::string>();
    else
      reject(key);
  }
  template <class Value>
  void integer(const char* key, Value& value, std::int64_t low, std::int64_t high) {
    const Json* found = find(key);
    if (found == nullptr) return;
    const bool fits =
        found->is_number_integer() &&
        !(found->is_number_unsigned() &&
          found->get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) &&
        found->get<std::int64_t>() >= low && found->get<std::int64_t>() <= high;
    if (fits)
      value = static_cast<Value>(found->get<std::int64_t>());
    else
      reject(key);
  }
  void real(const char* key, float& value, float low, float high) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (found->is_number() && found->get<float>() >= low && found->get<float>() <= high)
      value = found->get<float>();
    else
      reject(key);
  }
  void truth(const char* key, bool& value) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (found->is_boolean())
      value = found->get<bool>();
    else
      reject(key);
  }
  void theme(const char* key, Theme& value) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (*found == "system")
      value = Theme::system;
    else if (*found == "light")
      value = Theme::light;
    else if (*found == "dark")
      value = Theme::dark;
    else
      reject(key);
  }
};

/// Visitor of visit(): puts values into the JSON.
struct Writer {
  Json& json;

  void text(const char* key, const std::string& value) { json[key] = value; }
  template <class Value>
  void integer(const char* key, const Value& value, std::int64_t, std::int64_t) {
    json[key] = value;
  }
  void real(const char* key, float value, float, float) {
    // Six digits are what a person chooses; then 0.1 is written, not 0.10000000149.
    const double rounded = std::round(static_cast<double>(value) * 1e6) / 1e6;
    json[key] = static_cast<float>(rounded) == value ? rounded : static_cast<double>(value);
  }
  void truth(const char* key, bool value) { json[key] = value; }
  void theme(const char* key, Theme value) {
    json[key] = value == Theme::light ? "light" : value == Theme::dark ? "dark" : "system";
  }
};

constexpr std::int64_t most_integer = std::int64_t{1} << 53;  // what every JSON reader keeps

template <class Visitor, class Values>
void visit(Visitor& visitor, Values& settings) {
  visitor.text("model", settings.model);
  visitor.integer("threads", settings.threads, 0, 1024);
  visitor.integer("window_tokens", settings.window_tokens, 0, std::int64_t{1} << 30);
  visitor.theme("theme", settings.theme);
  visitor.text("language", settings.language);
  visitor.integer("max_tokens", settings.max_tokens, 1, std::int64_t{1} << 30);
  visitor.integer("kept_gigabytes", settings.kept_gigabytes, -1, 1'000'000);
  visitor.truth("read_ahead", settings.read_ahead);
  visitor.real("temperature", settings.sampling.temperature, 0, 10);
  visitor.integer("top_k", settings.sampling.top_k, 0, 1'000'000);
  visitor.real("top_p", settings.sampling.top_p, 0, 1);
  visitor.real("min_p", settings.sampling.min_p, 0, 1);
  visitor.real("repetition_penalty", settings.sampling.repetition_penalty, 0.01F, 10);
  visitor.real("presence_penalty", settings.sampling.presence_penalty, -10, 10);
  visitor.real("frequency_penalty", settings.sampling.frequency_penalty, -10, 10);
  visitor.integer("penalty_window", settings.sampling.penalty_window, 0, 1'000'000);
  visitor.integer("seed", settings.sampling.seed, 0, most_integer);
}

/// The object in the file; empty if it is no JSON object.
std::optional<Json> parse(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  Json json = Json::parse(text, nullptr, false);
  if (!stream.good() && !stream.eof()) return std::nullopt;
  if (!json.is_object()) return std::nullopt;
  return json;
}

}  // namespace

std::string settings_file() {
  return config_folder() + "/settings.json";
}

LoadedSettings load_settings(const std::string& path) {
  LoadedSettings loaded;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return loaded;
  const std::optional<Json> json = parse(path);
  if (!json) {
    const std::string aside = path + ".damaged";
    std::filesystem::rename(path, aside, error);
    loaded.warning = path + ": the settings are damaged and the defaults are used; " +
                     (error ? "delete the file or repair it" : "the old file is kept as " + aside);
    return loaded;
  }
  Reader reader{*json, {}};
  visit(reader, loaded.settings);
  if (!reader.bad_keys.empty())
    loaded.warning = path + ": the default is used for " + reader.bad_keys + ", which has no value that can be used";
  return loaded;
}

void save_settings(const std::string& path, const Settings& settings) {
  std::error_code error;
  Json json = Json::object();
  if (std::filesystem::exists(path, error)) json = parse(path).value_or(Json::object());
  Writer writer{json};
  visit(writer, settings);
  write_atomically(path, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace lectern::app

// JSON from files that nobody vouches for: config.json, the index of a checkpoint, the header of a safetensors file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace lectern::inference {

/// Parses an object. Error{bad_file} naming `file` for anything else, for a key that an object has twice, and for
/// objects nested deeper than 32.
nlohmann::json parse_json_object(std::string_view text, const std::string& file);
/// The same for a whole file of at most `most_bytes`. Error{io} if it cannot be read.
nlohmann::json read_json_object(const std::filesystem::path& path, std::int64_t most_bytes);

/// Members of one object of a configuration; null counts as absent. Every getter throws Error{bad_file} naming file and
/// key for a value of another type or outside its range.
class JsonKeys {
 public:
  /// `prefix` stands before keys in messages: "text_config.". The object must outlive this.
  JsonKeys(const nlohmann::json& object, std::string file, std::string prefix = "");

  bool has(const char* key) const { return find(key) != nullptr; }
  const nlohmann::json* find(const char* key) const;
  /// The object under `key`, or nothing.
  std::optional<JsonKeys> object(const char* key) const;

  /// A whole number of [least, most].
  std::optional<std::int64_t> integer(const char* key, std::int64_t least, std::int64_t most) const;
  std::int64_t required(const char* key, std::int64_t least, std::int64_t most) const;
  /// A finite number above 0.
  std::optional<double> positive(const char* key) const;
  double required_positive(const char* key) const;
  std::optional<bool> boolean(const char* key) const;
  std::optional<std::string> text(const char* key) const;

  const std::string& file() const { return file_; }
  [[noreturn]] void bad(const char* key, const std::string& what) const;
  [[noreturn]] void unsupported(const std::string& what) const;

 private:
  const nlohmann::json* object_;
  std::string file_, prefix_;
};

}  // namespace lectern::inference

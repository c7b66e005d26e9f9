#include "inference/model_files.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "inference/gguf_file.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

constexpr const char* default_model = "SmolLM2-135M-Instruct.Q4_1.gguf";

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// A GGUF file (of several parts the first) or a Hugging Face folder.
bool is_model(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return std::filesystem::exists(path / "config.json", error);
  return lower(path.extension().string()) == ".gguf" && !is_later_gguf_shard(path);
}

}  // namespace

std::filesystem::path models_folder() {
  if (const char* data = std::getenv("XDG_DATA_HOME"); data && *data == '/')
    return std::filesystem::path(data) / "lectern" / "models";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home && *home ? home : ".") / ".local" / "share" / "lectern" / "models";
}

std::vector<std::filesystem::path> list_models(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> models;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (is_model(entry->path())) models.push_back(entry->path());
  std::sort(models.begin(), models.end());
  return models;
}

std::filesystem::path find_model(std::string_view name, const std::filesystem::path& folder) {
  const std::vector<std::filesystem::path> models = list_models(folder);
  if (name.empty()) {
    if (models.empty()) throw Error(ErrorKind::io, "no model: run installer/run once or give --model FILE");
    const auto usual =
        std::find_if(models.begin(), models.end(), [](const auto& path) { return path.filename() == default_model; });
    return usual == models.end() ? models.front() : *usual;
  }
  std::error_code error;
  const std::filesystem::path path(name);
  if (std::filesystem::exists(path, error)) return path;
  const std::string wanted = lower(std::string(name));
  for (const auto& model : models)
    if (lower(model.filename().string()) == wanted || lower(model.stem().string()) == wanted) return model;
  throw Error(ErrorKind::io, "model \"" + std::string(name) +
                                 "\": there is no such file, and no model of that name in " + folder.string() +
                                 "; `model list` shows those that are there");
}

}  // namespace lectern::inference

#include "app/kept_readings.h"

#include <optional>

#include "app/paths.h"
#include "app/prompt_builder.h"

namespace lectern::app {

namespace {

template <class Clear>
ForgottenReadings forget(const std::filesystem::path& path, Clear clear) {
  ForgottenReadings forgotten;
  std::error_code ignored;
  if (path.empty() || !std::filesystem::exists(path, ignored)) return forgotten;
  inference::ContextFolder folder(path, inference::system_files());
  if (clear(folder, forgotten.bytes)) return forgotten;
  forgotten.problem = folder.stats(std::nullopt).problem;
  if (forgotten.problem.empty()) forgotten.problem = path.string() + ": it is in use; try again in a moment";
  return forgotten;
}

}  // namespace

std::filesystem::path kept_folder() {
  return std::filesystem::path(cache_folder()) / "context";
}

std::optional<std::int64_t> kept_budget(const Settings& settings) {
  if (settings.kept_gigabytes < 0) return std::nullopt;
  return settings.kept_gigabytes * 1'000'000'000;
}

void keep_readings(const Settings& settings, const std::filesystem::path& folder,
                   inference::LocalEngineOptions& options) {
  if (settings.kept_gigabytes == 0) return;
  options.kept_folder = folder;
  options.kept_budget_bytes = kept_budget(settings);
}

std::vector<std::string> segment_ids(const SessionStore& store, std::int64_t session) {
  std::vector<std::string> ids;
  const std::vector<std::string> documents = store.documents(session);
  for (const Message& message : store.all_messages(session)) {
    ids.push_back(message_id(message.id));
    if (message.role != inference::Role::user) continue;
    for (const std::string& document : documents) ids.push_back(passages_id(document, message.id));
  }
  return ids;
}

ForgottenReadings forget_readings(const std::filesystem::path& folder, std::span<const std::string> ids) {
  return forget(folder, [&](inference::ContextFolder& open, std::int64_t& bytes) {
    for (const std::string& id : ids) {
      const std::optional<std::int64_t> freed = open.clear_document(id);
      if (!freed) return false;
      bytes += *freed;
    }
    return true;
  });
}

ForgottenReadings forget_all_readings(const std::filesystem::path& folder) {
  return forget(folder, [](inference::ContextFolder& open, std::int64_t& bytes) {
    const std::optional<std::int64_t> freed = open.clear();
    bytes = freed.value_or(0);
    return freed.has_value();
  });
}

}  // namespace lectern::app

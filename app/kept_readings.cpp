#include "app/kept_readings.h"

#include "app/paths.h"

namespace lectern::app {

std::filesystem::path kept_folder() {
  return std::filesystem::path(cache_folder()) / "context";
}

void keep_readings(const Settings& settings, const std::filesystem::path& folder,
                   inference::LocalEngineOptions& options) {
  if (settings.kept_gigabytes == 0) return;
  options.kept_folder = folder;
  if (settings.kept_gigabytes > 0) options.kept_budget_bytes = settings.kept_gigabytes * 1'000'000'000;
}

std::int64_t forget_kept(const std::string& id) {
  return inference::clear_context_document(kept_folder(), id, inference::system_files());
}

}  // namespace lectern::app

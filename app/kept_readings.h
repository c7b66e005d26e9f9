// Kept readings on disk: where they lie, how much of it there may be, and what goes with a document or a session.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "app/session_store.h"
#include "app/settings.h"
#include "inference/local_engine.h"

namespace lectern::app {

std::filesystem::path kept_folder();  // cache_folder()/context

/// Bytes of kept readings that the settings allow; nothing: as much as the engine thinks right.
std::optional<std::int64_t> kept_budget(const Settings& settings);
/// Makes an engine keep its readings in `folder` (empty: in memory alone), unless the settings turn that off.
void keep_readings(const Settings& settings, const std::filesystem::path& folder,
                   inference::LocalEngineOptions& options);

/// The ids of all segments that belong to a session alone: its messages, and the passages that were chosen for them.
std::vector<std::string> segment_ids(const SessionStore& store, std::int64_t session);

struct [[nodiscard]] ForgottenReadings {
  std::int64_t bytes = 0;  // that were freed
  std::string problem;     // why not all of it is gone, or empty
};
/// Forgets in `folder` all that was computed with one of these documents (passages of them too) or messages in the
/// context; what was computed with something is content too. An engine that is open must be told by itself
/// (Engine::forget_document). Nothing happens if there is no such folder.
ForgottenReadings forget_readings(const std::filesystem::path& folder, std::span<const std::string> ids);
ForgottenReadings forget_all_readings(const std::filesystem::path& folder);

}  // namespace lectern::app

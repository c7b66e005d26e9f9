// Kept readings on disk: where they lie and how much of it there may be.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "app/settings.h"
#include "inference/local_engine.h"

namespace lectern::app {

std::filesystem::path kept_folder();  // cache_folder()/context

/// Makes an engine keep its readings in `folder` (empty: in memory alone), unless the settings turn that off.
void keep_readings(const Settings& settings, const std::filesystem::path& folder,
                   inference::LocalEngineOptions& options);

/// Forgets on disk all that was computed with this document, or this message, in the context. Gives the bytes that were
/// freed. An engine that is open must be told by itself (Engine::forget_document).
std::int64_t forget_kept(const std::string& id);

}  // namespace lectern::app

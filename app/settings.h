// What the person chose, in one small JSON file of the configuration folder.
#pragma once

#include <cstdint>
#include <string>

#include "inference/types.h"

namespace lectern::app {

enum class Theme { system, light, dark };

struct Settings {
  std::string model;               // a file of the models folder or a path; empty: the default model
  int threads = 0;                 // 0: as many as the machine has cores
  std::int64_t window_tokens = 0;  // 0: the model's own window
  Theme theme = Theme::system;
  std::string language;  // "en", "zh_CN"; empty: the system's
  inference::SamplingOptions sampling;
  std::int64_t max_tokens = 512;
  /// Disk for kept readings; below 0: 50 GB or a tenth of what is free, whichever is less; 0: none are kept there.
  std::int64_t kept_gigabytes = -1;
  bool read_ahead = true;  // documents are read before a question is asked; off saves the battery
};

struct LoadedSettings {
  Settings settings;
  std::string warning;  // one sentence if the file could not be used (wholly or a value of it), or empty
};

std::string settings_file();  // config_folder()/settings.json

/// Never fails: a missing file gives the defaults; a damaged one too, with a warning, and is kept beside as
/// "….damaged". A value that is out of range keeps its default, with a warning.
LoadedSettings load_settings(const std::string& path);

/// Atomic. Values of the file that this version does not know stay. Throws lectern::Error (io).
void save_settings(const std::string& path, const Settings& settings);

}  // namespace lectern::app

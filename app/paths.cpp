// The XDG rules: an absolute path in the variable wins, else the customary place under the home folder. Folders are
// made with mode 0700: what a person reads is nobody else's business.
#include "app/paths.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "kernels/error.h"

namespace lectern::app {
namespace {

namespace fs = std::filesystem;

fs::path home_folder() {
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/') return home;
  if (const passwd* entry = getpwuid(getuid()); entry != nullptr && entry->pw_dir != nullptr) return entry->pw_dir;
  throw Error(ErrorKind::io, "HOME: is not set; set it to your home folder");
}

std::string folder(const char* variable, const char* customary, const char* inside = nullptr) {
  const char* value = std::getenv(variable);
  fs::path path = value != nullptr && value[0] == '/' ? fs::path(value) : home_folder() / customary;
  path /= "lectern";
  if (inside != nullptr) path /= inside;
  std::error_code error;
  if (fs::is_directory(path, error)) return path.string();
  fs::path first_missing = path;
  while (first_missing.has_parent_path() && !fs::exists(first_missing.parent_path(), error))
    first_missing = first_missing.parent_path();
  fs::create_directories(path, error);
  if (error)
    throw Error(ErrorKind::io, path.string() + ": the folder cannot be made (" + error.message() + "); make " +
                                   first_missing.parent_path().string() + " writable or set " + variable +
                                   " to a folder that is");
  std::error_code ignored;  // a file system without modes is no reason to stop
  fs::permissions(path, fs::perms::owner_all, fs::perm_options::replace, ignored);
  return path.string();
}

}  // namespace

std::string data_folder() {
  return folder("XDG_DATA_HOME", ".local/share");
}
std::string config_folder() {
  return folder("XDG_CONFIG_HOME", ".config");
}
std::string cache_folder() {
  return folder("XDG_CACHE_HOME", ".cache");
}
std::string library_file() {
  return data_folder() + "/library.sqlite";
}
std::string models_folder() {
  return folder("XDG_DATA_HOME", ".local/share", "models");
}

}  // namespace lectern::app

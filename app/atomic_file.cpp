// A new file beside the old one, forced to the disk, then renamed over it; the folder is forced too, since the rename
// is its.
#include "app/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "kernels/error.h"

namespace lectern::app {
namespace {

[[noreturn]] void fail(const std::string& path) {
  const int error = errno;
  const char* advice =
      error == ENOSPC || error == EDQUOT ? "free some space and try again" : "make its folder writable";
  throw Error(ErrorKind::io, path + ": cannot be written (" + std::strerror(error) + "); " + advice);
}

}  // namespace

void write_atomically(const std::string& path, std::string_view content) {
  std::string temporary = path + ".XXXXXX";
  const int file = mkostemp(temporary.data(), O_CLOEXEC);
  if (file < 0) fail(path);
  std::string_view rest = content;
  bool good = true;
  while (good && !rest.empty()) {
    const ssize_t written = write(file, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    good = written >= 0;
    if (good) rest.remove_prefix(static_cast<std::size_t>(written));
  }
  good = good && fsync(file) == 0;
  const int error = errno;
  close(file);
  errno = error;
  if (!good || rename(temporary.c_str(), path.c_str()) != 0) {
    const int kept = errno;
    unlink(temporary.c_str());
    errno = kept;
    fail(path);
  }
  const int folder = open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
}

}  // namespace lectern::app

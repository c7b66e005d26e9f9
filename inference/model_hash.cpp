// A line a file: hash, size, inode, modification and change in nanoseconds, path. The time of change cannot be set by
// programs, so weights that were exchanged under their old name and date are noticed. A file that changed less than two
// seconds ago is not remembered: another change in the same tick of the file system's clock would go unnoticed.
#include "inference/model_hash.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "kernels/error.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace lectern::inference {

namespace {

constexpr std::size_t most_remembered = 256;
constexpr std::int64_t young_ns = 2'000'000'000;

std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

/// What tells a file from another one, as the line says it.
std::string stamp_of(const struct stat& file) {
  std::ostringstream text;
  text << file.st_size << ' ' << file.st_ino << ' ' << nanoseconds(file.st_mtim) << ' ' << nanoseconds(file.st_ctim);
  return text.str();
}

std::string hex(const XXH128_hash_t& hash) {
  std::array<char, 33> digits{};
  std::snprintf(digits.data(), digits.size(), "%016" PRIx64 "%016" PRIx64, static_cast<std::uint64_t>(hash.high64),
                static_cast<std::uint64_t>(hash.low64));
  return digits.data();
}

[[noreturn]] void fail(const std::filesystem::path& file) {
  throw Error(ErrorKind::io, file.string() + ": it cannot be read: " + std::strerror(errno));
}

std::string hash_of(const std::filesystem::path& file) {
  struct Descriptor {
    explicit Descriptor(int number) : fd(number) {}
    Descriptor(const Descriptor&) = delete;
    ~Descriptor() {
      if (fd >= 0) ::close(fd);
    }
    int fd;
  } opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (opened.fd < 0) fail(file);
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_128bits_reset(&state);
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  while (true) {
    const ssize_t count = ::read(opened.fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(file);
    if (count == 0) break;
    XXH3_128bits_update(&state, buffer.data(), static_cast<std::size_t>(count));
  }
  return hex(XXH3_128bits_digest(&state));
}

struct Line {
  std::string hash, stamp, path;
};

std::vector<Line> read_lines(const std::filesystem::path& memory) {
  std::vector<Line> lines;
  std::ifstream file(memory);
  for (std::string text; lines.size() < most_remembered && std::getline(file, text);) {
    std::istringstream words(text);
    Line line;
    std::string size, inode, modified, changed;
    if (!(words >> line.hash >> size >> inode >> modified >> changed) || line.hash.size() != 32 || words.get() != ' ')
      continue;
    line.stamp = size + ' ' + inode + ' ' + modified + ' ' + changed;
    if (std::getline(words, line.path) && !line.path.empty()) lines.push_back(std::move(line));
  }
  return lines;
}

void write_lines(const std::filesystem::path& memory, const std::vector<Line>& lines) {
  const std::filesystem::path fresh = memory.string() + '.' + std::to_string(::getpid());
  {
    std::ofstream file(fresh, std::ios::trunc);
    for (const Line& line : lines) file << line.hash << ' ' << line.stamp << ' ' << line.path << '\n';
    if (!file.flush()) return;
  }
  std::error_code problem;
  std::filesystem::rename(fresh, memory, problem);
  if (problem) std::filesystem::remove(fresh, problem);
}

}  // namespace

std::string model_hash(std::span<const std::filesystem::path> files, const std::filesystem::path& memory) {
  std::vector<Line> lines;
  if (!memory.empty()) lines = read_lines(memory);
  const std::int64_t now =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::string all;
  bool changed = false;
  for (const std::filesystem::path& file : files) {
    std::error_code ignored;
    const std::filesystem::path absolute = std::filesystem::absolute(file, ignored);
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) fail(file);
    const std::string stamp = stamp_of(status);
    const auto known = std::find_if(lines.begin(), lines.end(), [&](const Line& line) {
      return line.path == absolute.string() && line.stamp == stamp;
    });
    if (known != lines.end()) {
      all += known->hash;
      continue;
    }
    const std::string hash = hash_of(file);
    all += hash;
    std::erase_if(lines, [&](const Line& line) { return line.path == absolute.string(); });
    const bool one_line = absolute.string().find('\n') == std::string::npos;
    if (!one_line || now - nanoseconds(status.st_ctim) < young_ns) continue;
    lines.insert(lines.begin(), {hash, stamp, absolute.string()});
    if (lines.size() > most_remembered) lines.pop_back();
    changed = true;
  }
  if (changed && !memory.empty()) write_lines(memory, lines);
  return hex(XXH3_128bits(all.data(), all.size()));
}

}  // namespace lectern::inference

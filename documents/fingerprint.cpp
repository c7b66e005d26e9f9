// XXH3-128 over the file in pieces of one megabyte, printed high half first.
#include "documents/fingerprint.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "documents/error.h"

namespace lectern::documents {
namespace {

std::string hexadecimal(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  std::string out;
  for (unsigned char byte : canonical.digest) {
    out += "0123456789abcdef"[byte >> 4U];
    out += "0123456789abcdef"[byte & 15U];
  }
  return out;
}

}  // namespace

std::string fingerprint_bytes(std::string_view bytes) {
  return hexadecimal(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string fingerprint_descriptor(int descriptor, const std::string& subject) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::vector<char> buffer(std::size_t{1} << 20U);
  off_t place = 0;
  for (;;) {
    const ssize_t got = pread(descriptor, buffer.data(), buffer.size(), place);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(ErrorKind::permission, subject + ": cannot be read: " + std::strerror(errno));
    if (got == 0) break;
    XXH3_128bits_update(state.get(), buffer.data(), static_cast<std::size_t>(got));
    place += got;
  }
  return hexadecimal(XXH3_128bits_digest(state.get()));
}

std::string fingerprint_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    throw Error(missing ? ErrorKind::missing : ErrorKind::permission, path + ": " + std::strerror(errno));
  }
  try {
    std::string fingerprint = fingerprint_descriptor(descriptor, path);
    ::close(descriptor);
    return fingerprint;
  } catch (...) {
    ::close(descriptor);
    throw;
  }
}

}  // namespace lectern::documents

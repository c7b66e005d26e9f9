// POSIX. Files are opened with O_DIRECT; where that is refused (tmpfs, some network and FUSE file systems, at open or
// at the first read), the same calls go on without it and posix_fadvise drops what they left in the page cache.
// io_uring was not tried: two threads with reads of several MiB keep an NVMe drive busy.
#include "inference/disk/file_system.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <utility>

namespace lectern::inference {

namespace {

using Kind = FileError::Kind;
constexpr int lock_wait_ms = 10'000;
constexpr std::int64_t huge_page = std::int64_t{2} << 20;
constexpr std::size_t most_pieces = 512;  // of one preadv; the system allows 1,024

[[noreturn]] void fail(const std::filesystem::path& file, const char* what, int code) {
  Kind kind = Kind::other;
  const char* advice = "";
  switch (code) {
    case ENOENT:
    case ENOTDIR: kind = Kind::missing; break;
    case ENOSPC:
    case EDQUOT: kind = Kind::full, advice = "; free some space"; break;
    case EACCES:
    case EPERM:
    case EROFS: kind = Kind::forbidden, advice = "; make the folder writable or choose another one"; break;
    case EEXIST: kind = Kind::exists; break;
    case EIO: kind = Kind::unreadable, advice = "; check the disk"; break;
    default: break;
  }
  throw FileError(kind, file.string() + ": " + what + " failed (" + std::strerror(code) + ")" + advice);
}

class PosixFile : public OpenFile {
 public:
  PosixFile(std::filesystem::path path, int flags) : path_(std::move(path)) {
    descriptor_ = ::open(path_.c_str(), flags | O_DIRECT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor_ < 0 && errno == EINVAL) {
      // O_EXCL may have made the file before O_DIRECT was refused.
      direct_ = false;
      descriptor_ = ::open(path_.c_str(), (flags & ~O_EXCL) | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    if (descriptor_ < 0) fail(path_, "opening", errno);
  }
  ~PosixFile() override { ::close(descriptor_); }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  void read(std::int64_t offset, std::span<const std::span<std::byte>> into) override {
    std::vector<iovec> pieces;
    for (const auto& piece : into) {
      assert(piece.size() % file_block == 0);
      pieces.push_back({piece.data(), piece.size()});
    }
    const std::int64_t start = offset;
    for (std::size_t first = 0; first < pieces.size();) {
      const auto count = static_cast<int>(std::min(pieces.size() - first, most_pieces));
      const ssize_t got = ::preadv(descriptor_, pieces.data() + first, count, offset);
      if (got < 0) {
        if (errno == EINTR || (errno == EINVAL && leave_direct())) continue;
        fail(path_, "reading", errno);
      }
      if (got == 0)
        throw FileError(Kind::shorter, path_.string() + ": the file ends at byte " + std::to_string(offset) +
                                           "; what it kept must be read again");
      offset += got;
      auto left = static_cast<std::size_t>(got);
      while (first < pieces.size() && left >= pieces[first].iov_len) left -= pieces[first++].iov_len;
      if (left > 0) {
        pieces[first].iov_base = static_cast<std::byte*>(pieces[first].iov_base) + left;
        pieces[first].iov_len -= left;
      }
    }
    if (!direct_) ::posix_fadvise(descriptor_, start, offset - start, POSIX_FADV_DONTNEED);
  }

  void write(std::int64_t offset, std::span<const std::byte> bytes) override {
    assert(bytes.size() % file_block == 0 && offset % file_block == 0);
    while (!bytes.empty()) {
      const ssize_t put = ::pwrite(descriptor_, bytes.data(), bytes.size(), offset);
      if (put < 0) {
        if (errno == EINTR || (errno == EINVAL && leave_direct())) continue;
        fail(path_, "writing", errno);
      }
      if (put == 0) fail(path_, "writing", ENOSPC);
      offset += put;
      bytes = bytes.subspan(static_cast<std::size_t>(put));
      if (!bytes.empty() && put % file_block != 0) leave_direct();
    }
  }

  void sync() override {
    if (::fdatasync(descriptor_) != 0) fail(path_, "writing to the disk", errno);
    if (!direct_) ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_DONTNEED);
  }
  void truncate(std::int64_t bytes) override {
    if (::ftruncate(descriptor_, bytes) != 0) fail(path_, "cutting", errno);
  }
  std::int64_t bytes() override { return status().st_size; }
  bool try_lock() override {
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno == EWOULDBLOCK || errno == EINTR) return false;
    fail(path_, "locking", errno);
  }
  bool has_name() { return status().st_nlink > 0; }

 private:
  struct stat status() {
    struct stat status = {};
    if (::fstat(descriptor_, &status) != 0) fail(path_, "asking about the file", errno);
    return status;
  }
  bool leave_direct() {
    const int flags = ::fcntl(descriptor_, F_GETFL);
    if (flags < 0 || (flags & O_DIRECT) == 0) return false;
    direct_ = false;
    return ::fcntl(descriptor_, F_SETFL, flags & ~O_DIRECT) == 0;
  }

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::atomic<bool> direct_ = true;
};

class PosixFiles : public FileSystem {
 public:
  std::unique_ptr<OpenFile> create(const std::filesystem::path& file) override {
    for (;;) {
      auto made = std::make_unique<PosixFile>(file, O_RDWR | O_CREAT | O_EXCL);
      // A process that starts may have taken it for an abandoned file before it was locked.
      if (made->try_lock() && made->has_name()) return made;
    }
  }
  std::unique_ptr<OpenFile> open(const std::filesystem::path& file) override {
    try {
      return std::make_unique<PosixFile>(file, O_RDWR);
    } catch (const FileError& error) {  // it may still be read
      if (error.what_failed() != FileError::Kind::forbidden) throw;
      return std::make_unique<PosixFile>(file, O_RDONLY);
    }
  }
  std::unique_ptr<OpenFile> lock(const std::filesystem::path& file) override {
    auto locked = std::make_unique<PosixFile>(file, O_RDWR | O_CREAT);
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(lock_wait_ms);
    while (!locked->try_lock()) {
      if (std::chrono::steady_clock::now() > give_up) fail(file, "waiting for another program", EBUSY);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return locked;
  }
  void make_folder(const std::filesystem::path& folder) override {
    if (::mkdir(folder.c_str(), 0700) == 0) return;
    if (errno == ENOENT && folder.has_parent_path() && folder.parent_path() != folder) {
      make_folder(folder.parent_path());
      if (::mkdir(folder.c_str(), 0700) == 0) return;
    }
    const int code = errno;
    std::error_code ignored;
    if (code == EEXIST && std::filesystem::is_directory(folder, ignored)) return;
    fail(folder, "making the folder", code == EEXIST ? ENOTDIR : code);
  }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) fail(from, "moving", errno);
  }
  void remove(const std::filesystem::path& file) override {
    if (::unlink(file.c_str()) != 0 && errno != ENOENT) fail(file, "deleting", errno);
  }
  void sync_folder(const std::filesystem::path& folder) override {
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) fail(folder, "opening", errno);
    const int result = ::fsync(descriptor);
    const int code = errno;
    ::close(descriptor);
    if (result != 0 && code != EINVAL) fail(folder, "writing to the disk", code);  // EINVAL: has nothing to sync
  }
  std::vector<Entry> list(const std::filesystem::path& folder) override {
    std::vector<Entry> entries;
    std::error_code error;
    // Files are deleted by these lists: not those of a folder that somebody put in the place of ours.
    if (std::filesystem::is_symlink(folder, error)) fail(folder, "listing a link", ENOTDIR);
    error.clear();
    for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      std::error_code gone;
      if (!at->is_regular_file(gone) || at->is_symlink(gone)) continue;
      const auto bytes = at->file_size(gone);
      if (!gone) entries.push_back({at->path().filename().string(), static_cast<std::int64_t>(bytes)});
    }
    if (error && error.value() != ENOENT) fail(folder, "listing", error.value());
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
    return entries;
  }
  Space space(const std::filesystem::path& folder) override {
    struct statvfs status = {};
    if (::statvfs(folder.c_str(), &status) != 0) fail(folder, "asking for free space", errno);
    const auto block = static_cast<std::int64_t>(status.f_frsize);
    return {static_cast<std::int64_t>(status.f_bavail) * block, static_cast<std::int64_t>(status.f_blocks) * block};
  }
  std::int64_t now_s() override {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace

AlignedBuffer::AlignedBuffer(std::int64_t bytes) : bytes_((bytes + file_block - 1) / file_block * file_block) {
  if (bytes_ == 0) return;
  // In pages of 4 KiB, taking the memory costs several times what copying into it does.
  const std::size_t alignment = bytes_ >= 2 * huge_page ? huge_page : file_block;
  const std::size_t size = (static_cast<std::size_t>(bytes_) + alignment - 1) / alignment * alignment;
  data_ = static_cast<std::byte*>(std::aligned_alloc(alignment, size));
  if (data_ == nullptr) throw std::bad_alloc();
  if (alignment == huge_page) ::madvise(data_, size, MADV_HUGEPAGE);
}
AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}
AlignedBuffer::~AlignedBuffer() {
  std::free(data_);
}

FileSystem& system_files() {
  static PosixFiles files;
  return files;
}

}  // namespace lectern::inference

// What the kept readings need of files, in an interface, so that tests can let every step of it fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/error.h"

namespace lectern::inference {

/// Offsets, lengths and addresses of all reads and writes are multiples of this.
inline constexpr std::int64_t file_block = 4096;

/// Names the file and says what is wrong and what to do.
class FileError : public Error {
 public:
  enum class Kind {
    missing,     // no such file
    shorter,     // it ends before what was to be read
    full,        // no space, or a quota
    forbidden,   // no rights, a read-only file system
    exists,      // the name is taken
    unreadable,  // the device failed
    other,       // too many open files, …
  };
  FileError(Kind what, const std::string& message) : Error(ErrorKind::io, message), what_(what) {}
  Kind what_failed() const { return what_; }

 private:
  Kind what_;
};

/// Memory for reads and writes. Unspecified content.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// Throws std::bad_alloc.
  explicit AlignedBuffer(std::int64_t bytes);
  AlignedBuffer(AlignedBuffer&& other) noexcept;
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  ~AlignedBuffer();
  std::byte* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }
  std::span<std::byte> span() const { return {data_, static_cast<std::size_t>(bytes_)}; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;  // rounded up to whole blocks
};

/// Every function throws FileError. Reads may come from several threads at once. Destroying it closes the file and
/// gives up its lock.
class OpenFile {
 public:
  virtual ~OpenFile() = default;
  /// Fills all of `into`, in order, from consecutive bytes.
  virtual void read(std::int64_t offset, std::span<const std::span<std::byte>> into) = 0;
  virtual void write(std::int64_t offset, std::span<const std::byte> bytes) = 0;
  /// The file's content outlives a power cut from here on (its name: FileSystem::sync_folder).
  virtual void sync() = 0;
  virtual void truncate(std::int64_t bytes) = 0;
  virtual std::int64_t bytes() = 0;
  /// False if another process, or another object of this one, holds it.
  virtual bool try_lock() = 0;
};

class FileSystem {
 public:
  struct Entry {
    std::string name;
    std::int64_t bytes = 0;
  };
  struct Space {
    std::int64_t free_bytes = 0, total_bytes = 0;
  };

  virtual ~FileSystem() = default;
  /// A new file that only its owner may read, locked. Throws if the name is taken.
  virtual std::unique_ptr<OpenFile> create(const std::filesystem::path& file) = 0;
  /// For reading and cutting.
  virtual std::unique_ptr<OpenFile> open(const std::filesystem::path& file) = 0;
  /// Makes the file if need be and waits for its lock, for some seconds.
  virtual std::unique_ptr<OpenFile> lock(const std::filesystem::path& file) = 0;
  /// With its parents, for its owner alone. Nothing happens if it is there.
  virtual void make_folder(const std::filesystem::path& folder) = 0;
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  /// Nothing happens if it is gone already.
  virtual void remove(const std::filesystem::path& file) = 0;
  /// Names that were made in this folder outlive a power cut from here on.
  virtual void sync_folder(const std::filesystem::path& folder) = 0;
  /// Ordinary files, in order of their names. Empty if there is no such folder.
  virtual std::vector<Entry> list(const std::filesystem::path& folder) = 0;
  virtual Space space(const std::filesystem::path& folder) = 0;
  /// Seconds since 1970. May go back.
  virtual std::int64_t now_s() = 0;
  /// What SQLite opens for this file: its path, or a URI.
  virtual std::string database(const std::filesystem::path& file) { return file.string(); }
  /// Called before a change of the index is committed. Throwing prevents it.
  virtual void before_commit() {}
};

/// The real one. Reads and writes past the page cache where the file system can, else gives the cache back at once:
/// gigabytes of kept rows would push the model's weights out of it.
FileSystem& system_files();

}  // namespace lectern::inference

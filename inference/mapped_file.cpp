#include "inference/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/error.h"

namespace lectern::inference {

MappedFile::MappedFile(const std::filesystem::path& path) {
  const std::string name = path.string();
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) throw Error(ErrorKind::io, name + ": cannot be opened: " + std::strerror(errno));
  struct stat status {};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(descriptor);
    throw Error(ErrorKind::bad_file, name + ": is not a regular file; give the path of a model file");
  }
  size_ = status.st_size;
  if (size_ > 0) {
    void* const address = mmap(nullptr, static_cast<std::size_t>(size_), PROT_READ, MAP_PRIVATE, descriptor, 0);
    const int error = errno;
    close(descriptor);
    if (address == MAP_FAILED) throw Error(ErrorKind::io, name + ": cannot be mapped: " + std::strerror(error));
    data_ = static_cast<const std::byte*>(address);
    is_mapped_ = true;
  } else {
    close(descriptor);
  }
}

MappedFile::MappedFile(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {
  data_ = bytes_.data();
  size_ = static_cast<std::int64_t>(bytes_.size());
}

MappedFile::~MappedFile() {
  if (is_mapped_) munmap(const_cast<std::byte*>(data_), static_cast<std::size_t>(size_));
}

MappedFile::MappedFile(MappedFile&& other) noexcept {
  *this = std::move(other);
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(bytes_, other.bytes_);
  std::swap(is_mapped_, other.is_mapped_);
  return *this;
}

}  // namespace lectern::inference

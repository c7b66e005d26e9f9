// Buffers come from mmap: the kernel hands out zeroed pages lazily, so a large buffer that is never filled (KV of a
// long window) costs nothing, and memory is aligned to pages anyway.
#include "kernels/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/error.h"

namespace lectern::kernels {

Buffer::Buffer(std::int64_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes < 0)
    throw Error(ErrorKind::out_of_memory, "memory: a size of " + std::to_string(size_bytes) + " bytes");
  if (size_bytes == 0) return;
  void* memory = mmap(nullptr, static_cast<std::size_t>(size_bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    throw Error(ErrorKind::out_of_memory, "memory: the system has no " + std::to_string(size_bytes >> 20) +
                                              " MiB left; close other programs or choose a smaller context window");
  data_ = static_cast<std::byte*>(memory);
#ifdef MADV_HUGEPAGE
  if (size_bytes >= (std::int64_t{4} << 20)) madvise(memory, static_cast<std::size_t>(size_bytes), MADV_HUGEPAGE);
#endif
}

Buffer::~Buffer() {
  if (data_) munmap(data_, static_cast<std::size_t>(size_bytes_));
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

std::byte* Arena::allocate(std::int64_t size_bytes) {
  const std::int64_t rounded = (size_bytes + memory_alignment - 1) / memory_alignment * memory_alignment;
  if (size_bytes < 0 || rounded > buffer_.size_bytes() - used_bytes_)
    throw Error(ErrorKind::out_of_memory, "arena: " + std::to_string(size_bytes) + " bytes do not fit, " +
                                              std::to_string(used_bytes_) + " of " +
                                              std::to_string(buffer_.size_bytes()) + " are used");
  std::byte* memory = buffer_.data() + used_bytes_;
  used_bytes_ += rounded;
  peak_bytes_ = std::max(peak_bytes_, used_bytes_);
  return memory;
}

Tensor Arena::tensor(DType type, std::initializer_list<std::int64_t> shape) {
  Tensor view(static_cast<std::byte*>(nullptr), type, shape);
  view.data = allocate(view.size_bytes());
  return view;
}

}  // namespace lectern::kernels

// Aligned host memory: a buffer that owns it, and an arena for the temporaries of a forward pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "kernels/tensor.h"

namespace lectern::kernels {

/// Alignment of every buffer and arena allocation: one cache line, one AVX-512 register.
inline constexpr std::int64_t memory_alignment = 64;

/// Zeroed memory in pages of its own, touched on first use only; from 2 MiB on it asks for huge pages and begins at
/// one. Throws Error{out_of_memory}.
std::byte* map_pages(std::int64_t size_bytes);
void unmap_pages(std::byte* data, std::int64_t size_bytes);

/// For vectors that are large.
template <class T>
struct PageAllocator {
  using value_type = T;
  T* allocate(std::size_t n) { return reinterpret_cast<T*>(map_pages(static_cast<std::int64_t>(n * sizeof(T)))); }
  void deallocate(T* data, std::size_t n) {
    unmap_pages(reinterpret_cast<std::byte*>(data), static_cast<std::int64_t>(n * sizeof(T)));
  }
  bool operator==(const PageAllocator&) const = default;
};

/// Owns `size_bytes` of zeroed, aligned memory. Pages are touched on first use only.
class Buffer {
 public:
  Buffer() = default;
  /// Throws Error{out_of_memory}.
  explicit Buffer(std::int64_t size_bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::int64_t size_bytes() const { return size_bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t size_bytes_ = 0;
};

/// Hands out pieces of one buffer in stack order. Not thread-safe.
class Arena {
 public:
  explicit Arena(std::int64_t size_bytes) : buffer_(size_bytes) {}

  /// Uninitialised memory, aligned to memory_alignment. Throws Error{out_of_memory} if the arena is full.
  std::byte* allocate(std::int64_t size_bytes);
  Tensor tensor(DType type, std::initializer_list<std::int64_t> shape);
  Tensor f32(std::initializer_list<std::int64_t> shape) { return tensor(DType::f32, shape); }

  std::int64_t used_bytes() const { return used_bytes_; }
  std::int64_t peak_bytes() const { return peak_bytes_; }
  std::int64_t size_bytes() const { return buffer_.size_bytes(); }

  /// Gives back, at its end, all that was allocated since it began. Scopes nest.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), mark_(arena.used_bytes_) {}
    ~Scope() { arena_.used_bytes_ = mark_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    std::int64_t mark_;
  };

 private:
  Buffer buffer_;
  std::int64_t used_bytes_ = 0;
  std::int64_t peak_bytes_ = 0;
};

}  // namespace lectern::kernels

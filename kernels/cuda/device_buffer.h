// Memory of the device, host memory that it can reach, and copies between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

class Queue;

/// Owns device memory, aligned to 256 bytes, contents undefined. Freeing waits for the device.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  /// Throws Error{out_of_memory}.
  explicit DeviceBuffer(std::int64_t size_bytes);
  ~DeviceBuffer();
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  /// Device addresses: the host may not read or write there.
  std::byte* data() const { return data_; }
  std::int64_t size_bytes() const { return size_bytes_; }
  /// The first bytes as a tensor, which must fit.
  Tensor tensor(DType type, std::initializer_list<std::int64_t> shape) const;

 private:
  std::byte* data_ = nullptr;
  std::int64_t size_bytes_ = 0;
};

/// Owns page-locked host memory: copies from and to it run beside the host and kernels can read it (over the bus).
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  /// Throws Error{out_of_memory}.
  explicit PinnedBuffer(std::int64_t size_bytes);
  ~PinnedBuffer();
  PinnedBuffer(PinnedBuffer&& other) noexcept;
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept;
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;

  std::byte* data() const { return data_; }
  std::int64_t size_bytes() const { return size_bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t size_bytes_ = 0;
};

/// Copies put into the queue. The host's memory must live until the queue has been synchronized if it is pinned;
/// pageable memory has been read, or written, when the call returns.
void copy_to_device(Queue& queue, std::byte* device, const void* host, std::int64_t size_bytes);
void copy_to_host(Queue& queue, void* host, const std::byte* device, std::int64_t size_bytes);
void copy_on_device(Queue& queue, std::byte* to, const std::byte* from, std::int64_t size_bytes);
/// Every byte becomes `value`.
void fill(Queue& queue, std::byte* device, int value, std::int64_t size_bytes);

/// Device memory that is free and that there is.
struct DeviceMemory {
  std::int64_t free_bytes = 0, total_bytes = 0;
};
DeviceMemory device_memory();

}  // namespace lectern::kernels::cuda

#include "kernels/cuda/device_buffer.h"

#include <cassert>
#include <string>
#include <utility>

#include "kernels/cuda/check.h"
#include "kernels/cuda/queue.h"
#include "kernels/error.h"

namespace lectern::kernels::cuda {

namespace {

std::byte* allocated(cudaError_t error, void* data, std::int64_t size_bytes, const char* what) {
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Error(ErrorKind::out_of_memory,
                std::string("CUDA: ") + what + " of " + std::to_string(size_bytes) + " bytes cannot be had");
  }
  check(error, what);
  return static_cast<std::byte*>(data);
}

void copy(Queue& queue, void* to, const void* from, std::int64_t size_bytes, cudaMemcpyKind kind, const char* what) {
  if (size_bytes > 0)
    check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(size_bytes), kind, queue.stream()), what);
}

}  // namespace

DeviceBuffer::DeviceBuffer(std::int64_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes == 0) return;
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, static_cast<std::size_t>(size_bytes));
  data_ = allocated(error, data, size_bytes, "device memory");
}

DeviceBuffer::~DeviceBuffer() {
  if (data_) cudaFree(data_);
}

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

Tensor DeviceBuffer::tensor(DType type, std::initializer_list<std::int64_t> shape) const {
  const Tensor view(data_, type, shape);
  assert(view.size_bytes() <= size_bytes_);
  return view;
}

PinnedBuffer::PinnedBuffer(std::int64_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes == 0) return;
  void* data = nullptr;
  const cudaError_t error = cudaMallocHost(&data, static_cast<std::size_t>(size_bytes));
  data_ = allocated(error, data, size_bytes, "page-locked host memory");
}

PinnedBuffer::~PinnedBuffer() {
  if (data_) cudaFreeHost(data_);
}

PinnedBuffer::PinnedBuffer(PinnedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}

PinnedBuffer& PinnedBuffer::operator=(PinnedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

void copy_to_device(Queue& queue, std::byte* device, const void* host, std::int64_t size_bytes) {
  copy(queue, device, host, size_bytes, cudaMemcpyHostToDevice, "copy to the device");
}

void copy_to_host(Queue& queue, void* host, const std::byte* device, std::int64_t size_bytes) {
  copy(queue, host, device, size_bytes, cudaMemcpyDeviceToHost, "copy to the host");
}

void copy_on_device(Queue& queue, std::byte* to, const std::byte* from, std::int64_t size_bytes) {
  copy(queue, to, from, size_bytes, cudaMemcpyDeviceToDevice, "copy on the device");
}

void fill(Queue& queue, std::byte* device, int value, std::int64_t size_bytes) {
  if (size_bytes > 0)
    check(cudaMemsetAsync(device, value, static_cast<std::size_t>(size_bytes), queue.stream()), "fill");
}

DeviceMemory device_memory() {
  std::size_t free_bytes = 0, total_bytes = 0;
  check(cudaMemGetInfo(&free_bytes, &total_bytes), "free memory");
  return {static_cast<std::int64_t>(free_bytes), static_cast<std::int64_t>(total_bytes)};
}

}  // namespace lectern::kernels::cuda

// The CUDA runtime API: devices, memory and copies. A test that calls a function which is not here does not link.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>

#include "device_memory.h"
#include "settings.h"
#include "streams.h"

namespace emu {

void allow_shared_bytes(const void* function, std::size_t bytes);

const std::string& fault_report() {
  return runtime().report();
}
void clear_fault() {
  runtime().clear();
}

namespace {

cudaError_t allocate(void** address, std::size_t size, MemoryKind kind) {
  Runtime& r = runtime();
  if (r.fault() != cudaSuccess) return r.fault();
  if (const cudaError_t error = r.refuse_during_capture()) return error;
  *address = size == 0 ? nullptr : memory().allocate(size, kind);
  return size != 0 && !*address ? r.remember(cudaErrorMemoryAllocation) : cudaSuccess;
}

/// As the driver does, a free waits for the work that may use the memory.
cudaError_t release_memory(void* address, MemoryKind kind) {
  Runtime& r = runtime();
  if (!address) return cudaSuccess;
  if (r.fault() == cudaSuccess) {
    if (const cudaError_t error = r.refuse_during_capture()) return error;
    r.drain_all();
  }
  std::string damage;
  if (!memory().free(address, kind, damage)) return r.remember(cudaErrorInvalidValue);
  if (!damage.empty()) r.set_fault(cudaErrorLaunchFailure, damage);
  return r.fault();
}

bool is_host(const void* address, std::size_t size) {
  if (!address) return false;
  const MemoryKind kind = memory().kind_of(address);
  return kind == MemoryKind::pageable ? memory().describe(address).empty()
                                      : memory().contains(address, size, MemoryKind::pinned);
}

bool is_on_device(const void* address, std::size_t size) {
  return memory().contains(address, size, MemoryKind::device);
}

bool directions_fit(const void* to, const void* from, std::size_t size, cudaMemcpyKind& kind) {
  const bool to_device = is_on_device(to, size), from_device = is_on_device(from, size);
  if (!to_device && !is_host(to, size)) return false;
  if (!from_device && !is_host(from, size)) return false;
  const cudaMemcpyKind actual = to_device ? (from_device ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                                          : (from_device ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
  if (kind == cudaMemcpyDefault) kind = actual;
  return kind == actual;
}

void copy_bytes(void* to, const void* from, std::size_t size) {
  std::memmove(to, from, size);
}

cudaError_t copy(void* to, const void* from, std::size_t width, std::size_t height, std::size_t to_pitch,
                 std::size_t from_pitch, cudaMemcpyKind kind, cudaStream_t stream) {
  Runtime& r = runtime();
  if (r.fault() != cudaSuccess) return r.fault();
  if (width == 0 || height == 0) return cudaSuccess;
  if (width > to_pitch || width > from_pitch) return r.remember(cudaErrorInvalidPitchValue);
  const std::size_t to_bytes = (height - 1) * to_pitch + width, from_bytes = (height - 1) * from_pitch + width;
  bool fits = true;
  if (height == 1) {
    fits = directions_fit(to, from, width, kind);
  } else {
    cudaMemcpyKind first = kind;
    fits = directions_fit(to, from, width, first) && (!is_on_device(to, width) || is_on_device(to, to_bytes)) &&
           (!is_on_device(from, width) || is_on_device(from, from_bytes));
    kind = first;
  }
  if (!fits) {
    return r.refuse(cudaErrorInvalidValue,
                    "copy of " + std::to_string(width) + " bytes: the ranges do not lie where its direction says");
  }
  Work work;
  work.name = "copy";
  const bool snapshot = kind == cudaMemcpyHostToDevice && memory().kind_of(from) == MemoryKind::pageable;
  if (snapshot) {
    // Pageable sources are staged at the call; pinned ones are read when the copy runs.
    auto staged = std::make_shared<std::vector<char>>(static_cast<const char*>(from),
                                                      static_cast<const char*>(from) + from_bytes);
    work.run = [=] {
      for (std::size_t row = 0; row < height; ++row)
        copy_bytes(static_cast<char*>(to) + row * to_pitch, staged->data() + row * from_pitch, width);
    };
  } else {
    work.run = [=] {
      for (std::size_t row = 0; row < height; ++row)
        copy_bytes(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width);
    };
  }
  const cudaError_t error = r.add(stream, std::move(work), cudaGraphNodeTypeMemcpy);
  // A copy into pageable memory has happened when the call returns.
  const bool staged_back = kind == cudaMemcpyDeviceToHost && memory().kind_of(to) == MemoryKind::pageable;
  if (error == cudaSuccess && staged_back && stream && !stream->capture) return r.drain(stream);
  return error;
}

}  // namespace
}  // namespace emu

using emu::MemoryKind;
using emu::runtime;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : runtime().remember(cudaErrorInvalidDevice);
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return runtime().remember(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = emu::settings().multiprocessors; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 48 << 10; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(emu::settings().shared_bytes_limit); break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(emu::settings().shared_bytes_limit) + 1024;
      break;
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 1536; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = 65536; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 8; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 9; break;
    case cudaDevAttrCooperativeLaunch: *value = 1; break;
    case cudaDevAttrL2CacheSize: *value = 32 << 20; break;
    case cudaDevAttrMemoryClockRate: *value = 1000000; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = 256; break;
    case cudaDevAttrUnifiedAddressing: *value = 1; break;
    case cudaDevAttrCanMapHostMemory: *value = 1; break;
    case cudaDevAttrIntegrated: *value = 0; break;
    case cudaDevAttrMemoryPoolsSupported: *value = 0; break;
    default: return runtime().remember(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return runtime().remember(cudaErrorInvalidDevice);
  std::memset(properties, 0, sizeof *properties);
  std::strcpy(properties->name, "emulated device");
  properties->totalGlobalMem = emu::settings().device_bytes;
  properties->sharedMemPerBlock = 48 << 10;
  properties->sharedMemPerBlockOptin = emu::settings().shared_bytes_limit;
  properties->sharedMemPerMultiprocessor = emu::settings().shared_bytes_limit + 1024;
  properties->multiProcessorCount = emu::settings().multiprocessors;
  properties->major = 8;
  properties->minor = 9;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 1536;
  properties->regsPerBlock = 65536;
  properties->l2CacheSize = 32 << 20;
  properties->cooperativeLaunch = 1;
  properties->unifiedAddressing = 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = runtime().refuse_during_capture()) return error;
  return runtime().drain_all();
}
cudaError_t cudaDeviceReset() {
  runtime().clear();
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  return runtime().take_last_error(true);
}
cudaError_t cudaPeekAtLastError() {
  return runtime().take_last_error(false);
}
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorCooperativeLaunchTooLarge: return "cudaErrorCooperativeLaunchTooLarge";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    default: return "cudaError";
  }
}
/// The report of the fault, where there is one.
const char* cudaGetErrorString(cudaError_t error) {
  static std::string text;
  text = cudaGetErrorName(error);
  const std::string& report = runtime().report();
  if ((error == cudaErrorLaunchFailure || error == cudaErrorInvalidValue || error == cudaErrorInvalidConfiguration ||
       error == cudaErrorCooperativeLaunchTooLarge) &&
      !report.empty())
    text += ": " + report;
  return text.c_str();
}
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<std::size_t>(value) > emu::settings().shared_bytes_limit) {
    return runtime().refuse(cudaErrorInvalidValue, "a kernel asks for " + std::to_string(value) +
                                                       " bytes of shared memory, a block has " +
                                                       std::to_string(emu::settings().shared_bytes_limit));
  }
  emu::allow_shared_bytes(function, static_cast<std::size_t>(value));
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads,
                                                          std::size_t shared_bytes) {
  *blocks = std::max(1, std::min(4, 2048 / std::max(1, threads)));
  if (shared_bytes > emu::settings().shared_bytes_limit / 4)
    *blocks = std::min(*blocks, static_cast<int>(emu::settings().shared_bytes_limit / shared_bytes));
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  *total_bytes = emu::settings().device_bytes;
  *free_bytes = *total_bytes - std::min(*total_bytes, emu::memory().used_device_bytes());
  return runtime().fault();
}
cudaError_t cudaMalloc(void** address, std::size_t size) {
  return emu::allocate(address, size, MemoryKind::device);
}
cudaError_t cudaFree(void* address) {
  return emu::release_memory(address, MemoryKind::device);
}
cudaError_t cudaMallocHost(void** address, std::size_t size) {
  return emu::allocate(address, size, MemoryKind::pinned);
}
cudaError_t cudaHostAlloc(void** address, std::size_t size, unsigned) {
  return emu::allocate(address, size, MemoryKind::pinned);
}
cudaError_t cudaFreeHost(void* address) {
  return emu::release_memory(address, MemoryKind::pinned);
}
cudaError_t cudaHostRegister(void* address, std::size_t size, unsigned) {
  if (emu::memory().kind_of(address) != MemoryKind::pageable)
    return runtime().remember(cudaErrorHostMemoryAlreadyRegistered);
  emu::memory().adopt(address, size);
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* address) {
  runtime().drain_all();
  return emu::memory().disown(address) ? cudaSuccess : runtime().remember(cudaErrorHostMemoryNotRegistered);
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  if (emu::memory().kind_of(host) != MemoryKind::pinned) return runtime().remember(cudaErrorInvalidValue);
  *device = host;
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  std::memset(attributes, 0, sizeof *attributes);
  const MemoryKind kind = emu::memory().kind_of(address);
  attributes->type = kind == MemoryKind::device   ? cudaMemoryTypeDevice
                     : kind == MemoryKind::pinned ? cudaMemoryTypeHost
                                                  : cudaMemoryTypeUnregistered;
  if (kind != MemoryKind::pageable) attributes->devicePointer = const_cast<void*>(address);
  if (kind != MemoryKind::device) attributes->hostPointer = const_cast<void*>(address);
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
  return emu::copy(to, from, size, 1, size, size, kind, nullptr);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t size, cudaMemcpyKind kind, cudaStream_t stream) {
  return emu::copy(to, from, size, 1, size, size, kind, stream);
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return emu::copy(to, from, width, height, to_pitch, from_pitch, kind, stream);
}
cudaError_t cudaMemsetAsync(void* address, int value, std::size_t size, cudaStream_t stream) {
  if (size == 0) return runtime().fault();
  if (!emu::memory().contains(address, size, MemoryKind::device) &&
      !emu::memory().contains(address, size, MemoryKind::pinned))
    return runtime().remember(cudaErrorInvalidValue);
  emu::Work work;
  work.name = "set memory";
  work.run = [=] { std::memset(address, value, size); };
  return runtime().add(stream, std::move(work), cudaGraphNodeTypeMemset);
}
cudaError_t cudaMemset(void* address, int value, std::size_t size) {
  return cudaMemsetAsync(address, value, size, nullptr);
}

}  // extern "C"

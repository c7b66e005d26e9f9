// LAUNCH on the emulator: arguments are stored by value and checked, then the kernel joins its stream.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <tuple>
#include <type_traits>

#include "machine.h"

namespace emu {

enum class LaunchKind { plain, cooperative, dependent };

/// What a kernel may not be given: an address that is not the device's. Notes the fault for the launch that follows.
void check_pointer(const char* kernel, int argument, const void* pointer);
/// A structure: none of its words may be an address in the host's stack or heap.
void check_structure(const char* kernel, int argument, const void* structure, std::size_t size);
cudaError_t submit(Grid grid, const void* function, cudaStream_t stream);

template <class T>
inline void check_argument(const char* kernel, int argument, const T& value) {
  if constexpr (std::is_pointer_v<T>) {
    check_pointer(kernel, argument, value);
  } else if constexpr (std::is_class_v<T>) {
    T copy = value;
    __builtin_clear_padding(&copy);  // there may stand anything, an address of the host's stack too
    check_structure(kernel, argument, &copy, sizeof copy);
  }
}

template <class... P, class... A>
cudaError_t launch(const char* name, LaunchKind kind, void (*kernel)(P...), dim3 blocks, dim3 threads,
                   std::size_t shared_bytes, cudaStream_t stream, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "a kernel takes as many arguments as it has parameters");
  static_assert((std::is_trivially_copyable_v<std::decay_t<P>> && ...), "kernel arguments are copied byte by byte");
  auto values = std::make_shared<std::tuple<std::decay_t<P>...>>(static_cast<std::decay_t<P>>(arguments)...);
  int number = 0;
  std::apply([&](const auto&... value) { (check_argument(name, number++, value), ...); }, *values);
  Grid grid;
  grid.name = name;
  grid.blocks = blocks;
  grid.threads = threads;
  grid.dynamic_shared_bytes = shared_bytes;
  grid.cooperative = kind == LaunchKind::cooperative;
  grid.dependent = kind == LaunchKind::dependent;
  grid.run = [kernel, values] { std::apply(kernel, *values); };
  return submit(std::move(grid), reinterpret_cast<const void*>(kernel), stream);
}

}  // namespace emu

namespace gpu {
/// Lets a kernel have this much dynamic shared memory. LAUNCH does it where more than 48 KiB are asked for.
template <class Kernel>
cudaError_t allow_shared(Kernel kernel, std::size_t bytes) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(bytes));
}
}  // namespace gpu

namespace emu {
template <class Kernel, class... A>
cudaError_t launch_allowed(const char* name, LaunchKind kind, Kernel kernel, dim3 blocks, dim3 threads,
                           std::size_t shared_bytes, cudaStream_t stream, A&&... arguments) {
  if (shared_bytes > std::size_t{48} << 10)
    if (const cudaError_t error = gpu::allow_shared(kernel, shared_bytes)) return error;
  return launch(name, kind, kernel, blocks, threads, shared_bytes, stream, std::forward<A>(arguments)...);
}
}  // namespace emu

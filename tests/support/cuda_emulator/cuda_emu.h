// All of the emulator that a kernel sees (kernels/cuda/gpu.h includes it where nvcc does not compile).
// How it works: README.md beside this file.
#pragma once

#include "atomics.h"
#include "intrinsics.h"
#include "launch.h"
#include "machine.h"
#include "settings.h"
#include "tensor_core.h"
#include "warp.h"

// CUDA's own header makes __shared__ nothing here: an array would silently become one per thread.
#undef __shared__
#define __shared__ use_SHARED_ARRAY_or_DYN_SHARED_of_gpu_h

#undef __launch_bounds__
#define __launch_bounds__(...)

#define SHARED_ARRAY(type, name, dims) \
  using name##_type = type dims;       \
  static const char name##_key = 0;    \
  auto& name = *static_cast<name##_type*>(emu::shared_variable(&name##_key, sizeof(name##_type)))
#define DYN_SHARED(name) unsigned char* const name = emu::dynamic_shared()
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  emu::launch_allowed(#kernel, emu::LaunchKind::plain, (kernel), (grid), (block), (shared_bytes), (stream), __VA_ARGS__)
#define LAUNCH_COOP(kernel, grid, block, shared_bytes, stream, ...)                                               \
  emu::launch_allowed(#kernel, emu::LaunchKind::cooperative, (kernel), (grid), (block), (shared_bytes), (stream), \
                      __VA_ARGS__)
#define LAUNCH_DEPENDENT(kernel, grid, block, shared_bytes, stream, ...)                                        \
  emu::launch_allowed(#kernel, emu::LaunchKind::dependent, (kernel), (grid), (block), (shared_bytes), (stream), \
                      __VA_ARGS__)

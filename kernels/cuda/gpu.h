// All of CUDA that a kernel includes. nvcc compiles it for the device (device.h); every other compiler gets the
// emulator of tests/support/cuda_emulator, which runs the same source on the CPU, thread by thread, and checks it.
//
// What a kernel must keep to, so that both can run it:
//   - no other CUDA header, no inline assembly, nothing that depends on __CUDA_ARCH__;
//   - shared memory by SHARED_ARRAY(float, part, [ROWS][4]); and DYN_SHARED(bytes); (unsigned char*, aligned to 128);
//   - launches by LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...), which returns a cudaError_t and
//   allows
//     more than 48 KiB of shared memory where asked; LAUNCH_COOP for kernels that call grid_sync; LAUNCH_DEPENDENT for
//     kernels that may start before the one in front has ended: each of their threads calls wait_for_previous_grid()
//     before it reads what kernels in front wrote, and before it writes anything at all. A kernel that needs nothing of
//     the one in front must wait too, or those behind it are not held back. A template id with a comma stands in
//     parentheses;
//   - no __activemask, no reliance on lanes running together, no waiting loop without __nanosleep;
//   - sums over a warp by warp_sum: the same bits as a loop of shuffles, and much faster in the emulator;
//   - a fence (__threadfence) before an atomic operation that publishes what other blocks will read;
//   - one barrier per line: the emulator tells barriers apart by their lines.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#if defined(__CUDACC__)
#include "kernels/cuda/device.h"
#else
#include <cuda_emulator/cuda_emu.h>
#endif

namespace gpu {

using bf16 = __nv_bfloat16;
using f16 = __half;

// Numbers. bf16 and f16 are rounded to nearest, ties to even.

__device__ __forceinline__ float to_float(float x) {
  return x;
}
__device__ __forceinline__ float to_float(bf16 x) {
  return __bfloat162float(x);
}
__device__ __forceinline__ float to_float(f16 x) {
  return __half2float(x);
}
template <class T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
__device__ __forceinline__ f16 from_float<f16>(float x) {
  return __float2half_rn(x);
}
/// Two bf16 as they lie in memory: `x` in the low half.
__device__ __forceinline__ float2 unpack_bf16(std::uint32_t pair) {
  return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xFFFF0000u));
}
__device__ __forceinline__ float2 unpack_f16(std::uint32_t pair) {
  return make_float2(__half2float(__ushort_as_half(static_cast<unsigned short>(pair & 0xFFFFu))),
                     __half2float(__ushort_as_half(static_cast<unsigned short>(pair >> 16))));
}

/// e^x by the device's exp2: relative error about 2e-6 for |x| up to 80; 0 below -126.
__device__ __forceinline__ float exp_fast(float x) {
  return ex2(x * 1.4426950408889634f);
}
/// 1 / (1 + e^-x) and x / (1 + e^-x), without overflow at either end.
__device__ __forceinline__ float sigmoid(float x) {
  return rcp(1.0f + exp_fast(-x));
}
__device__ __forceinline__ float silu(float x) {
  return x * sigmoid(x);
}

// Vectors: N values of memory as f32. N * sizeof(T) is 4, 8 or 16 and the address a multiple of it.

template <int BYTES>
struct Word;
template <>
struct Word<2> {
  using type = unsigned short;
};
template <>
struct Word<4> {
  using type = std::uint32_t;
};
template <>
struct Word<8> {
  using type = uint2;
};
template <>
struct Word<16> {
  using type = uint4;
};

/// N values of type T that are loaded and stored as one.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
  T values[N];
  __device__ __forceinline__ static Vector load(const T* address) { return *reinterpret_cast<const Vector*>(address); }
  /// For weights and other data that is read once: leaves the first-level cache alone.
  __device__ __forceinline__ static Vector load_streaming(const T* address) {
    using W = typename Word<sizeof(T) * N>::type;
    union {
      W word;
      Vector vector;
    } both;
    both.word = gpu::load_streaming(reinterpret_cast<const W*>(address));
    return both.vector;
  }
  __device__ __forceinline__ void store(T* address) const { *reinterpret_cast<Vector*>(address) = *this; }
};

template <int N>
__device__ __forceinline__ void to_floats(const Vector<float, N>& from, float (&to)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = from.values[i];
}
template <class T, int N>
__device__ __forceinline__ void to_floats(const Vector<T, N>& from, float (&to)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = to_float(from.values[i]);
}
template <class T, int N>
__device__ __forceinline__ Vector<T, N> from_floats(const float (&from)[N]) {
  Vector<T, N> to;
#pragma unroll
  for (int i = 0; i < N; ++i) to.values[i] = from_float<T>(from[i]);
  return to;
}

/// Sum over a block of WARPS whole warps, the same bits in every thread: warp sums, then the sum of those in order of
/// the warps. `part` is shared memory of WARPS values; a barrier must lie between two uses of it.
template <int WARPS>
__device__ __forceinline__ float block_sum(float value, float (&part)[WARPS]) {
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = value;
  __syncthreads();
  float total = 0.0f;
#pragma unroll
  for (int warp = 0; warp < WARPS; ++warp) total += part[warp];
  return total;
}

}  // namespace gpu

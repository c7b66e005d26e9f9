// gpu.h's primitives for nvcc: one PTX statement each. Fragment layouts stand in the PTX manual's chapter on warp-level
// matrix instructions and in tests/support/cuda_emulator/tensor_core.cpp. Pointers to shared memory are generic here.
#pragma once

#include <cooperative_groups.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#define SHARED_ARRAY(type, name, dims) __shared__ alignas(16) type name dims
#define DYN_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  gpu::launch(gpu::LaunchKind::plain, (kernel), (grid), (block), (shared_bytes), (stream), __VA_ARGS__)
#define LAUNCH_COOP(kernel, grid, block, shared_bytes, stream, ...) \
  gpu::launch(gpu::LaunchKind::cooperative, (kernel), (grid), (block), (shared_bytes), (stream), __VA_ARGS__)
#define LAUNCH_DEPENDENT(kernel, grid, block, shared_bytes, stream, ...) \
  gpu::launch(gpu::LaunchKind::dependent, (kernel), (grid), (block), (shared_bytes), (stream), __VA_ARGS__)

namespace gpu {

// Launching
// ------------------------------------------------------------------------------------------------------------

enum class LaunchKind { plain, cooperative, dependent };

/// Lets a kernel have this much dynamic shared memory. LAUNCH does it where more than 48 KiB are asked for.
template <class Kernel>
cudaError_t allow_shared(Kernel kernel, std::size_t bytes) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(bytes));
}

template <class... P, class... A>
cudaError_t launch(LaunchKind kind, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
                   cudaStream_t stream, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "a kernel takes as many arguments as it has parameters");
  if (shared_bytes > std::size_t{48} << 10)
    if (const cudaError_t error = allow_shared(kernel, shared_bytes)) return error;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  cudaLaunchAttribute attribute = {};
  if (kind == LaunchKind::cooperative) {
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
  } else {
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
  config.attrs = &attribute;
  config.numAttrs = kind == LaunchKind::plain ? 0 : 1;
  return cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...);
}

// Addresses, barriers
// ----------------------------------------------------------------------------------------------------

__device__ __forceinline__ unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}
/// `threads` of the block (a multiple of 32) meet at barrier ID (1 to 15); arrive does not wait.
template <int ID>
__device__ __forceinline__ void named_barrier(int threads) {
  static_assert(ID >= 1 && ID < 16);
  asm volatile("bar.sync %0, %1;" ::"n"(ID), "r"(threads) : "memory");
}
template <int ID>
__device__ __forceinline__ void named_barrier_arrive(int threads) {
  static_assert(ID >= 1 && ID < 16);
  asm volatile("bar.arrive %0, %1;" ::"n"(ID), "r"(threads) : "memory");
}
/// All threads of the grid meet; what was written before is seen behind it. Kernels launched by LAUNCH_COOP alone.
__device__ __forceinline__ void grid_sync() {
  cooperative_groups::this_grid().sync();
}
/// For kernels launched by LAUNCH_DEPENDENT: waits until the kernel in front has ended and its results are seen;
/// allows the kernel behind to start. Nothing before compute capability 9.0, where kernels do not overlap.
__device__ __forceinline__ void wait_for_previous_grid() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ __forceinline__ void allow_next_grid() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Sums, maxima and scans over a warp: all 32 lanes call; groups of WIDTH lanes
// ---------------------------------------------

template <int WIDTH = 32, class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int step = WIDTH / 2; step > 0; step /= 2) value = value + __shfl_xor_sync(0xFFFFFFFFu, value, step);
  return value;
}
template <int WIDTH = 32, class T>
__device__ __forceinline__ T warp_max(T value) {
#pragma unroll
  for (int step = WIDTH / 2; step > 0; step /= 2) value = max(value, __shfl_xor_sync(0xFFFFFFFFu, value, step));
  return value;
}
template <int WIDTH = 32, class T>
__device__ __forceinline__ T warp_min(T value) {
#pragma unroll
  for (int step = WIDTH / 2; step > 0; step /= 2) value = min(value, __shfl_xor_sync(0xFFFFFFFFu, value, step));
  return value;
}
/// Lane l gets the sum (maximum) of lanes 0 to l.
template <class T>
__device__ __forceinline__ T warp_inclusive_sum(T value) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const T below = __shfl_up_sync(0xFFFFFFFFu, value, step);
    if (lane >= step) value = below + value;
  }
  return value;
}
template <class T>
__device__ __forceinline__ T warp_inclusive_max(T value) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const T below = __shfl_up_sync(0xFFFFFFFFu, value, step);
    if (lane >= step) value = max(below, value);
  }
  return value;
}

// Tensor cores
// -----------------------------------------------------------------------------------------------------------

/// Lane l gives the address of one row of 8 16-bit values in shared memory (lanes 8i to 8i + 7: matrix i) and gets of
/// matrix i, in register i, row l / 4, columns 2 (l % 4) and + 1; transposed: the same of the transpose.
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2(std::uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}

/// c += a b: m16n8k16, bf16 or f16 to f32; m16n8k8 tf32 to f32; m16n8k32, 8-bit integers to s32 (which wraps).
__device__ __forceinline__ void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                         std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma_f16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                        std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma_tf32(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                         std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma_s8(std::int32_t (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                       std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/// a unsigned, b signed.
__device__ __forceinline__ void mma_u8_s8(std::int32_t (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                          std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Copies from global to shared memory that go on beside the computation
// --------------------------------------------------- Source and destination are aligned to the size. A thread's copies
// since its last commit are a group; cp_async_wait<N> waits for all but the N groups committed last. Other threads see
// the data behind a barrier after the wait.

__device__ __forceinline__ void cp_async16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global)
               : "memory");
}
/// Reads the first `valid_bytes` (0 to 16) and fills the rest with zeros.
__device__ __forceinline__ void cp_async16_zfill(void* shared, const void* global, int valid_bytes) {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
               "r"(valid_bytes)
               : "memory");
}
__device__ __forceinline__ void cp_async8(void* shared, const void* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}
__device__ __forceinline__ void cp_async4(void* shared, const void* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// Numbers: approximations of the device
// ------------------------------------------------------------------------------------

/// 2^x and log2 x, relative (absolute) error 2^-22; results below 2^-126 are 0.
__device__ __forceinline__ float ex2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float lg2(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
/// 1 / x, error 1 ulp; 1 / sqrt(x), relative error 2^-22.9; tanh, relative error 2^-11.
__device__ __forceinline__ float rcp(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float rsqrt(float x) {
  float y;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float tanh_fast(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ std::uint32_t to_tf32(float x) {
  std::uint32_t y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
}
/// Two values, rounded to nearest; `low` in the low half.
__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
  std::uint32_t y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}
__device__ __forceinline__ std::uint32_t pack_f16(float low, float high) {
  std::uint32_t y;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}

// Loads and stores with hints to the caches: 4, 8 or 16 bytes. `streaming`: data that this kernel reads once and does
// not write (weights), kept out of the first-level cache; `evict_first`: also the first to leave it.

__device__ __forceinline__ std::uint32_t load_streaming(const std::uint32_t* address) {
  std::uint32_t v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.u32 %0, [%1];" : "=r"(v) : "l"(address));
  return v;
}
__device__ __forceinline__ uint2 load_streaming(const uint2* address) {
  uint2 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(address));
  return v;
}
__device__ __forceinline__ uint4 load_streaming(const uint4* address) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(address));
  return v;
}
__device__ __forceinline__ unsigned short load_streaming(const unsigned short* address) {
  unsigned short v;
  asm volatile("ld.global.nc.L1::no_allocate.u16 %0, [%1];" : "=h"(v) : "l"(address));
  return v;
}
__device__ __forceinline__ std::uint32_t load_evict_first(const std::uint32_t* address) {
  std::uint32_t v;
  asm volatile("ld.global.nc.L1::evict_first.u32 %0, [%1];" : "=r"(v) : "l"(address));
  return v;
}
__device__ __forceinline__ uint2 load_evict_first(const uint2* address) {
  uint2 v;
  asm volatile("ld.global.nc.L1::evict_first.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(address));
  return v;
}
__device__ __forceinline__ uint4 load_evict_first(const uint4* address) {
  uint4 v;
  asm volatile("ld.global.nc.L1::evict_first.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(address));
  return v;
}
/// Through the read-only path, cached as usual. T of 1 to 16 bytes that __ldg takes.
template <class T>
__device__ __forceinline__ T load_read_only(const T* address) {
  return __ldg(address);
}
template <class T>
__device__ __forceinline__ void store_streaming(T* address, const T& value) {
  __stcs(address, value);
}
__device__ __forceinline__ void prefetch_l2(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

// Between blocks
// -----------------------------------------------------------------------------------------------------------

/// Add that publishes what the thread wrote before, and sees what those who added before had written; the old value.
__device__ __forceinline__ unsigned atomic_add_acquire_release(unsigned* address, unsigned value) {
  unsigned old;
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;" : "=r"(old) : "l"(address), "r"(value) : "memory");
  return old;
}
__device__ __forceinline__ int atomic_add_acquire_release(int* address, int value) {
  return static_cast<int>(
      atomic_add_acquire_release(reinterpret_cast<unsigned*>(address), static_cast<unsigned>(value)));
}
__device__ __forceinline__ unsigned load_acquire(const unsigned* address) {
  unsigned v;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(address) : "memory");
  return v;
}
__device__ __forceinline__ int load_acquire(const int* address) {
  return static_cast<int>(load_acquire(reinterpret_cast<const unsigned*>(address)));
}
__device__ __forceinline__ void store_release(unsigned* address, unsigned value) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(address), "r"(value) : "memory");
}
__device__ __forceinline__ void store_release(int* address, int value) {
  store_release(reinterpret_cast<unsigned*>(address), static_cast<unsigned>(value));
}

}  // namespace gpu

// Reads and writes where there is nothing to read, or nothing was written.
#include "seeded_values.h"

namespace lectern::kernels::cuda::test {

namespace {

__global__ void uninitialized_shared(int* to) {
  SHARED_ARRAY(int, values, [64]);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread != 17) values[thread] = thread;
  __syncthreads();
  to[thread] = values[thread];
}

__global__ void shared_overrun_static(int* to) {
  SHARED_ARRAY(int, values, [63]);
  const int thread = static_cast<int>(threadIdx.x);
  int* unbounded = values;
  unbounded[thread] = thread;
  __syncthreads();
  to[thread] = unbounded[thread];
}

__global__ void shared_overrun_dynamic(int* to) {
  DYN_SHARED(bytes);
  const int thread = static_cast<int>(threadIdx.x);
  int* values = reinterpret_cast<int*>(bytes);
  values[thread] = thread;
  __syncthreads();
  to[thread] = values[thread];
}

__global__ void copy_ints(const int* from, int* to) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  to[i] = from[i];
}

/// The last bytes up to the end of the page are a red zone, not a fault.
__global__ void write_one_behind(int* to, int count) {
  if (threadIdx.x == 0) to[count] = 1;
}

__global__ void ldmatrix_misaligned(int* to) {
  SHARED_ARRAY(std::uint16_t, rows, [32][12]);  // 24 bytes a row
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = 0; i < 12; ++i) rows[lane][i] = 1;
  __syncwarp();
  std::uint32_t r[4];
  gpu::ldmatrix_x4(r, rows[lane]);
  to[threadIdx.x] = r[0] == 0x00010001u ? static_cast<int>(threadIdx.x) : -1;
}

__global__ void ldmatrix_not_shared(int* to) {
  std::uint32_t r[2];
  gpu::ldmatrix_x2(r, to + 4 * (threadIdx.x % 16));
  to[threadIdx.x] = static_cast<int>(threadIdx.x);
}

__global__ void misaligned_vector_load(const int* from, int* to) {
  const int thread = static_cast<int>(threadIdx.x);
  const uint4 v = *reinterpret_cast<const uint4*>(from + 4 * thread + 1);
  to[thread] = static_cast<int>(v.x);
}

__global__ void stack_overflow(int* to, int depth) {
  volatile int block[1024];
  for (int i = 0; i < 1024; ++i) block[i] = depth;
  if (depth > 0) stack_overflow(to, depth - 1);
  to[threadIdx.x] = block[depth % 1024] - depth + static_cast<int>(threadIdx.x);
}

struct Parameters {
  const int* from;
  int* to;
};
__global__ void copy_by_structure(Parameters p) {
  p.to[threadIdx.x] = p.from[threadIdx.x];
}

bool numbered(const SeededValues& to) {
  return to.are([](int i) { return i; });
}

}  // namespace

const std::vector<SeededBug>& memory_bugs() {
  static const std::vector<SeededBug> bugs = {
      {"uninitialized_shared",
       [] {
         const SeededValues to(64);
         LAUNCH(uninitialized_shared, 1, 64, 0, nullptr, to.data());
         return numbered(to);
       }},
      {"shared_overrun_static",
       [] {
         const SeededValues to(64);
         LAUNCH(shared_overrun_static, 1, 64, 0, nullptr, to.data());
         return numbered(to);
       }},
      {"shared_overrun_dynamic",
       [] {
         const SeededValues to(64);
         LAUNCH(shared_overrun_dynamic, 1, 64, 63 * 4, nullptr, to.data());
         return numbered(to);
       }},
      {"shared_limit_exceeded",
       [] {
         const SeededValues to(64);
         LAUNCH(shared_overrun_dynamic, 1, 64, 100 << 10, nullptr, to.data());
         return numbered(to);
       }},
      {"shared_not_allowed",  // more than 48 KiB without having asked for it
       [] {
         const SeededValues to(64);
         emu::launch("shared_overrun_dynamic", emu::LaunchKind::plain, shared_overrun_dynamic, 1, 64, 50 << 10, nullptr,
                     to.data());
         return numbered(to);
       }},
      {"global_overrun_read",
       [] {
         const SeededValues from(1024, [](int i) { return i; }), to(2048);
         LAUNCH(copy_ints, 8, 256, 0, nullptr, from.data(), to.data());
         return to.are([](int i) { return i; });
       }},
      {"global_overrun_write",
       [] {
         const SeededValues from(2048, [](int i) { return i; }), to(1024);
         LAUNCH(copy_ints, 8, 256, 0, nullptr, from.data(), to.data());
         return to.are([](int i) { return i; });
       }},
      {"global_overrun_by_one",
       [] {
         const SeededValues to(50, [](int i) { return i; });
         LAUNCH(write_one_behind, 1, 32, 0, nullptr, to.data(), 50);
         return numbered(to);
       }},
      {"ldmatrix_misaligned",
       [] {
         const SeededValues to(32);
         LAUNCH(ldmatrix_misaligned, 1, 32, 0, nullptr, to.data());
         return numbered(to);
       }},
      {"ldmatrix_not_shared",
       [] {
         const SeededValues to(64, [](int i) { return i; });
         LAUNCH(ldmatrix_not_shared, 1, 64, 0, nullptr, to.data());
         return numbered(to);
       }},
      {"misaligned_vector_load",
       [] {
         const SeededValues from(129, [](int i) { return (i - 1) / 4; }), to(32);
         LAUNCH(misaligned_vector_load, 1, 32, 0, nullptr, from.data(), to.data());
         return numbered(to);
       }},
      {"stack_overflow",
       [] {
         const SeededValues to(32);
         LAUNCH(stack_overflow, 1, 32, 0, nullptr, to.data(), 1000);
         return numbered(to);
       }},
      {"host_pointer",
       [] {
         static int host[32] = {};
         const SeededValues to(32);
         LAUNCH(copy_ints, 1, 32, 0, nullptr, host, to.data());
         return numbered(to);
       }},
      {"host_pointer_in_structure",
       [] {
         int host[32];
         for (int i = 0; i < 32; ++i) host[i] = i;
         const SeededValues to(32);
         LAUNCH(copy_by_structure, 1, 32, 0, nullptr, (Parameters{host, to.data()}));
         return numbered(to);
       }},
      {"use_after_free",
       [] {
         const SeededValues from(32, [](int i) { return i; }), to(32);
         cudaFree(from.data());
         LAUNCH(copy_ints, 1, 32, 0, nullptr, from.data(), to.data());
         return numbered(to);
       }},
      {"use_after_free_in_structure",
       [] {
         const SeededValues from(32, [](int i) { return i; }), to(32);
         cudaFree(from.data());
         LAUNCH(copy_by_structure, 1, 32, 0, nullptr, (Parameters{from.data(), to.data()}));
         return numbered(to);
       }},
      {"copy_beyond_the_end",
       [] {
         const SeededValues from(32, [](int i) { return i; }), to(16);
         return cudaMemcpy(to.data(), from.data(), 128, cudaMemcpyDeviceToDevice) == cudaSuccess;
       }},
  };
  return bugs;
}

}  // namespace lectern::kernels::cuda::test

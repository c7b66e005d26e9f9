// How fast the emulator is: what a test costs. Run by hand.
#include <cstdio>
#include <ctime>

#include "kernels/cuda/gpu.h"

namespace {

constexpr int rounds = 2000;

__global__ void meet(int) {
  for (int i = 0; i < rounds; ++i) __syncthreads();
}
__global__ void meet_in_warps(int) {
  for (int i = 0; i < rounds; ++i) __syncwarp();
}
__global__ void shuffle(int value) {
  for (int i = 0; i < rounds; ++i) value += __shfl_xor_sync(0xFFFFFFFFu, value, 1);
}
__global__ void sum(int value) {
  for (int i = 0; i < rounds; ++i) value = gpu::warp_sum(value) & 15;
}
__global__ void multiply(int) {
  std::uint32_t a[4] = {0x3F803F80u, 0x3F803F80u, 0x3F803F80u, 0x3F803F80u};
  float c[4] = {0, 0, 0, 0};
  for (int i = 0; i < rounds; ++i) gpu::mma_bf16(c, a, a[0], a[1]);
}
__global__ void load(int) {
  SHARED_ARRAY(std::uint16_t, rows, [32][8]);
  std::uint32_t r[4];
  for (int k = 0; k < 8; ++k) rows[threadIdx.x % 32][k] = 0;
  __syncthreads();
  for (int i = 0; i < rounds; ++i) gpu::ldmatrix_x4(r, rows[threadIdx.x % 32]);
}
__global__ void start(int) {}

/// `count`: how many of `unit` one thread does.
void measure(const char* name, void (*kernel)(int), int blocks, int threads, double count, const char* unit) {
  const std::clock_t begin = std::clock();  // of the processor: others may use the machine too
  LAUNCH(kernel, blocks, threads, 0, nullptr, 1);
  cudaDeviceSynchronize();
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  const double all = count * blocks * threads;
  std::printf("%-24s %5d threads  %7.1f ns per %-14s %7.1f million a second\n", name, threads, seconds / all * 1e9,
              unit, all / seconds / 1e6);
}

}  // namespace

int main() {
  for (const int threads : {32, 128, 256, 1024}) measure("__syncthreads", meet, 2, threads, rounds, "thread");
  measure("__syncwarp", meet_in_warps, 2, 128, rounds, "lane");
  measure("__shfl_xor_sync", shuffle, 2, 128, rounds, "lane");
  measure("warp_sum", sum, 2, 128, rounds, "lane");
  measure("mma_bf16", multiply, 2, 128, rounds / 32.0, "warp");
  measure("ldmatrix_x4", load, 2, 128, rounds / 32.0, "warp");
  measure("start and end", start, 1000, 128, 1, "thread");
}

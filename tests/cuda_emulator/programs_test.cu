// Whole programs of the kinds that kernels are made of, all right: blocks that meet through tickets, flags and grid
// barriers, warps with roles of their own, lanes that leave early. No order and no sanitizer may complain.
#include "device_values.h"

namespace lectern::kernels::cuda::test {
namespace {

class ProgramsSmall : public DeviceTest {};

/// Sum of all values by one launch: each block sums its part, the last one to come adds the parts up.
__global__ void sum_by_last_block(const int* from, int count, int* parts, unsigned* ticket, int* total) {
  SHARED_ARRAY(int, sums, [2]);
  SHARED_ARRAY(int, is_last, [1]);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;  // 64 threads
  int sum = 0;
  for (int i = static_cast<int>(blockIdx.x) * 64 + thread; i < count; i += static_cast<int>(gridDim.x) * 64)
    sum += from[i];
  sum = gpu::warp_sum(sum);
  if (thread % 32 == 0) sums[warp] = sum;
  __syncthreads();
  if (thread == 0) {
    parts[blockIdx.x] = sums[0] + sums[1];
    __threadfence();
    is_last[0] = atomicAdd(ticket, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!is_last[0]) return;
  if (thread == 0) {
    int all = 0;
    for (unsigned block = 0; block < gridDim.x; ++block) all += parts[block];
    *total = all;
    *ticket = 0;
  }
}

TEST_F(ProgramsSmall, TheLastBlockAddsUp) {
  const Values<int> from(made<int>(1000, [](int i) { return i; })), parts(6), total(1);
  const Values<unsigned> ticket(std::vector<unsigned>{0});
  for (int round = 0; round < 3; ++round) {
    EXPECT_CUDA(
        LAUNCH(sum_by_last_block, 6, 64, 0, nullptr, from.data(), 1000, parts.data(), ticket.data(), total.data()));
    EXPECT_EQ(total.get(), std::vector<int>{499500});
  }
}

/// Each half of a warp works for itself; the upper half of the last warp leaves at once.
__global__ void sum_halves(int* to) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  if (thread >= 48) return;
  const unsigned half = lane < 16 ? 0xFFFFu : 0xFFFF0000u;
  int value = thread;
  for (int step = 8; step > 0; step /= 2) value += __shfl_xor_sync(half, value, step, 16);
  __syncthreads();
  if (lane % 16 == 0) to[thread / 16] = value;
}

TEST_F(ProgramsSmall, HalvesOfWarpsWorkAlone) {
  const Values<int> to(3);
  EXPECT_CUDA(LAUNCH(sum_halves, 1, 64, 0, nullptr, to.data()));
  EXPECT_EQ(to.get(), (std::vector<int>{120, 376, 632}));
}

/// One warp fills two buffers in turn, another empties them: barriers 1 and 2 say full, 3 and 4 say empty.
__global__ void hand_over(int rounds, int* to) {
  SHARED_ARRAY(int, buffer, [2][32]);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const bool produces = threadIdx.x < 32;
  for (int round = 0; round < rounds; ++round) {
    const int side = round % 2;
    if (produces) {
      if (round >= 2) {
        if (side == 0)
          gpu::named_barrier<3>(64);
        else
          gpu::named_barrier<4>(64);
      }
      buffer[side][lane] = 100 * round + lane;
      if (side == 0)
        gpu::named_barrier_arrive<1>(64);
      else
        gpu::named_barrier_arrive<2>(64);
    } else {
      if (side == 0)
        gpu::named_barrier<1>(64);
      else
        gpu::named_barrier<2>(64);
      to[32 * round + lane] = buffer[side][31 - lane];
      if (round + 2 < rounds) {
        if (side == 0)
          gpu::named_barrier_arrive<3>(64);
        else
          gpu::named_barrier_arrive<4>(64);
      }
    }
  }
}

TEST_F(ProgramsSmall, WarpsHandOverThroughNamedBarriers) {
  const Values<int> to(32 * 7);
  EXPECT_CUDA(LAUNCH(hand_over, 1, 64, 0, nullptr, 7, to.data()));
  EXPECT_EQ(to.get(), made<int>(32 * 7, [](int i) { return 100 * (i / 32) + 31 - i % 32; }));
}

/// Every value becomes the sum of its neighbours, `steps` times, over the whole grid.
__global__ void diffuse(int* a, int* b, int count, int steps) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  int *from = a, *to = b;
  for (int step = 0; step < steps; ++step) {
    if (i < count) to[i] = from[(i + count - 1) % count] + from[(i + 1) % count];
    gpu::grid_sync();
    int* other = from;
    from = to;
    to = other;
  }
}

TEST_F(ProgramsSmall, GridsMeetAtBarriers) {
  const int count = 100, steps = 4;
  std::vector<int> expected = made<int>(count, [](int i) { return i * i % 17; });
  const Values<int> a(expected), b(count);
  EXPECT_CUDA(LAUNCH_COOP(diffuse, 4, 32, 0, nullptr, a.data(), b.data(), count, steps));
  for (int step = 0; step < steps; ++step) {
    std::vector<int> next(count);
    for (std::size_t i = 0; i < count; ++i) next[i] = expected[(i + count - 1) % count] + expected[(i + 1) % count];
    expected = next;
  }
  EXPECT_EQ(a.get(), expected);
}

/// A chain over the blocks: each adds its number to what the block before it found. Blocks take numbers as they start,
/// so that no block waits for one that has not begun.
__global__ void chain(unsigned* next, unsigned* ready, int* values) {
  SHARED_ARRAY(unsigned, number, [1]);
  if (threadIdx.x == 0) number[0] = atomicAdd(next, 1u);
  __syncthreads();
  const unsigned mine = number[0];
  if (threadIdx.x == 0) {
    if (mine > 0)
      while (gpu::load_acquire(ready) < mine) __nanosleep(100);
    values[mine] = (mine > 0 ? values[mine - 1] : 0) + static_cast<int>(mine) + 1;
    gpu::store_release(ready, mine + 1);
  }
}

TEST_F(ProgramsSmall, BlocksFollowOneAnother) {
  const Values<unsigned> next(std::vector<unsigned>{0}), ready(std::vector<unsigned>{0});
  const Values<int> values(9);
  EXPECT_CUDA(LAUNCH(chain, 9, 32, 0, nullptr, next.data(), ready.data(), values.data()));
  EXPECT_EQ(values.get(), made<int>(9, [](int i) { return (i + 1) * (i + 2) / 2; }));
}

__global__ void count_values(const int* from, int count, int* histogram, float* sum, int* largest) {
  SHARED_ARRAY(int, bins, [8]);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < 8) bins[thread] = 0;
  __syncthreads();
  const int i = static_cast<int>(blockIdx.x * blockDim.x) + thread;
  if (i < count) {
    atomicAdd(&bins[from[i] % 8], 1);
    atomicAdd(sum, static_cast<float>(from[i]));
    atomicMax(largest, from[i]);
  }
  __syncthreads();
  if (thread < 8) atomicAdd(&histogram[thread], bins[thread]);
}

TEST_F(ProgramsSmall, AtomicsLoseNothing) {
  const Values<int> from(made<int>(200, [](int i) { return i; })), histogram(std::vector<int>(8, 0)),
      largest(std::vector<int>{-1});
  const Values<float> sum(std::vector<float>{0});
  EXPECT_CUDA(LAUNCH(count_values, 5, 40, 0, nullptr, from.data(), 200, histogram.data(), sum.data(), largest.data()));
  EXPECT_EQ(histogram.get(), std::vector<int>(8, 25));
  EXPECT_EQ(sum.get(), std::vector<float>{19900});
  EXPECT_EQ(largest.get(), std::vector<int>{199});
}

/// What no kernel in the stream writes (`summand`) may be read before the wait.
__global__ void add_dependent(const int* summand, int* values) {
  SHARED_ARRAY(int, kept, [32]);
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  kept[threadIdx.x] = *summand;
  __syncthreads();
  gpu::wait_for_previous_grid();
  values[i] += kept[31 - threadIdx.x];
  gpu::allow_next_grid();
}

__global__ void add_plain(const int* summand, int* values) {
  values[blockIdx.x * blockDim.x + threadIdx.x] += *summand;
}

TEST_F(ProgramsSmall, DependentLaunchesFollowOneAnother) {
  const Values<int> values(std::vector<int>(160, 1)), summand(std::vector<int>{3});
  cudaStream_t stream = nullptr;
  EXPECT_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  EXPECT_CUDA(LAUNCH(add_plain, 5, 32, 0, stream, summand.data(), values.data()));
  for (int i = 0; i < 5; ++i)
    EXPECT_CUDA(LAUNCH_DEPENDENT(add_dependent, 5, 32, 0, stream, summand.data(), values.data()));
  EXPECT_CUDA(LAUNCH(add_plain, 5, 32, 0, stream, summand.data(), values.data()));
  EXPECT_CUDA(cudaStreamSynchronize(stream));
  EXPECT_CUDA(cudaStreamDestroy(stream));
  EXPECT_EQ(values.get(), std::vector<int>(160, 22));
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

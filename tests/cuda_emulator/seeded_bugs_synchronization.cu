// Missing and misplaced barriers, in a block, a warp, a pipeline of copies and a grid.
#include "seeded_values.h"

namespace lectern::kernels::cuda::test {

namespace {

__global__ void missing_barrier(int* to) {
  SHARED_ARRAY(int, values, [128]);
  const int thread = static_cast<int>(threadIdx.x);
  values[thread] = thread;
  to[thread] = values[127 - thread];
}

/// In natural order lower threads have always written.
__global__ void barrier_hidden_by_order(int* to) {
  SHARED_ARRAY(int, values, [128]);
  const int thread = static_cast<int>(threadIdx.x);
  values[thread] = thread;
  to[thread] = values[thread / 2];
}

/// The barrier behind the reads is missing: the next round overwrites what is still to be read.
__global__ void write_after_read_in_loop(int* to) {
  SHARED_ARRAY(int, values, [64]);
  const int thread = static_cast<int>(threadIdx.x);
  int sum = 0;
  for (int round = 0; round < 4; ++round) {
    values[thread] = round * 100 + thread;
    __syncthreads();
    sum += values[63 - thread];
  }
  to[thread] = sum;
}

__global__ void missing_syncwarp(int* to) {
  SHARED_ARRAY(int, values, [32]);
  const int lane = static_cast<int>(threadIdx.x);
  values[lane] = lane;
  to[lane] = values[lane ^ 1] + values[lane ^ 16];
}

__global__ void divergent_barrier(int* to) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  to[threadIdx.x] = static_cast<int>(threadIdx.x);
}

__global__ void unequal_barrier_counts(int* to) {
  __syncthreads();
  if (threadIdx.x < 16) __syncthreads();
  to[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
}

/// One warp waits for a shuffle that half of it has skipped.
__global__ void deadlock(int* to) {
  int value = static_cast<int>(threadIdx.x);
  if (threadIdx.x % 32 < 16)
    value = __shfl_xor_sync(0xFFFFFFFFu, value, 0);
  else
    gpu::named_barrier<1>(64);
  to[threadIdx.x] = value;
}

__global__ void diverged_shuffle(int* to) {
  int value = static_cast<int>(threadIdx.x);
  if (threadIdx.x % 2)
    value = __shfl_xor_sync(0xFFFFFFFFu, value, 0);
  else
    value = __shfl_sync(0xFFFFFFFFu, value, static_cast<int>(threadIdx.x));
  to[threadIdx.x] = value;
}

__global__ void lane_outside_mask(int* to) {
  to[threadIdx.x] = __shfl_xor_sync(0x0000FFFFu, static_cast<int>(threadIdx.x), 0);
}

__global__ void different_barrier_counts(int* to) {
  if (threadIdx.x < 32)
    gpu::named_barrier<2>(64);
  else
    gpu::named_barrier<2>(96);
  to[threadIdx.x] = static_cast<int>(threadIdx.x);
}

/// Waits for what another block would have to write, and nobody does.
__global__ void waits_for_ever(int* to) {
  while (atomicAdd(to + 64, 0) != 5) __nanosleep(10);
  to[threadIdx.x] = static_cast<int>(threadIdx.x);
}

enum class Pipeline { no_wait, no_barrier, wrong_group, stage_overwritten };

/// Copies 8 tiles of 128 values through two stages.
template <Pipeline BUG>
__global__ void pipeline(const int* from, int* to) {
  SHARED_ARRAY(int, stage, [2][128]);
  const int thread = static_cast<int>(threadIdx.x);  // 64, of which half copy
  const auto request = [&](int tile) {
    if (tile < 8 && thread < 32) gpu::cp_async16(&stage[tile % 2][4 * thread], from + 128 * tile + 4 * thread);
    gpu::cp_async_commit();
  };
  request(0);
  for (int tile = 0; tile < 8; ++tile) {
    request(tile + 1);
    if constexpr (BUG == Pipeline::wrong_group)
      gpu::cp_async_wait<2>();
    else if constexpr (BUG != Pipeline::no_wait)
      gpu::cp_async_wait<1>();
    if constexpr (BUG != Pipeline::no_barrier) __syncthreads();
    for (int i = thread; i < 128; i += 64) to[128 * tile + i] = stage[tile % 2][i];
    if constexpr (BUG != Pipeline::stage_overwritten) __syncthreads();
  }
}

template <Pipeline BUG>
bool run_pipeline() {
  const SeededValues from(1024, [](int i) { return i; }), to(1024);
  LAUNCH(pipeline<BUG>, 1, 64, 0, nullptr, from.data(), to.data());
  return to.are([](int i) { return i; });
}

/// Right but for luck: threads add without atomics.
__global__ void lost_update(int* to) {
  to[0] += 1;
}

__global__ void two_blocks_write_one_word(int* to) {
  if (threadIdx.x == 0) to[0] = static_cast<int>(blockIdx.x);
}

__global__ void missing_grid_barrier(int* to) {
  const int blocks = static_cast<int>(gridDim.x), block = static_cast<int>(blockIdx.x);
  to[block] = block;
  to[blocks + block] = to[(block + blocks / 2) % blocks];
}

/// The ticket says who is last, but nothing says that the parts are written before it is drawn.
__global__ void missing_fence(int* parts, unsigned* ticket, int* total) {
  if (threadIdx.x != 0) return;
  parts[blockIdx.x] = static_cast<int>(blockIdx.x);
  if (atomicAdd(ticket, 1u) != gridDim.x - 1) return;
  int sum = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) sum += parts[block];
  *total = sum;
}

template <void (*KERNEL)(int*), int THREADS>
bool run_reversed() {
  const SeededValues to(THREADS);
  LAUNCH(KERNEL, 1, THREADS, 0, nullptr, to.data());
  return to.are([](int i) { return THREADS - 1 - i; });
}

template <void (*KERNEL)(int*)>
bool run_numbered() {
  const SeededValues to(65, [](int) { return 0; });
  LAUNCH(KERNEL, 1, 64, 0, nullptr, to.data());
  return to.are([](int i) { return i < 64 ? i : 0; });
}

}  // namespace

const std::vector<SeededBug>& synchronization_bugs() {
  static const std::vector<SeededBug> bugs = {
      {"missing_barrier", run_reversed<missing_barrier, 128>},
      {"barrier_hidden_by_order",
       [] {
         const SeededValues to(128);
         LAUNCH(barrier_hidden_by_order, 1, 128, 0, nullptr, to.data());
         return to.are([](int i) { return i / 2; });
       }},
      {"write_after_read_in_loop",
       [] {
         const SeededValues to(64);
         LAUNCH(write_after_read_in_loop, 1, 64, 0, nullptr, to.data());
         return to.are([](int i) { return 600 + 4 * (63 - i); });
       }},
      {"missing_syncwarp",
       [] {
         const SeededValues to(32);
         LAUNCH(missing_syncwarp, 1, 32, 0, nullptr, to.data());
         return to.are([](int i) { return (i ^ 1) + (i ^ 16); });
       }},
      {"divergent_barrier", run_numbered<divergent_barrier>},
      {"unequal_barrier_counts", run_numbered<unequal_barrier_counts>},
      {"deadlock", run_numbered<deadlock>},
      {"diverged_shuffle", run_numbered<diverged_shuffle>},
      {"lane_outside_mask", run_numbered<lane_outside_mask>},
      {"different_barrier_counts", run_numbered<different_barrier_counts>},
      {"waits_for_ever", run_numbered<waits_for_ever>},
      {"async_no_wait", run_pipeline<Pipeline::no_wait>},
      {"async_no_barrier", run_pipeline<Pipeline::no_barrier>},
      {"async_wrong_group", run_pipeline<Pipeline::wrong_group>},
      {"async_stage_overwritten", run_pipeline<Pipeline::stage_overwritten>},
      {"lost_update",
       [] {
         const SeededValues to(1, [](int) { return 0; });
         LAUNCH(lost_update, 1, 64, 0, nullptr, to.data());
         return to.are([](int) { return 64; });
       }},
      {"two_blocks_write_one_word",
       [] {
         const SeededValues to(1);
         LAUNCH(two_blocks_write_one_word, 4, 32, 0, nullptr, to.data());
         return to.are([](int) { return 3; });
       }},
      {"missing_grid_barrier",
       [] {
         const SeededValues to(16);
         LAUNCH_COOP(missing_grid_barrier, 8, 32, 0, nullptr, to.data());
         return to.are([](int i) { return i < 8 ? i : (i + 4) % 8; });
       }},
      {"missing_fence",
       [] {
         const SeededValues parts(4), total(1), ticket(1, [](int) { return 0; });
         LAUNCH(missing_fence, 4, 32, 0, nullptr, parts.data(), reinterpret_cast<unsigned*>(ticket.data()),
                total.data());
         return total.are([](int) { return 6; });
       }},
  };
  return bugs;
}

}  // namespace lectern::kernels::cuda::test

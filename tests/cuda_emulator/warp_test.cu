// What the lanes of a warp and the threads of a block do together, and CUDA's functions on numbers.
#include <cmath>
#include <cstring>
#include <limits>

#include "device_values.h"

namespace lectern::kernels::cuda::test {
namespace {

class WarpSmall : public DeviceTest {};

constexpr unsigned all = 0xFFFFFFFFu;

__global__ void shuffle_all(int width, int* to) {
  const int lane = static_cast<int>(threadIdx.x), value = 100 + lane;
  int* mine = to + 4 * lane;
  mine[0] = __shfl_sync(all, value, lane * 3 + 1, width);
  mine[1] = __shfl_up_sync(all, value, 3u, width);
  mine[2] = __shfl_down_sync(all, value, 5u, width);
  mine[3] = __shfl_xor_sync(all, value, 6, width);
}

TEST_F(WarpSmall, ShufflesStayInTheirGroups) {
  for (const int width : {32, 16, 8}) {
    const Values<int> to(128);
    EXPECT_CUDA(LAUNCH(shuffle_all, 1, 32, 0, nullptr, width, to.data()));
    EXPECT_EQ(to.get(), made<int>(128,
                                  [&](int i) {
                                    const int lane = i / 4, base = lane / width * width, in_group = lane % width;
                                    switch (i % 4) {
                                      case 0: return 100 + base + (lane * 3 + 1) % width;
                                      case 1: return 100 + (in_group >= 3 ? lane - 3 : lane);
                                      case 2: return 100 + (in_group + 5 < width ? lane + 5 : lane);
                                      default: return 100 + (lane ^ 6);
                                    }
                                  }))
        << width;
  }
}

__global__ void vote_all(unsigned* to) {
  const int lane = static_cast<int>(threadIdx.x);
  unsigned* mine = to + 8 * lane;
  mine[0] = __ballot_sync(all, lane % 3 == 0);
  mine[1] = static_cast<unsigned>(__any_sync(all, lane == 7) != 0);
  mine[2] = static_cast<unsigned>(__all_sync(all, lane < 31) != 0);
  mine[3] = __match_any_sync(all, lane % 4);
  mine[4] = __reduce_add_sync(all, static_cast<unsigned>(lane));
  mine[5] = __reduce_max_sync(all, static_cast<unsigned>(lane ^ 5));
  // Two halves of a warp vote each for themselves.
  const unsigned half = lane < 16 ? 0xFFFFu : 0xFFFF0000u;
  mine[6] = __ballot_sync(half, lane % 2);
  mine[7] = __reduce_or_sync(half, 1u << lane);
}

TEST_F(WarpSmall, VotesCountLanes) {
  const Values<unsigned> to(256);
  EXPECT_CUDA(LAUNCH(vote_all, 1, 32, 0, nullptr, to.data()));
  EXPECT_EQ(to.get(), made<unsigned>(256, [](int i) -> unsigned {
              const int lane = i / 8;
              const unsigned half = lane < 16 ? 0xFFFFu : 0xFFFF0000u;
              const unsigned expected[8] = {0x49249249u,        1,   0, 0x11111111u << lane % 4, 496, 31,
                                            0xAAAAAAAAu & half, half};
              return expected[i % 8];
            }));
}

/// The butterfly that warp_sum stands for.
template <int WIDTH>
__device__ float shuffled_sum(float value) {
  for (int step = WIDTH / 2; step > 0; step /= 2) value = value + __shfl_xor_sync(all, value, step);
  return value;
}

__global__ void sum_all(const float* from, float* to) {
  const int lane = static_cast<int>(threadIdx.x);
  float* mine = to + 8 * lane;
  mine[0] = gpu::warp_sum(from[lane]);
  mine[1] = shuffled_sum<32>(from[lane]);
  mine[2] = gpu::warp_sum<8>(from[lane]);
  mine[3] = shuffled_sum<8>(from[lane]);
  mine[4] = gpu::warp_max(from[lane]);
  mine[5] = gpu::warp_min<4>(from[lane]);
  mine[6] = static_cast<float>(gpu::warp_inclusive_sum(lane + 1));
  mine[7] = static_cast<float>(gpu::warp_inclusive_max(lane ^ 3));
}

TEST_F(WarpSmall, SumsHaveTheBitsOfTheShuffles) {
  const std::vector<float> from = made<float>(32, [](int i) { return std::sin(static_cast<float>(i) * 12.9f) * 100; });
  const Values<float> device(from), to(256);
  EXPECT_CUDA(LAUNCH(sum_all, 1, 32, 0, nullptr, device.data(), to.data()));
  const std::vector<float> result = to.get();
  for (std::size_t lane = 0; lane < 32; ++lane) {
    const float* mine = &result[8 * lane];
    EXPECT_EQ(mine[0], mine[1]);
    EXPECT_EQ(mine[2], mine[3]);
    EXPECT_EQ(mine[4], *std::max_element(from.begin(), from.end()));
    const auto group = from.begin() + static_cast<std::ptrdiff_t>(lane / 4 * 4);
    EXPECT_EQ(mine[5], *std::min_element(group, group + 4));
    EXPECT_EQ(mine[6], static_cast<float>((lane + 1) * (lane + 2) / 2));
    EXPECT_EQ(mine[7], static_cast<float>(lane / 4 * 4 + 3));  // lane ^ 3 is largest first in each group of four
  }
}

__global__ void count_block(int* to) {
  SHARED_ARRAY(float, part, [3]);
  const int thread = static_cast<int>(threadIdx.x);  // 96
  const int odd = __syncthreads_count(thread % 2);
  const int any = __syncthreads_or(thread == 50);
  const int every = __syncthreads_and(thread < 95);
  const float sum = gpu::block_sum<3>(static_cast<float>(thread), part);
  if (thread == 77) {
    to[0] = odd;
    to[1] = any != 0;
    to[2] = every != 0;
    to[3] = static_cast<int>(sum);
  }
}

TEST_F(WarpSmall, BlocksCountAndSum) {
  const Values<int> to(4);
  EXPECT_CUDA(LAUNCH(count_block, 1, 96, 0, nullptr, to.data()));
  EXPECT_EQ(to.get(), (std::vector<int>{48, 1, 0, 95 * 96 / 2}));
}

__global__ void tell_place(int* to) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  to[block * blockDim.x * blockDim.y * blockDim.z + thread] += static_cast<int>(1000 * block + thread);
}

TEST_F(WarpSmall, EveryThreadOfEveryBlockRunsOnce) {
  const Values<int> to(std::vector<int>(2 * 3 * 2 * 5 * 2 * 3, 0));
  EXPECT_CUDA(LAUNCH(tell_place, dim3(2, 3, 2), dim3(5, 2, 3), 0, nullptr, to.data()));
  EXPECT_EQ(to.get(), made<int>(360, [](int i) { return 1000 * (i / 30) + i % 30; }));
}

__global__ void compute_integers(int* to) {
  to[0] = __popc(0xF0F0u);
  to[1] = __clz(1 << 20);
  to[2] = __ffs(0x40);
  to[3] = static_cast<int>(__brev(1u));
  to[4] = static_cast<int>(__byte_perm(0x33221100u, 0x77665544u, 0x7531u));
  to[5] = __dp4a(static_cast<int>(0x01FF7F80u), 0x02030405, 7);
  to[6] = static_cast<int>(__umulhi(0x80000000u, 6u));
  to[7] = static_cast<int>(__funnelshift_r(0x11223344u, 0x55667788u, 8u));
  to[8] = __float2int_rn(2.5f);
  to[9] = __float2int_rn(1e20f);
  to[10] = __float2int_rz(-2.9f);
  to[11] = static_cast<int>(__vsubss4(0x80010203u, 0x01010101u));
  to[12] = min(3, 4) + max(10, 20);
  to[13] = static_cast<int>(__dp4a(0xFF000000u, 0x02000000u, 1u));
}

TEST_F(WarpSmall, IntegerFunctionsAreCudas) {
  const Values<int> to(14);
  EXPECT_CUDA(LAUNCH(compute_integers, 1, 1, 0, nullptr, to.data()));
  EXPECT_EQ(to.get(),
            (std::vector<int>{8, 11, 7, std::numeric_limits<int>::min(), 0x77553311, -128 * 5 + 127 * 4 - 3 + 2 + 7, 3,
                              static_cast<int>(0x88112233u), 2, std::numeric_limits<int>::max(), -2,
                              static_cast<int>(0x80000102u), 23, 0xFF * 2 + 1}));
}

__global__ void compute_floats(const float* from, float* to) {
  const int i = static_cast<int>(threadIdx.x);
  const float x = from[i];
  float* mine = to + 12 * i;
  mine[0] = gpu::ex2(x);
  mine[1] = gpu::exp_fast(x);
  mine[2] = gpu::rcp(x);
  mine[3] = gpu::rsqrt(fabsf(x));
  mine[4] = gpu::sigmoid(x);
  mine[5] = gpu::silu(x);
  mine[6] = gpu::tanh_fast(x);
  mine[7] = gpu::lg2(fabsf(x));
  const float2 pair = gpu::unpack_bf16(gpu::pack_bf16(x, -x));
  mine[8] = pair.x;
  mine[9] = pair.y;
  mine[10] = gpu::unpack_f16(gpu::pack_f16(x, 2 * x)).y;
  mine[11] = __uint_as_float(gpu::to_tf32(x));
}

TEST_F(WarpSmall, ApproximationsAreNear) {
  const std::vector<float> from = made<float>(64, [](int i) { return static_cast<float>(i - 31) * 0.61f + 0.01f; });
  const Values<float> device(from), to(64 * 12);
  EXPECT_CUDA(LAUNCH(compute_floats, 1, 64, 0, nullptr, device.data(), to.data()));
  const std::vector<float> result = to.get();
  for (std::size_t i = 0; i < from.size(); ++i) {
    const double x = static_cast<double>(from[i]), sigmoid = 1 / (1 + std::exp(-x));
    const double expected[12] = {std::exp2(x),
                                 std::exp(x),
                                 1 / x,
                                 1 / std::sqrt(std::abs(x)),
                                 sigmoid,
                                 x * sigmoid,
                                 std::tanh(x),
                                 std::log2(std::abs(x)),
                                 x,
                                 -x,
                                 2 * x,
                                 x};
    const double relative[12] = {5e-7, 3e-6, 2e-7,      3e-7,      4e-6,       4e-6,
                                 1e-3, 2e-6, 1.0 / 256, 1.0 / 256, 1.0 / 2048, 1.0 / 2048};
    for (std::size_t k = 0; k < 12; ++k)
      EXPECT_NEAR(static_cast<double>(result[12 * i + k]), expected[k], relative[k] * std::abs(expected[k]) + 1e-9)
          << "function " << k << " of " << x;
  }
}

TEST_F(WarpSmall, RoundsToNearestEven) {
  // Halves between two neighbours of bf16, of f16 and (away from zero) of tf32.
  const std::vector<float> from = {1.0f + 1.0f / 256, 1.0f + 3.0f / 256, 1.0f + 1.0f / 2048, 1.0f + 3.0f / 2048};
  const Values<float> device(from), to(4 * 12);
  EXPECT_CUDA(LAUNCH(compute_floats, 1, 4, 0, nullptr, device.data(), to.data()));
  const std::vector<float> result = to.get();
  EXPECT_EQ(result[8], 1.0f);
  EXPECT_EQ(result[12 + 8], 1.0f + 4.0f / 256);
  EXPECT_EQ(result[2 * 12 + 10], 2.0f);
  EXPECT_EQ(result[3 * 12 + 10], 2.0f + 4.0f / 1024);
  EXPECT_EQ(result[2 * 12 + 11], 1.0f + 2.0f / 2048);
}

__global__ void copy_with_hints(const uint4* from, uint4* to) {
  const int i = static_cast<int>(threadIdx.x);
  uint4 v;
  if (i % 4 == 0) v = gpu::load_streaming(from + i);
  if (i % 4 == 1) v = gpu::load_evict_first(from + i);
  if (i % 4 == 2) v = gpu::load_read_only(from + i);
  if (i % 4 == 3) {
    const auto low = gpu::load_streaming(reinterpret_cast<const uint2*>(from + i));
    const auto high = reinterpret_cast<const std::uint32_t*>(from + i) + 2;
    v = make_uint4(low.x, low.y, gpu::load_streaming(high), gpu::load_evict_first(high + 1));
  }
  gpu::prefetch_l2(from);
  gpu::store_streaming(to + i, v);
}

TEST_F(WarpSmall, HintsDoNotChangeWhatIsLoaded) {
  const Values<std::uint32_t> from(made<std::uint32_t>(128, [](int i) { return 77 * i; })), to(128);
  EXPECT_CUDA(LAUNCH(copy_with_hints, 1, 32, 0, nullptr, reinterpret_cast<const uint4*>(from.data()),
                     reinterpret_cast<uint4*>(to.data())));
  EXPECT_EQ(to.get(), made<std::uint32_t>(128, [](int i) { return 77 * i; }));
}

__global__ void use_much_shared(int ints, int* to) {
  DYN_SHARED(bytes);
  int* shared = reinterpret_cast<int*>(bytes);
  for (int i = static_cast<int>(threadIdx.x); i < ints; i += static_cast<int>(blockDim.x)) shared[i] = i;
  __syncthreads();
  if (threadIdx.x == 0) to[blockIdx.x] = shared[ints - 1] + shared[ints / 2];
}

TEST_F(WarpSmall, BlocksCanHaveMoreThan48KibOfSharedMemory) {
  const int ints = 96 * 1024 / 4;
  const Values<int> to(3);
  EXPECT_CUDA(LAUNCH(use_much_shared, 3, 64, static_cast<std::size_t>(ints) * 4, nullptr, ints, to.data()));
  EXPECT_EQ(to.get(), std::vector<int>(3, ints - 1 + ints / 2));
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

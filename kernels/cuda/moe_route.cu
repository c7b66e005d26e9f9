// Plan.
//   choose_experts: a warp has a row of E logits, 16 in each lane's registers at E = 512. Softmax by two reductions;
//   then k rounds, each the largest of a lane's own values, a maximum over the warp of their order-preserving integers
//   (redux.sync, one instruction) and the minimum of the indices that have it. Nothing is sorted and nothing spills to
//   memory: 10 rounds are about 600 instructions, half a microsecond.
//   Prefill (route_rows): eight warps a block, a row each. 2,048 tokens read 4.2 MB: 1.3 us of an H100's memory, 2 us
//   of instructions; it is a launch and little more.
//   Decode (project_and_route): the router is 512 x 2048: 4.2 MB in f32 (2.1 MB in bf16), 1.25 us of an H100's memory,
//   and would be two launches, a product and the choice, of which the second is all latency. Here a warp multiplies
//   one row of the router, 4 warps a block, so 128 blocks lie on 128 of 132 multiprocessors; a lane has 8 loads of 16
//   bytes in flight (16 KB a multiprocessor, what the memory's latency asks for), the first of them issued before the
//   kernel in front has ended, because weights depend on nobody. The block that ends last (a ticket) chooses, a warp
//   for each token. Limit: memory and two latencies; designed for 3 us. Public peers: NInfer 5.2 + 6.2 us in two
//   launches for 256 experts (RTX 5090).
// hot: route_rows
// hot: project_and_route
#include "kernels/cuda/moe_route.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/gpu.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int rows_per_block = 8;   // of route_rows
constexpr int project_warps = 4;    // a row of the router each
constexpr int loads_in_flight = 8;  // of 16 bytes, a lane
constexpr unsigned all_lanes = 0xFFFFFFFFu;

/// Integers in the order of the numbers; both zeros are one. 0 is below all of them.
__device__ __forceinline__ unsigned order_of(float value) {
  const unsigned bits = __float_as_uint(value + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float value_of(unsigned order) {
  return __uint_as_float(order & 0x80000000u ? order & 0x7FFFFFFFu : ~order);
}

/// logits[i] of a lane is that of expert 32 i + lane; all lanes of the warp call.
template <int PER_LANE>
__device__ __forceinline__ void choose_experts(const float (&logits)[PER_LANE], int experts, int chosen, bool normalize,
                                               std::int32_t* ids, float* weights) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  float most = -INFINITY;
#pragma unroll
  for (int i = 0; i < PER_LANE; ++i)
    if (32 * i + lane < experts) most = fmaxf(most, logits[i]);
  most = gpu::warp_max(most);
  float total = 0.0f;
  unsigned orders[PER_LANE];
#pragma unroll
  for (int i = 0; i < PER_LANE; ++i) {
    const bool exists = 32 * i + lane < experts;
    orders[i] = exists ? order_of(logits[i]) : 0u;
    if (exists) total += expf(logits[i] - most);
  }
  total = gpu::warp_sum(total);
  const bool worthless = !(total >= 1.0f);  // the largest alone gives 1; else something was not a number

  std::int32_t id = lane;
  float share = total, chosen_total = 0.0f;
  for (int round = 0; round < chosen && !worthless; ++round) {
    unsigned best = 0;
    int at = 0;
#pragma unroll
    for (int i = 0; i < PER_LANE; ++i)
      if (orders[i] > best) {
        best = orders[i];
        at = 32 * i + lane;
      }
    const unsigned top = __reduce_max_sync(all_lanes, best);
    const auto winner = static_cast<int>(__reduce_min_sync(all_lanes, best == top ? static_cast<unsigned>(at) : ~0u));
#pragma unroll
    for (int i = 0; i < PER_LANE; ++i)
      if (32 * i + lane == winner) orders[i] = 0;
    const float value = expf(value_of(top) - most);
    chosen_total += value;
    if (round == lane) {
      id = winner;
      share = value;
    }
  }
  if (lane >= chosen) return;
  ids[lane] = id;
  weights[lane] = worthless ? NAN : share / (normalize ? chosen_total : total);
}

template <int PER_LANE>
__global__ void __launch_bounds__(32 * rows_per_block)
    route_rows(const float* __restrict__ logits, std::int64_t tokens, int experts, int chosen, bool normalize,
               std::int32_t* ids, float* weights) {
  gpu::wait_for_previous_grid();
  gpu::allow_next_grid();
  const std::int64_t token = static_cast<std::int64_t>(blockIdx.x) * rows_per_block + threadIdx.x / 32;
  const int lane = static_cast<int>(threadIdx.x % 32);
  if (token >= tokens) return;
  float row[PER_LANE];
#pragma unroll
  for (int i = 0; i < PER_LANE; ++i)
    row[i] = 32 * i + lane < experts ? gpu::load_read_only(logits + token * experts + 32 * i + lane) : 0.0f;
  choose_experts(row, experts, chosen, normalize, ids + token * chosen, weights + token * chosen);
}

/// RUN values a load; a row of x and of the router are whole numbers of aligned runs.
template <class W, int RUN, int TOKENS, int PER_LANE>
__global__ void __launch_bounds__(32 * project_warps)
    project_and_route(const float* x, const W* __restrict__ router, int tokens, int hidden, int experts, int chosen,
                      bool normalize, float* logits, std::int32_t* ticket, std::int32_t* ids, float* weights) {
  SHARED_ARRAY(int, is_last, [1]);
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int expert = static_cast<int>(blockIdx.x) * project_warps + warp;
  constexpr int step = 32 * RUN, piece = loads_in_flight * step;
  const W* row = router + static_cast<std::int64_t>(expert) * hidden;
  gpu::Vector<W, RUN> run[loads_in_flight];
  const auto load = [&](int first) {
#pragma unroll
    for (int i = 0; i < loads_in_flight; ++i) {
      const int column = first + i * step + lane * RUN;
      if (expert < experts && column < hidden) run[i] = gpu::Vector<W, RUN>::load_streaming(row + column);
    }
  };
  load(0);
  gpu::wait_for_previous_grid();
  gpu::allow_next_grid();

  float sums[TOKENS] = {};
  for (int first = 0; first < hidden; first += piece) {
    if (first > 0) load(first);
#pragma unroll
    for (int i = 0; i < loads_in_flight; ++i) {
      const int column = first + i * step + lane * RUN;
      if (expert >= experts || column >= hidden) continue;
      float w[RUN];
      gpu::to_floats(run[i], w);
#pragma unroll
      for (int t = 0; t < TOKENS; ++t) {
        if (t >= tokens) continue;
        constexpr int part = RUN < 4 ? RUN : 4;  // values of x in one load
#pragma unroll
        for (int j = 0; j < RUN; j += part) {
          const auto values = gpu::Vector<float, part>::load(x + static_cast<std::int64_t>(t) * hidden + column + j);
#pragma unroll
          for (int n = 0; n < part; ++n) sums[t] = fmaf(w[j + n], values.values[n], sums[t]);
        }
      }
    }
  }
#pragma unroll
  for (int t = 0; t < TOKENS; ++t) {
    if (t >= tokens) continue;
    const float logit = gpu::warp_sum(sums[t]);
    if (lane == 0 && expert < experts) __stcg(logits + t * experts + expert, logit);
  }

  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    is_last[0] = gpu::atomic_add_acquire_release(ticket, 1) == static_cast<int>(gridDim.x) - 1;
    __threadfence();
  }
  __syncthreads();
  if (is_last[0] == 0) return;
  if (threadIdx.x == 0) *ticket = 0;
  for (int t = warp; t < tokens; t += project_warps) {
    float values[PER_LANE];
#pragma unroll
    for (int i = 0; i < PER_LANE; ++i)
      values[i] = 32 * i + lane < experts ? __ldcg(logits + t * experts + 32 * i + lane) : 0.0f;
    choose_experts(values, experts, chosen, normalize, ids + t * chosen, weights + t * chosen);
  }
}

/// Calls launch.template operator()<N>() with the smallest of the numbers that is not below `value`.
template <int... NUMBERS, class Launch>
cudaError_t with_at_least(std::int64_t value, Launch launch) {
  cudaError_t error = cudaErrorInvalidValue;
  const auto try_number = [&]<int N>() {
    if (value > N) return false;
    error = launch.template operator()<N>();
    return true;
  };
  (try_number.template operator()<NUMBERS>() || ...);
  return error;
}

void require_choice(const char* operation, const ConstTensor& experts, const ConstTensor& weights, std::int64_t tokens,
                    std::int64_t count) {
  require(experts.type == DType::i32 && experts.rank == 2 && is_f32(weights, 2) && same_shape(experts, weights) &&
              experts.dim(0) == tokens && experts.dim(1) >= 1 && experts.dim(1) <= count && count <= route_experts &&
              experts.dim(1) <= route_chosen,
          operation, {{"experts", experts}, {"weights", weights}},
          "expected experts I32 and weights F32 [T, k], k from 1 to 32 and at most E, E at most 1024");
}

}  // namespace

void moe_route(Queue& queue, ConstTensor logits, bool normalize, Tensor experts, Tensor weights) {
  require(is_f32(logits, 2), "moe_route", {{"logits", logits}}, "expected logits F32 [T, E]");
  require_choice("moe_route", experts, weights, logits.dim(0), logits.dim(1));
  const std::int64_t tokens = logits.dim(0);
  if (tokens == 0) return;
  const auto blocks = static_cast<unsigned>((tokens + rows_per_block - 1) / rows_per_block);
  check(with_at_least<256, 512, 1024>(logits.dim(1),
                                      [&]<int N>() {
                                        return LAUNCH_DEPENDENT(
                                            (route_rows<N / 32>), blocks, 32 * rows_per_block, 0, queue.stream(),
                                            reinterpret_cast<const float*>(logits.data), tokens,
                                            static_cast<int>(logits.dim(1)), static_cast<int>(experts.dim(1)),
                                            normalize, reinterpret_cast<std::int32_t*>(experts.data),
                                            reinterpret_cast<float*>(weights.data));
                                      }),
        "moe_route");
}

void moe_route_project(Queue& queue, ConstTensor x, ConstTensor router, bool normalize, Tensor experts,
                       Tensor weights) {
  require(is_f32(x, 2) && router.rank == 2 && router.dim(1) == x.dim(1) && x.dim(1) >= 1 &&
              x.dim(0) <= route_project_tokens &&
              (router.type == DType::f32 || router.type == DType::f16 || router.type == DType::bf16),
          "moe_route_project", {{"x", x}, {"router", router}},
          "expected x F32 [T, H] of at most 8 tokens, router F32, F16 or BF16 [E, H]");
  require_choice("moe_route_project", experts, weights, x.dim(0), router.dim(0));
  const std::int64_t tokens = x.dim(0), hidden = x.dim(1), count = router.dim(0);
  if (tokens == 0) return;
  auto* logits = reinterpret_cast<float*>(queue.workspace(tokens * count * static_cast<std::int64_t>(sizeof(float))));
  const auto blocks = static_cast<unsigned>((count + project_warps - 1) / project_warps);
  const bool aligned =
      reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 && reinterpret_cast<std::uintptr_t>(router.data) % 16 == 0;
  const auto launch = [&]<class W, int RUN>() {
    return with_at_least<1, 2, 4, 8>(tokens, [&]<int TOKENS>() {
      return with_at_least<512, 1024>(count, [&]<int N>() {
        return LAUNCH_DEPENDENT(
            (project_and_route<W, RUN, TOKENS, N / 32>), blocks, 32 * project_warps, 0, queue.stream(),
            reinterpret_cast<const float*>(x.data), reinterpret_cast<const W*>(router.data), static_cast<int>(tokens),
            static_cast<int>(hidden), static_cast<int>(count), static_cast<int>(experts.dim(1)), normalize, logits,
            queue.tickets(), reinterpret_cast<std::int32_t*>(experts.data), reinterpret_cast<float*>(weights.data));
      });
    });
  };
  const auto launch_type = [&]<class W>() {
    constexpr int run = 16 / static_cast<int>(sizeof(W));
    return aligned && hidden % run == 0 ? launch.template operator()<W, run>() : launch.template operator()<W, 1>();
  };
  check(router.type == DType::f32    ? launch_type.template operator()<float>()
        : router.type == DType::bf16 ? launch_type.template operator()<gpu::bf16>()
                                     : launch_type.template operator()<gpu::f16>(),
        "moe_route_project");
}

}  // namespace lectern::kernels::cuda

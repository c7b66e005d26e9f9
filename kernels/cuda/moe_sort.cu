// Plan.
//   A counting sort by one block: 2,048 tokens x 10 choices are 82 KB of numbers, so what it costs is launches and
//   latencies, and three launches over many blocks (count, scan, place) would cost more than one block that does it
//   all. Warp: a run of the pairs, in order, 32 at a time; lanes with the same expert find each other by match_any, the
//   lowest adds their number to the warp's own counter, which is therefore a plain number in shared memory and grows in
//   the order of the pairs: stable and deterministic without atomics. Then a thread per expert adds up the warps'
//   counters, two scans over the block give the places and the tiles, and the warps go over their pairs again.
//   20 rounds of 32 pairs a warp and pass at T = 2,048: about 10 us, 1.5 % of what the experts take then; shared memory
//   (warps x E) x 4 = 64 KB at E = 512. Limit: latency of one block. Public peers: vLLM's moe_align_block_size
//   (atomics, order of tokens not kept), SGLang's the same.
// hot: sort_pairs
#include "kernels/cuda/moe_sort.h"

#include <algorithm>

#include "kernels/cuda/check.h"
#include "kernels/cuda/gpu.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int sort_threads = 1024, max_warps = sort_threads / 32;
constexpr std::int64_t counter_bytes = 64 << 10;

struct Order {
  std::int32_t *pairs, *places, *offsets, *tile_offsets, *tile_experts;
};

/// Sum of `value` over the threads in front of this one; the sum over all in *total. `sums`: shared, one a warp.
__device__ __forceinline__ int exclusive_sum(int value, int (&sums)[max_warps], int* total) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int inclusive = gpu::warp_inclusive_sum(value);
  __syncthreads();  // the sums of the scan before have been read
  if (lane == 31) sums[warp] = inclusive;
  __syncthreads();
  int before = 0, all = 0;
  for (int i = 0; i < max_warps; ++i) {
    if (i < warp) before += sums[i];
    all += sums[i];
  }
  *total = all;
  return before + inclusive - value;
}

/// Calls body(pair, expert, same) for the pairs [first, last) in order, 32 at a time, all lanes together: `same` are
/// the lanes with this expert, 0 if the expert does not exist (-1).
template <class Body>
__device__ __forceinline__ void for_pairs(const std::int32_t* experts, int expert_count, int first, int last,
                                          Body body) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int base = first; base < last; base += 32) {
    const int pair = base + lane;
    int expert = pair < last ? experts[pair] : -1;
    if (expert < 0 || expert >= expert_count) expert = -1;
    const unsigned same = __match_any_sync(0xFFFFFFFFu, expert);
    body(pair, expert, expert < 0 ? 0u : same);
    __syncwarp();
  }
}

/// `warps` of the block's take part in counting; counters [warps, experts].
__global__ void __launch_bounds__(sort_threads)
    sort_pairs(const std::int32_t* experts, int pairs, int expert_count, int warps, Order order, std::int32_t* fault) {
  DYN_SHARED(memory);
  SHARED_ARRAY(int, sums, [max_warps]);
  auto* counters = reinterpret_cast<int*>(memory);
  gpu::wait_for_previous_grid();
  gpu::allow_next_grid();
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  for (int i = thread; i < warps * expert_count; i += sort_threads) counters[i] = 0;
  __syncthreads();

  const int run = ((pairs + warps - 1) / warps + 31) / 32 * 32;  // of a warp
  const int first = warp < warps ? min(warp * run, pairs) : pairs, last = min(first + run, pairs);
  int* const mine = counters + min(warp, warps - 1) * expert_count;
  for_pairs(experts, expert_count, first, last, [&](int pair, int expert, unsigned same) {
    if (same != 0 && __ffs(static_cast<int>(same)) - 1 == lane) mine[expert] += __popc(same);
    if (pair < last && expert < 0) {
      atomicExch(fault, 1);
      order.places[pair] = -1;
    }
  });
  __syncthreads();

  int count = 0;
  if (thread < expert_count) {
    for (int i = 0; i < warps; ++i) count += counters[i * expert_count + thread];
  }
  int total = 0, tiles_total = 0;
  const int tiles = (count + static_cast<int>(expert_tile_rows) - 1) / static_cast<int>(expert_tile_rows);
  const int offset = exclusive_sum(count, sums, &total), tile_offset = exclusive_sum(tiles, sums, &tiles_total);
  if (thread < expert_count) {
    order.offsets[thread] = offset;
    order.tile_offsets[thread] = tile_offset;
    for (int i = 0; i < tiles; ++i) order.tile_experts[tile_offset + i] = thread;
    int place = offset;  // counters become the place of the warp's next pair
    for (int i = 0; i < warps; ++i) {
      const int of_warp = counters[i * expert_count + thread];
      counters[i * expert_count + thread] = place;
      place += of_warp;
    }
  }
  if (thread == 0) {
    order.offsets[expert_count] = total;
    order.tile_offsets[expert_count] = tiles_total;
  }
  __syncthreads();

  for_pairs(experts, expert_count, first, last, [&](int pair, int expert, unsigned same) {
    int place = 0;
    if (same != 0) {
      place = mine[expert] + __popc(same & ((1u << lane) - 1u));
      order.pairs[place] = pair;
      order.places[pair] = place;
    }
    __syncwarp();
    if (same != 0 && __ffs(static_cast<int>(same)) - 1 == lane) mine[expert] = place + __popc(same);
  });
}

std::int64_t most_tiles(std::int64_t pairs, std::int64_t experts) {
  return pairs / expert_tile_rows + std::min(pairs, experts);
}

std::int32_t* numbers(const Tensor& x) {
  return reinterpret_cast<std::int32_t*>(x.data);
}

}  // namespace

std::int64_t expert_order_values(std::int64_t tokens, std::int64_t chosen, std::int64_t experts) {
  return 2 * tokens * chosen + 2 * (experts + 1) + most_tiles(tokens * chosen, experts);
}

ExpertOrder expert_order(Tensor memory, std::int64_t tokens, std::int64_t chosen, std::int64_t experts) {
  require(memory.type == DType::i32 && memory.elements() >= expert_order_values(tokens, chosen, experts),
          "expert_order", {{"memory", memory}}, "expected as many I32 as expert_order_values says");
  std::int32_t* next = numbers(memory);
  const auto take = [&](std::int64_t count) {
    const Tensor tensor(next, DType::i32, {count});
    next += count;
    return tensor;
  };
  ExpertOrder order;
  order.pairs = take(tokens * chosen);
  order.places = take(tokens * chosen);
  order.offsets = take(experts + 1);
  order.tile_offsets = take(experts + 1);
  order.tile_experts = take(most_tiles(tokens * chosen, experts));
  return order;
}

void moe_sort(Queue& queue, ConstTensor experts, std::int64_t expert_count, const ExpertOrder& order, Tensor fault) {
  const std::int64_t pairs = experts.elements();
  require(experts.type == DType::i32 && experts.rank == 2 && expert_count >= 1 && expert_count <= sort_experts &&
              pairs < std::int64_t{1} << 30 && fault.type == DType::i32 && fault.elements() == 1,
          "moe_sort", {{"experts", experts}, {"fault", fault}},
          "expected experts I32 [T, k] out of 1 to 1024, fault I32 [1]");
  require(order.pairs.elements() == pairs && order.places.elements() == pairs &&
              order.offsets.elements() == expert_count + 1 && order.tile_offsets.elements() == expert_count + 1 &&
              order.tile_experts.elements() == most_tiles(pairs, expert_count),
          "moe_sort", {{"experts", experts}, {"pairs", order.pairs}, {"offsets", order.offsets}},
          "the order is one of other tokens or experts");
  const auto row = expert_count * static_cast<std::int64_t>(sizeof(std::int32_t));
  const std::int64_t warps = std::clamp<std::int64_t>(counter_bytes / row, 1, max_warps);
  check(LAUNCH_DEPENDENT(sort_pairs, 1, sort_threads, static_cast<std::size_t>(warps * row), queue.stream(),
                         reinterpret_cast<const std::int32_t*>(experts.data), static_cast<int>(pairs),
                         static_cast<int>(expert_count), static_cast<int>(warps),
                         Order{numbers(order.pairs), numbers(order.places), numbers(order.offsets),
                               numbers(order.tile_offsets), numbers(order.tile_experts)},
                         reinterpret_cast<std::int32_t*>(fault.data)),
        "moe_sort");
}

}  // namespace lectern::kernels::cuda

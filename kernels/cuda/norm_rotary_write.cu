// Plan.
//   Block: 256 threads, eight heads of one token; a warp takes one head of q, k or v. It reads the head once (16 bytes
//   a lane), sums the squares in f32 (runs of 4 in order, then the butterfly), keeps the normed head in shared memory
//   (its own: no barrier of the block), turns its pairs there, one a lane, and stores it: q to q_out, k and v to their
//   page. Every warp forms its cosines and sines anew: one a lane, about 30 instructions. Bytes at Qwen3-Next-80B, one
//   token: 16 + 2 + 2 heads of 256 in f32: 20 KB, so a launch's latency (2 to 3 us) is all, where norm, norm, rotary,
//   rotary and write would be five. 2,048 tokens: 41.9 MB read (the gates are passed over), 16.8 MB of q in bf16
//   and 4.2 MB of pages written: 18.8 us at the H100's 3.35 TB/s. Limit: memory in prefill, designed for 75 % of it;
//   latency in decode. Best public peers fuse the same (vLLM's fused_qknorm_rope_kernel.cu, without the writing).
// hot: norm_rotary_write_heads
#include "kernels/cuda/norm_rotary_write.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/kv_slot.h"
#include "kernels/cuda/kv_write.h"
#include "kernels/cuda/rotary_device.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 256;
constexpr int heads_per_block = block_threads / 32;
constexpr int most_dim = 512;

/// The arguments of the kernel.
struct Heads {
  const float* q;
  const float* k;
  const float* v;
  const float* q_norm;
  const float* k_norm;
  const std::uint64_t* parts;
  const std::int32_t* positions;
  int query_heads, dim, q_stride;  // floats from one head of q to the next
  int pairs;
  float eps, magnitude;
};

/// Copies a head to shared memory, normed if there are weights.
__device__ __forceinline__ void load_head(const float* from, const float* weights, float eps, int dim, float* head) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  float sum = 0.0f;
  for (int d = 4 * lane; d < dim; d += 128) {
    const auto run = gpu::Vector<float, 4>::load(from + d);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum = fmaf(run.values[i], run.values[i], sum);
    run.store(head + d);
  }
  if (weights == nullptr) return;
  const float factor = 1.0f / sqrtf(gpu::warp_sum(sum) / static_cast<float>(dim) + eps);
  for (int d = 4 * lane; d < dim; d += 128) {  // the lane's own values
    auto run = gpu::Vector<float, 4>::load(head + d);
    const auto weight = gpu::Vector<float, 4>::load(weights + d);
#pragma unroll
    for (int i = 0; i < 4; ++i) run.values[i] = run.values[i] * factor * weight.values[i];
    run.store(head + d);
  }
}

template <class Value, class Out, bool ADJACENT>
__global__ void __launch_bounds__(block_threads, 6)
    norm_rotary_write_heads(Heads in, SlotsOfTokens slots, KvView view, Out* q_out) {
  DYN_SHARED(shared);
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int item = static_cast<int>(blockIdx.y) * heads_per_block + warp;
  const std::int64_t token = blockIdx.x;
  if (item >= in.query_heads + 2 * view.heads) return;
  const bool is_query = item < in.query_heads;
  const bool is_key = !is_query && item < in.query_heads + view.heads;
  const int head_number = is_query ? item : is_key ? item - in.query_heads : item - in.query_heads - view.heads;
  float* head = reinterpret_cast<float*>(shared) + warp * in.dim;

  const float* from = is_query ? in.q + (token * in.query_heads + head_number) * in.q_stride
                               : (is_key ? in.k : in.v) + (token * view.heads + head_number) * in.dim;
  load_head(from, is_query ? in.q_norm : is_key ? in.k_norm : nullptr, in.eps, in.dim, head);
  __syncwarp();
  if (is_query || is_key)
    for (int i = lane; i < in.pairs; i += 32)
      turn_pair(head, place_of_pair<ADJACENT>(i, in.pairs), turn_of(in.positions[token], in.parts[i], in.magnitude));
  __syncwarp();
  if (is_query) {
    Out* to = q_out + (token * in.query_heads + head_number) * in.dim;
    for (int d = 4 * lane; d < in.dim; d += 128) {
      float four[4];
      gpu::to_floats(gpu::Vector<float, 4>::load(head + d), four);
      gpu::from_floats<Out>(four).store(to + d);
    }
    return;
  }
  int in_page;
  std::byte* strip = slots.strip(view, static_cast<int>(token), in_page);
  if (strip != nullptr) store_row(view, strip, view.row(is_key ? 0 : 1, head_number, in_page), head, in.dim, Value{});
}

bool is_aligned(const std::byte* address) {
  return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
}

}  // namespace

void norm_rotary_write(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor v, const HeadTransform& transform,
                       ConstTensor positions, ConstTensor slots, const KvPages& pages, Tensor q_out) {
  const char* name = "norm_rotary_write";
  require_pages(name, pages);
  const std::int64_t kv_heads = pages.layout.heads, dim = pages.layout.head_dim, tokens = q.dim(0);
  require(is_f32(q, 3) && (q.dim(2) == dim || q.dim(2) == 2 * dim) && q_out.rank == 3 && q_out.dim(0) == tokens &&
              q_out.dim(1) == q.dim(1) && q_out.dim(2) == dim &&
              (q_out.type == DType::f32 || q_out.type == DType::bf16) && dim <= most_dim && is_aligned(q.data) &&
              is_aligned(q_out.data),
          name, {{"q", q}, {"q_out", q_out}},
          "expected q [T, Hq, D] or [T, Hq, 2D], q_out [T, Hq, D] F32 or BF16, D = " + std::to_string(dim) +
              " of at most 512, aligned to 16 bytes");
  require(is_f32(k, 3) && is_f32(v, 3) && same_shape(k, v) && k.dim(0) == tokens && k.dim(1) == kv_heads &&
              k.dim(2) == dim && is_aligned(k.data) && is_aligned(v.data),
          name, {{"q", q}, {"k", k}, {"v", v}},
          "expected k and v [T, " + std::to_string(kv_heads) + ", " + std::to_string(dim) + "], aligned to 16 bytes");
  for (const ConstTensor& weights : {transform.q_norm, transform.k_norm})
    require(!weights || (is_f32(weights, 1) && weights.dim(0) == dim && is_aligned(weights.data)), name,
            {{"norm", weights}}, "expected weights [" + std::to_string(dim) + "], aligned to 16 bytes");
  require(transform.frequencies != nullptr && 2 * transform.frequencies->pairs() <= dim &&
              positions.type == DType::i32 && positions.rank == 1 && positions.dim(0) == tokens,
          name, {{"q", q}, {"positions", positions}}, "expected positions [T] of I32 and at most D / 2 frequencies");
  require_slot_tensor(name, slots, tokens, pages);
  if (tokens == 0) return;

  const auto floats = [](ConstTensor x) { return reinterpret_cast<const float*>(x.data); };
  const Heads heads{floats(q),
                    floats(k),
                    floats(v),
                    floats(transform.q_norm),
                    floats(transform.k_norm),
                    transform.frequencies->turns(),
                    reinterpret_cast<const std::int32_t*>(positions.data),
                    static_cast<int>(q.dim(1)),
                    static_cast<int>(dim),
                    static_cast<int>(q.dim(2)),
                    static_cast<int>(transform.frequencies->pairs()),
                    transform.eps,
                    transform.magnitude};
  const std::int64_t items = q.dim(1) + 2 * kv_heads;
  const dim3 grid(static_cast<unsigned>(tokens),
                  static_cast<unsigned>((items + heads_per_block - 1) / heads_per_block));
  const auto shared_bytes = static_cast<std::size_t>(heads_per_block * dim) * sizeof(float);
  const auto launch = [&]<class Value, bool ADJACENT>() {
    if (q_out.type == DType::f32)
      return LAUNCH((norm_rotary_write_heads<Value, float, ADJACENT>), grid, block_threads, shared_bytes,
                    queue.stream(), heads, SlotsOfTokens(slots, tokens, pages), KvView(pages),
                    reinterpret_cast<float*>(q_out.data));
    return LAUNCH((norm_rotary_write_heads<Value, gpu::bf16, ADJACENT>), grid, block_threads, shared_bytes,
                  queue.stream(), heads, SlotsOfTokens(slots, tokens, pages), KvView(pages),
                  reinterpret_cast<gpu::bf16*>(q_out.data));
  };
  const bool is_bf16 = pages.layout.kind == KvKind::bf16;
  const cudaError_t error =
      transform.pairs == RotaryPairs::adjacent
          ? (is_bf16 ? launch.template operator()<Kv16, true>() : launch.template operator()<Kv8, true>())
          : (is_bf16 ? launch.template operator()<Kv16, false>() : launch.template operator()<Kv8, false>());
  check(error, name);
}

}  // namespace lectern::kernels::cuda

// Plan.
//   A thread computes both gates of one token and value head: 8 bytes read and 8 written besides the two rows of
//   weights, about 60 FLOPs. At Qwen3-Next-80B (32 value heads) 2,048 tokens are 1 MB, 0.3 us at the H100's 3.35 TB/s
//   and one wave of blocks: a launch's latency is all. Where that matters delta_inputs computes the gates beside the
//   convolution. The exponentials are the accurate ones: an error of g is multiplied along the whole sequence.
#include "kernels/cuda/delta_gates.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/delta_gate.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/tensor_access.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 256;

__global__ void __launch_bounds__(block_threads)
    gate_values(const float* a, const float* b, const float* __restrict__ decay, const float* __restrict__ dt_bias,
                std::int64_t values, int heads, float* g, float* beta) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  if (i >= values) return;
  const auto head = static_cast<int>(i % heads);
  g[i] = delta_decay_gate(a[i], decay[head], dt_bias[head]);
  beta[i] = delta_write_gate(b[i]);
}

}  // namespace

void delta_gates(Queue& queue, ConstTensor a, ConstTensor b, ConstTensor decay, ConstTensor dt_bias, Tensor g,
                 Tensor beta) {
  require(is_f32(a, 2) && is_f32(b, 2) && is_f32(g, 2) && is_f32(beta, 2) && is_f32(decay, 1) && is_f32(dt_bias, 1) &&
              same_shape(a, b) && same_shape(a, g) && same_shape(a, beta) && decay.dim(0) == a.dim(1) &&
              dt_bias.dim(0) == a.dim(1),
          "delta_gates", {{"a", a}, {"b", b}, {"decay", decay}, {"dt_bias", dt_bias}, {"g", g}, {"beta", beta}},
          "expected a, b, g, beta [T, Hv], decay and dt_bias [Hv]");
  const std::int64_t values = a.elements();
  if (values == 0) return;
  check(LAUNCH(gate_values, static_cast<unsigned>((values + block_threads - 1) / block_threads), block_threads, 0,
               queue.stream(), floats(a), floats(b), floats(decay), floats(dt_bias), values, static_cast<int>(a.dim(1)),
               floats(g), floats(beta)),
        "delta_gates");
}

}  // namespace lectern::kernels::cuda

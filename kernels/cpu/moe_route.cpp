// k passes over the probabilities: k is about ten, and a pass over a few hundred values is shorter than a sort.
#include "kernels/moe_route.h"

#include <vector>

#include "kernels/cpu/operations.h"

namespace lectern::kernels::cpu {

void moe_route(Stream& stream, ConstTensor logits, bool normalize, Tensor experts, Tensor weights) {
  const std::int64_t count = logits.columns(), chosen = experts.columns();
  stream.pool().parallel_for(logits.rows(), 8, [&](std::int64_t first, std::int64_t last, int) {
    std::vector<float> p(static_cast<std::size_t>(count));
    for (std::int64_t t = first; t < last; ++t) {
      stream.loops().softmax_row(floats(logits) + t * count, count, p.data());
      std::int32_t* ids = reinterpret_cast<std::int32_t*>(experts.data) + t * chosen;
      float* out = floats(weights) + t * chosen;
      float total = 0;
      for (std::int64_t i = 0; i < chosen; ++i) {
        std::int64_t best = -1;
        for (std::int64_t e = 0; e < count; ++e) {
          const float value = p[static_cast<std::size_t>(e)];
          if (value >= 0 && (best < 0 || value > p[static_cast<std::size_t>(best)])) best = e;
        }
        if (best < 0) best = i;  // not a number anywhere: the result is worthless, but the ids stay valid and distinct
        ids[i] = static_cast<std::int32_t>(best);
        out[i] = p[static_cast<std::size_t>(best)];
        total += out[i];
        p[static_cast<std::size_t>(best)] = -1;
      }
      if (normalize)
        for (std::int64_t i = 0; i < chosen; ++i) out[i] /= total;
    }
  });
}

}  // namespace lectern::kernels::cpu

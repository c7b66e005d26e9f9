#include "kernels/delta_gates.h"

#include <cmath>

#include "kernels/cpu/operations.h"

namespace lectern::kernels::cpu {

void delta_gates(Stream& stream, ConstTensor a, ConstTensor b, ConstTensor decay, ConstTensor dt_bias, Tensor g,
                 Tensor beta) {
  const std::int64_t heads = a.columns();
  stream.pool().parallel_for(a.elements(), 512, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t head = i % heads;
      const float x = floats(a)[i] + floats(dt_bias)[head];
      const float softplus = x > 20.0f ? x : std::log1p(std::exp(x));
      const float gate = floats(b)[i];
      floats(g)[i] = floats(decay)[head] * softplus;
      floats(beta)[i] = 1.0f / (1.0f + std::exp(-gate));
    }
  });
}

}  // namespace lectern::kernels::cpu

#include "kernels/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/operations.h"

namespace lectern::kernels::cpu {

namespace {
constexpr std::int64_t grain = 8192;  // about two microseconds
}

void add(Stream& stream, ConstTensor a, ConstTensor b, Tensor out) {
  stream.pool().parallel_for(a.elements(), grain, [&](std::int64_t first, std::int64_t last, int) {
    stream.loops().add(floats(a) + first, floats(b) + first, last - first, floats(out) + first);
  });
}

void silu_multiply(Stream& stream, ConstTensor gate, ConstTensor up, Tensor out) {
  stream.pool().parallel_for(gate.elements(), grain, [&](std::int64_t first, std::int64_t last, int) {
    stream.loops().silu_multiply(floats(gate) + first, floats(up) + first, last - first, floats(out) + first);
  });
}

void sigmoid_multiply(Stream& stream, ConstTensor x, ConstTensor gate, Tensor out) {
  stream.pool().parallel_for(x.elements(), grain, [&](std::int64_t first, std::int64_t last, int) {
    stream.loops().sigmoid_multiply(floats(x) + first, floats(gate) + first, last - first, floats(out) + first);
  });
}

void add_sigmoid_scaled(Stream& stream, ConstTensor x, ConstTensor gate, Tensor out) {
  const std::int64_t columns = x.columns();
  stream.pool().parallel_for(x.rows(), std::max<std::int64_t>(1, grain / std::max<std::int64_t>(1, columns)),
                             [&](std::int64_t first, std::int64_t last, int) {
                               for (std::int64_t row = first; row < last; ++row) {
                                 const float factor = 1.0f / (1.0f + std::exp(-floats(gate)[row]));
                                 stream.loops().add_scaled(floats(x) + row * columns, factor, columns,
                                                           floats(out) + row * columns);
                               }
                             });
}

void copy_columns(Stream& stream, ConstTensor x, std::int64_t column, Tensor out) {
  const auto columns = static_cast<std::size_t>(out.dim(1));
  stream.pool().parallel_for(
      out.dim(0), std::max<std::int64_t>(1, 8192 / out.dim(1)), [&](std::int64_t first, std::int64_t last, int) {
        for (std::int64_t row = first; row < last; ++row)
          std::memcpy(floats(out) + row * out.dim(1), floats(x) + row * x.dim(1) + column, columns * sizeof(float));
      });
}

}  // namespace lectern::kernels::cpu

#include "kernels/rms_norm.h"

#include <algorithm>

#include "kernels/cpu/operations.h"

namespace lectern::kernels::cpu {

namespace {

template <class Row>
void for_rows(Stream& stream, std::int64_t rows, std::int64_t columns, Row row) {
  const std::int64_t grain = std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, columns));
  stream.pool().parallel_for(rows, grain, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t i = first; i < last; ++i) row(i * columns);
  });
}

}  // namespace

void rms_norm(Stream& stream, ConstTensor x, ConstTensor w, float eps, Tensor out) {
  for_rows(stream, x.rows(), x.columns(), [&](std::int64_t at) {
    stream.loops().rms_norm_row(floats(x) + at, floats(w), eps, x.columns(), floats(out) + at);
  });
}

void gated_rms_norm(Stream& stream, ConstTensor o, ConstTensor z, ConstTensor w, float eps, Tensor out) {
  for_rows(stream, o.rows(), o.columns(), [&](std::int64_t at) {
    stream.loops().gated_rms_norm_row(floats(o) + at, floats(z) + at, floats(w), eps, o.columns(), floats(out) + at);
  });
}

void l2_norm(Stream& stream, ConstTensor x, float eps, float scale, Tensor out) {
  for_rows(stream, x.rows(), x.columns(), [&](std::int64_t at) {
    stream.loops().l2_norm_row(floats(x) + at, eps, scale, x.columns(), floats(out) + at);
  });
}

}  // namespace lectern::kernels::cpu

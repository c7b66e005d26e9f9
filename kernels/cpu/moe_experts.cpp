// The rows of x are sorted by expert, so that each chosen expert's weights are read once: its rows pass through gate,
// up and down together. The results keep one row per (token, choice) and are summed afterwards in the order of the
// choices, so a token's bits do not depend on who shares its experts.
#include "kernels/moe_experts.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/scratch.h"

namespace lectern::kernels::cpu {

namespace {

ConstTensor matrix_of(const ConstTensor& experts, std::int64_t expert) {
  const std::int64_t bytes = experts.dim(1) * row_bytes(experts.type, experts.dim(2));
  return {experts.data + expert * bytes, experts.type, {experts.dim(1), experts.dim(2)}};
}

void product(Stream& stream, RowKind kind, const float* x, std::int64_t rows, ConstTensor w, float* out) {
  const std::int64_t step = kind == RowKind::decode ? matvec_rows : rows;
  for (std::int64_t row = 0; row < rows; row += step) {
    const std::int64_t n = std::min(step, rows - row);
    const ConstTensor in = f32_view(x + row * w.columns(), {n, w.columns()});
    const Tensor result = f32_view(out + row * w.rows(), {n, w.rows()});
    if (kind == RowKind::decode)
      matvec(stream, in, w, result);
    else
      matmul(stream, in, w, result);
  }
}

}  // namespace

void moe_experts(Stream& stream, ConstTensor x, ConstTensor gate, ConstTensor up, ConstTensor down, ConstTensor experts,
                 ConstTensor weights, RowKind kind, Tensor out) {
  const std::int64_t tokens = x.rows(), hidden = x.columns(), inner = gate.dim(1), chosen = experts.columns();
  const std::int64_t count = gate.dim(0), rows = tokens * chosen;
  const std::int32_t* ids = reinterpret_cast<const std::int32_t*>(experts.data);

  // Counting sort: order[starts[e]..starts[e + 1]) are the choices (token * k + i) of expert e, tokens ascending.
  std::vector<std::int64_t> starts(static_cast<std::size_t>(count) + 1, 0), order(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows; ++i) ++starts[static_cast<std::size_t>(ids[i]) + 1];
  for (std::size_t e = 0; e < static_cast<std::size_t>(count); ++e) starts[e + 1] += starts[e];
  std::vector<std::int64_t> next(starts.begin(), starts.end() - 1);
  std::int64_t most = 0;
  for (std::int64_t i = 0; i < rows; ++i) order[static_cast<std::size_t>(next[static_cast<std::size_t>(ids[i])]++)] = i;
  for (std::size_t e = 0; e < static_cast<std::size_t>(count); ++e) most = std::max(most, starts[e + 1] - starts[e]);

  Scratch& scratch = stream.scratch();
  float* in = reinterpret_cast<float*>(scratch.shared(ScratchUse::experts_input, most * hidden * 4));
  float* gated = reinterpret_cast<float*>(scratch.shared(ScratchUse::experts_gate, most * inner * 4));
  float* raised = reinterpret_cast<float*>(scratch.shared(ScratchUse::experts_up, most * inner * 4));
  float* results = reinterpret_cast<float*>(scratch.shared(ScratchUse::experts_output, rows * hidden * 4));  // sorted
  const auto row_bytes_of = static_cast<std::size_t>(hidden) * 4;
  for (std::int64_t e = 0; e < count; ++e) {
    const std::int64_t first = starts[static_cast<std::size_t>(e)], n = starts[static_cast<std::size_t>(e) + 1] - first;
    if (n == 0) continue;
    for (std::int64_t i = 0; i < n; ++i)
      std::memcpy(in + i * hidden, floats(x) + order[static_cast<std::size_t>(first + i)] / chosen * hidden,
                  row_bytes_of);
    product(stream, kind, in, n, matrix_of(gate, e), gated);
    product(stream, kind, in, n, matrix_of(up, e), raised);
    const Tensor activated = f32_view(gated, {n, inner});
    silu_multiply(stream, activated, f32_view(raised, {n, inner}), activated);
    product(stream, kind, gated, n, matrix_of(down, e), results + first * hidden);
  }

  std::vector<std::int64_t> place(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows; ++i) place[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])] = i;
  stream.pool().parallel_for(tokens, 4, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t t = first; t < last; ++t) {
      float* to = floats(out) + t * hidden;
      std::memset(to, 0, row_bytes_of);
      for (std::int64_t i = t * chosen; i < (t + 1) * chosen; ++i)
        stream.loops().add_scaled(results + place[static_cast<std::size_t>(i)] * hidden, floats(weights)[i], hidden,
                                  to);
    }
  });
}

}  // namespace lectern::kernels::cpu

// Inputs of attention and its result in double.
#pragma once

#include "kv_pages.h"

namespace lectern::kernels::cuda::test {

struct AttentionCase {
  std::int64_t query_heads, kv_heads, dim, tokens;
  KvKind kind;
  KvLayout layout() const { return {kv_heads, dim, kind}; }
  float scale() const { return 1 / std::sqrt(static_cast<float>(dim)); }
  std::int64_t row() const { return query_heads * dim; }
  std::int64_t table_pages() const { return (tokens + kv_page_tokens - 1) / kv_page_tokens; }
};

/// Queries, keys and values as the kernel multiplies them: what is rounded on the way is rounded here.
struct AttentionInputs {
  AttentionCase c;
  std::vector<float> q, k, v, gate;

  explicit AttentionInputs(const AttentionCase& of)
      : c(of),
        q(rounded_to_bf16(Random(1).normals(c.tokens * c.row(), 2))),
        k(stored(Random(2).normals(c.tokens * c.kv_heads * c.dim), c.dim, c.kind)),
        v(stored(Random(3).normals(c.tokens * c.kv_heads * c.dim), c.dim, c.kind)),
        gate(Random(4).normals(c.tokens * c.row())) {}

  /// Writes keys and values of tokens [first, first + count) to their slots.
  void write(Queue& queue, const PagesOnDevice& pages, std::int64_t first, std::int64_t count) const {
    const std::int64_t from = first * c.kv_heads * c.dim, size = count * c.kv_heads * c.dim;
    const auto part = [&](const std::vector<float>& x) {
      return OnDevice<float>(queue, std::vector<float>(x.begin() + from, x.begin() + from + size));
    };
    const OnDevice<float> dk = part(k), dv = part(v);
    const OnDevice<std::int32_t> slot(queue, {static_cast<std::int32_t>(first)});
    kv_write(queue, dk.tensor({count, c.kv_heads, c.dim}), dv.tensor({count, c.kv_heads, c.dim}), slot.tensor({1}),
             pages.pages());
    queue.synchronize();
  }
};

/// Query head `head` of token t over the slots [0, slots) for which `present` holds: the result, and the sum of the
/// weights times the magnitudes of the values, to which errors are relative.
struct ReferenceRow {
  std::vector<double> values, sizes;
};
template <class Present>
ReferenceRow attention_reference(const AttentionInputs& in, std::int64_t t, std::int64_t head, std::int64_t slots,
                                 Present present) {
  const AttentionCase& c = in.c;
  const std::int64_t kv_head = head / (c.query_heads / c.kv_heads);
  const auto element = [&](const std::vector<float>& x, std::int64_t slot, std::int64_t d) {
    return wide(x[at((slot * c.kv_heads + kv_head) * c.dim + d)]);
  };
  std::vector<double> weights;
  double largest = -INFINITY, total = 0;
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    double score = present(slot) ? 0 : -INFINITY;
    for (std::int64_t d = 0; d < c.dim; ++d)
      score += wide(in.q[at((t * c.query_heads + head) * c.dim + d)]) * element(in.k, slot, d);
    weights.push_back(wide(c.scale()) * score);
    largest = std::max(largest, weights.back());
  }
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  ReferenceRow row{std::vector<double>(at(c.dim), 0.0), std::vector<double>(at(c.dim), 0.0)};
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    for (std::int64_t d = 0; d < c.dim; ++d) {
      const double value = weights[at(slot)] / total * element(in.v, slot, d);
      row.values[at(d)] += value;
      row.sizes[at(d)] += std::abs(value);
    }
  }
  return row;
}
inline bool every_slot(std::int64_t) {
  return true;
}

/// Weights of the softmax are rounded to bf16 before they are multiplied (bf16_tolerance), and on
/// top of that sums in f32, with the tensor cores' truncation, of scores of up to about 20.
inline constexpr double attention_tolerance = bf16_tolerance + 1e-4;

/// `actual` [.., dim] from `first` on against a row; `factor` multiplies it (a gate).
inline void expect_attention_row(const std::vector<float>& actual, std::int64_t first, const ReferenceRow& row,
                                 double extra_tolerance = 0) {
  for (std::size_t d = 0; d < row.values.size(); ++d) {
    const double difference = std::abs(wide(actual[at(first) + d]) - row.values[d]);
    if (difference <= (attention_tolerance + extra_tolerance) * row.sizes[d]) continue;
    ADD_FAILURE() << "dimension " << d << ": " << actual[at(first) + d] << " for " << row.values[d];
    return;
  }
}

inline double gate_of(float x) {
  return 1 / (1 + std::exp(-wide(x)));
}

}  // namespace lectern::kernels::cuda::test

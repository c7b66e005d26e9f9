// The gated delta rule and the causal convolution of one instruction path.
//
// A column of the state of the delta rule (one value dimension) never meets another: each vector of columns runs
// through all tokens alone. One token reads the columns twice and writes them once: Sᵀk of the decayed state is exp(g)
// times that of the old one, and decay, update and Sᵀq share the second pass. For several tokens the columns are copied
// together first: where they stand, rows of 512 bytes apart, they would share an eighth of the L1 cache's sets.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/simd.h"

namespace lectern::kernels::cpu {
namespace {

constexpr int64_t longest_local_key = 256;  // dimensions of keys whose columns are copied
constexpr int64_t fewest_local_tokens = 4;

/// body<0>(0), body<1>(1), body<0>(2) ...
template <class Body>
inline void for_pairs(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + 2 <= count; i += 2) {
    body.template operator()<0>(i);
    body.template operator()<1>(i + 1);
  }
  if (i < count) body.template operator()<0>(i);
}

template <int vectors>
void delta_rule_vectors(const DeltaRuleArguments& a, int64_t head, int64_t column, int64_t count) {
  const int64_t key_dim = a.key_dim, value_dim = a.value_dim;
  const int64_t key_head = a.tiled_heads ? head % a.key_heads : head / (a.value_heads / a.key_heads);
  const int64_t state_offset = head * key_dim * value_dim + column;
  alignas(64) float local[longest_local_key * vectors * lanes];
  const bool is_local = a.tokens >= fewest_local_tokens && key_dim <= longest_local_key && count == lanes;
  float* state = is_local ? local : a.state + state_offset;
  const int64_t stride = is_local ? vectors * lanes : value_dim;
  const auto copy_state = [&](const float* from, int64_t from_stride, float* to, int64_t to_stride) {
    for (int64_t row = 0; row < key_dim; ++row)
      for (int i = 0; i < vectors; ++i)
        store_upto(to + row * to_stride + i * lanes, load_upto(from + row * from_stride + i * lanes, count), count);
  };
  if (is_local) copy_state(a.state + state_offset, value_dim, local, stride);
  int64_t snapshot = 0;
  for (int64_t t = 0; t < a.tokens; ++t) {
    const float* k = a.k + (t * a.key_heads + key_head) * key_dim;
    const float* q = a.q + (t * a.key_heads + key_head) * key_dim;
    const float* v = a.v + (t * a.value_heads + head) * value_dim + column;
    float* out = a.out + (t * a.value_heads + head) * value_dim + column;
    const F32 decay = exp(set1(a.g[t * a.value_heads + head]));
    const F32 beta = set1(a.beta[t * a.value_heads + head]);

    // Two sums in turn: one would be a chain of additions that wait for each other.
    F32 recalled[vectors][2];
    for (int i = 0; i < vectors; ++i) recalled[i][0] = recalled[i][1] = zero();
    for_pairs(key_dim, [&]<int turn>(int64_t row) {
      const F32 key = set1(k[row]);
      for (int i = 0; i < vectors; ++i)
        recalled[i][turn] = fma(key, load_upto(state + row * stride + i * lanes, count), recalled[i][turn]);
    });
    F32 update[vectors], result[vectors][2];
    for (int i = 0; i < vectors; ++i) {
      update[i] = beta * (load_upto(v + i * lanes, count) - decay * (recalled[i][0] + recalled[i][1]));
      result[i][0] = result[i][1] = zero();
    }
    for_pairs(key_dim, [&]<int turn>(int64_t row) {
      const F32 key = set1(k[row]), query = set1(q[row]);
      for (int i = 0; i < vectors; ++i) {
        float* place = state + row * stride + i * lanes;
        const F32 s = fma(key, update[i], decay * load_upto(place, count));
        store_upto(place, s, count);
        result[i][turn] = fma(query, s, result[i][turn]);
      }
    });
    for (int i = 0; i < vectors; ++i) store_upto(out + i * lanes, result[i][0] + result[i][1], count);

    for (; snapshot < a.snapshot_count && a.snapshot_offsets[snapshot] == t + 1; ++snapshot)
      copy_state(state, stride, a.snapshots[snapshot] + state_offset, value_dim);
  }
  if (is_local) copy_state(local, stride, a.state + state_offset, value_dim);
}

void delta_rule_columns(const DeltaRuleArguments& a, int64_t head, int64_t first, int64_t last) {
  int64_t column = first;
  for (; column + 2 * lanes <= last; column += 2 * lanes) delta_rule_vectors<2>(a, head, column, lanes);
  for (; column < last; column += lanes) delta_rule_vectors<1>(a, head, column, smaller(lanes, last - column));
}

constexpr int64_t max_convolution_width = 16;

void convolve_channels(const ConvolutionArguments& a, int64_t first, int64_t last) {
  const int64_t history_rows = a.width - 1;
  for_each_vector(last - first, [&](int64_t offset, int64_t count) {
    const int64_t channel = first + offset;
    F32 weights[max_convolution_width], history[max_convolution_width];
    float column[lanes] = {};
    for (int64_t j = 0; j < a.width; ++j) {
      for (int64_t i = 0; i < count; ++i) column[i] = a.w[(channel + i) * a.width + j];
      weights[j] = load(column);
    }
    for (int64_t j = 0; j < history_rows; ++j) history[j] = load_upto(a.state + j * a.channels + channel, count);
    const auto write_state = [&](float* state) {
      for (int64_t j = 0; j < history_rows; ++j) store_upto(state + j * a.channels + channel, history[j], count);
    };
    int64_t snapshot = 0;
    for (int64_t t = 0; t < a.tokens; ++t) {
      const F32 now = load_upto(a.x + t * a.channels + channel, count);
      F32 sums = zero();
      for (int64_t j = 0; j < history_rows; ++j) sums = fma(weights[j], history[j], sums);
      sums = fma(weights[history_rows], now, sums);
      store_upto(a.out + t * a.channels + channel, silu(sums), count);
      for (int64_t j = 0; j + 1 < history_rows; ++j) history[j] = history[j + 1];
      if (history_rows > 0) history[history_rows - 1] = now;
      for (; snapshot < a.snapshot_count && a.snapshot_offsets[snapshot] == t + 1; ++snapshot)
        write_state(a.snapshots[snapshot]);
    }
    write_state(a.state);
  });
}

}  // namespace
}  // namespace lectern::kernels::cpu

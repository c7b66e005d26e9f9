// A tile of 64 keys and values in f32, for AttentionRows (attention_loops.h).
#pragma once

#include "kernels/cpu/paths/attention_kv.h"

namespace lectern::kernels::cpu {
namespace {

constexpr int score_vectors = lanes == 16 ? 4 : 2;  // of slots or dimensions, in registers together

template <class Element>
void transpose_keys(const Element* keys, int64_t slots, int64_t dim, float* out) {  // [slots, dim] -> [dim, 64]
  for (int64_t j = 0; j < slots; ++j)
    for (int64_t d = 0; d < dim; ++d) out[d * attention_tile + j] = to_float(keys[j * dim + d]);
  for (int64_t j = slots; j < attention_tile; ++j)
    for (int64_t d = 0; d < dim; ++d) out[d * attention_tile + j] = 0.0f;
}

template <class Element>
void copy_values(const Element* values, int64_t slots, int64_t dim, int64_t padded_dim, float* out) {
  for (int64_t j = 0; j < slots; ++j)
    for (int64_t d = 0; d < dim; d += lanes)
      store(out + j * padded_dim + d, load_kv(values + j * dim + d, smaller(lanes, dim - d)));
}

/// scores[r, 64] = q[r] . keys; q [rows, dim], keys [dim, 64]. Summed over runs of 32 dimensions, then over the runs:
/// one chain of 256 additions was four times as far from the reference.
template <int rows>
void score_tile(const float* q, int64_t dim, const float* keys, float* scores) {
  for (int64_t j = 0; j < attention_tile; j += score_vectors * lanes) {
    for (int64_t first = 0; first < dim; first += 32) {
      const int64_t last = smaller(dim, first + 32);
      F32 sums[rows][score_vectors];
      for (int r = 0; r < rows; ++r)
        for (int v = 0; v < score_vectors; ++v) sums[r][v] = zero();
      for (int64_t d = first; d < last; ++d) {
        F32 key[score_vectors];
        for (int v = 0; v < score_vectors; ++v) key[v] = load(keys + d * attention_tile + j + v * lanes);
        for (int r = 0; r < rows; ++r) {
          const F32 query = set1(q[r * dim + d]);
          for (int v = 0; v < score_vectors; ++v) sums[r][v] = fma(key[v], query, sums[r][v]);
        }
      }
      for (int r = 0; r < rows; ++r) {
        for (int v = 0; v < score_vectors; ++v) {
          float* place = scores + r * attention_tile + j + v * lanes;
          store(place, first == 0 ? sums[r][v] : load(place) + sums[r][v]);
        }
      }
    }
  }
}

/// out[r] = out[r] * factors[r] + weights[r, 0..count) . values for `vectors` vectors of dimensions.
template <int rows, int vectors>
void accumulate_values(const float* weights, const float* factors, int64_t count, const float* values,
                       int64_t value_stride, float* out, int64_t out_stride) {
  F32 sums[rows][vectors];
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) sums[r][v] = load(out + r * out_stride + v * lanes) * set1(factors[r]);
  for (int64_t j = 0; j < count; ++j) {
    F32 value[vectors];
    for (int v = 0; v < vectors; ++v) value[v] = load(values + j * value_stride + v * lanes);
    for (int r = 0; r < rows; ++r) {
      const F32 weight = set1(weights[r * attention_tile + j]);
      for (int v = 0; v < vectors; ++v) sums[r][v] = fma(value[v], weight, sums[r][v]);
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) store(out + r * out_stride + v * lanes, sums[r][v]);
}

template <int rows>
void accumulate_rows(const float* weights, const float* factors, int64_t count, const float* values, int64_t padded_dim,
                     float* out) {
  int64_t d = 0;
  for (; d + score_vectors * lanes <= padded_dim; d += score_vectors * lanes)
    accumulate_values<rows, score_vectors>(weights, factors, count, values + d, padded_dim, out + d, padded_dim);
  for (; d < padded_dim; d += lanes)
    accumulate_values<rows, 1>(weights, factors, count, values + d, padded_dim, out + d, padded_dim);
}

/// Keys transposed, so that lanes are slots; values as they are, so that lanes are dimensions.
class AttentionTileF32 {
 public:
  /// Takes its memory from take(floats).
  template <class Take>
  AttentionTileF32(int64_t dim, int64_t rows, Take take)
      : dim_(dim),
        padded_(padded_to_lanes(dim)),
        keys_(take(attention_tile * padded_)),
        values_(take(attention_tile * padded_)),
        q_(take(rows * dim)) {}
  static int64_t scratch_floats(int64_t dim, int64_t rows) {
    return 2 * attention_tile * padded_to_lanes(dim) + rows * dim;
  }

  void set_query(int64_t row, const float* q, float scale) {
    for (int64_t d = 0; d < dim_; ++d) q_[row * dim_ + d] = q[d] * scale;
  }
  void load(const KvView& kv, int64_t kv_head, int64_t slot, int64_t slots) {
    const auto copy = [&]<class Element>() {
      transpose_keys(reinterpret_cast<const Element*>(kv_row(kv, 0, kv_head, slot)), slots, dim_, keys_);
      copy_values(reinterpret_cast<const Element*>(kv_row(kv, 1, kv_head, slot)), slots, dim_, padded_, values_);
    };
    if (kv.is_bf16)
      copy.template operator()<uint16_t>();
    else
      copy.template operator()<float>();
  }
  /// scores [rows, 64] of rows [row, row + rows).
  template <int rows>
  void score(int64_t row, float* scores) const {
    score_tile<rows>(q_ + row * dim_, dim_, keys_, scores);
  }
  void set_weights(int64_t, const float*) {}
  /// out [rows, padded] = out * factors + weights [rows, 64] . values; row r of these sees visible(row + r) slots.
  template <int rows, class Visible>
  void accumulate(int64_t row, Visible visible, const float* weights, const float* factors, float* out) const {
    if (visible(row) == visible(row + rows - 1))
      return accumulate_rows<rows>(weights, factors, visible(row), values_, padded_, out);
    for (int64_t r = 0; r < rows; ++r)
      accumulate_rows<1>(weights + r * attention_tile, factors + r, visible(row + r), values_, padded_,
                         out + r * padded_);
  }

 private:
  int64_t dim_, padded_;
  float *keys_, *values_, *q_;
};

}  // namespace
}  // namespace lectern::kernels::cpu

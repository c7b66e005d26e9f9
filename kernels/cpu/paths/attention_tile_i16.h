// A tile of 64 keys and values as integers, for AttentionRows (attention_loops.h).
//
// Keys and values of bf16 are multiplied as integers of 11 bits and a sign, scaled by the largest of their slot: the
// CPU multiplies twice as many of them as of f32 values. A value near the largest of its slot keeps 11 bits against the
// 8 of its bf16; one below an eighth of it keeps fewer. Queries keep 12 bits, softmax weights 14 of the largest of a
// tile. Sums fit 32 bits: 256 * 4095 * 2047 and 64 * 16383 * 2047 are below 2^31.
#pragma once

#include "kernels/cpu/paths/attention_kv.h"
#include "kernels/cpu/paths/byte_sums.h"

namespace lectern::kernels::cpu {
namespace {

constexpr int64_t most_i16_dim = 256;  // of sums that fit
constexpr float query_limit = 4095.0f, kv_limit = 2047.0f, weight_limit = 16383.0f;

inline bool takes_i16(const KvView& kv) {
  return kv.is_bf16 && kv.head_dim % 32 == 0 && kv.head_dim <= most_i16_dim;
}

/// Of n values, a multiple of `lanes`: the factor that brings the largest to `limit`, and its inverse. Not finite if
/// one of them is not, so that it shows in what comes of them.
template <class Load>
inline void scale_of(int64_t n, float limit, Load value, float& factor, float& scale) {
  F32 largest = zero(), size = zero();
  for (int64_t i = 0; i < n; i += lanes) {
    const F32 x = absolute(value(i));
    largest = max(largest, x);
    size = size + x;
  }
  const float most = maximum(largest);
  factor = most > 1e-30f ? limit / most : 0.0f;
  scale = most / limit + sum(size) * 0.0f;
}

/// A row of n values as integers.
template <class Load>
inline void round_to_i16(int64_t n, float factor, Load value, int16_t* out) {
  for (int64_t i = 0; i < n; i += 32) {
    I32 rounded[32 / lanes];
    for (int v = 0; v < 32 / lanes; ++v) rounded[v] = round_to_i32(value(i + v * lanes) * set1(factor));
    store_as_i16(out + i, rounded);
  }
}

/// Keys and values of 64 slots.
struct KvTileI16 {
  int16_t *keys, *values;            // [dim / 2, 64, 2] and [32, dim, 2]: pairs of dimensions, pairs of slots
  float *key_scales, *value_scales;  // [64]
};

/// Slots past the end are zeros.
void load_i16_tile(const uint16_t* keys, const uint16_t* values, int64_t slots, int64_t dim, const KvTileI16& tile) {
  for (int64_t first = 0; first < attention_tile; first += lanes) {
    alignas(64) int16_t rows[lanes][most_i16_dim];
    for (int64_t j = first; j < first + lanes; ++j) {
      if (j < slots) {
        const auto value = [&](int64_t d) { return load_bf16(keys + j * dim + d); };
        float factor;
        scale_of(dim, kv_limit, value, factor, tile.key_scales[j]);
        round_to_i16(dim, factor, value, rows[j - first]);
      } else {
        tile.key_scales[j] = 0.0f;
        __builtin_memset(rows[j - first], 0, static_cast<size_t>(dim) * 2);
      }
    }
    for (int64_t d = 0; d < dim; d += 16) {
      U8x32 pieces[lanes];
      I32 pairs[8];
      for (int i = 0; i < lanes; ++i) pieces[i] = load_bytes(rows[i] + d);
      transpose_eight(pieces, pairs);
      for (int i = 0; i < 8; ++i) istore(tile.keys + ((d / 2 + i) * attention_tile + first) * 2, pairs[i]);
    }
  }
  for (int64_t j = 0; j < attention_tile; j += 2) {
    float factors[2] = {0.0f, 0.0f};
    for (int64_t i = 0; i < 2; ++i) {
      tile.value_scales[j + i] = 0.0f;
      if (j + i < slots)
        scale_of(
            dim, kv_limit, [&](int64_t d) { return load_bf16(values + (j + i) * dim + d); }, factors[i],
            tile.value_scales[j + i]);
    }
    for (int64_t d = 0; d < dim; d += lanes) {
      const I32 even = j < slots ? round_to_i32(load_bf16(values + j * dim + d) * set1(factors[0])) : izero();
      const I32 odd = j + 1 < slots ? round_to_i32(load_bf16(values + (j + 1) * dim + d) * set1(factors[1])) : izero();
      istore(tile.values + (j / 2 * dim + d) * 2,
             bits_of_either(bits_of(even, iset1(0xffff)), shift_i32_left<16>(odd)));
    }
  }
}

/// scores[r, 64] = q[r] . keys.
template <int rows>
void score_i16_tile(const int16_t* q, const float* q_scales, int64_t dim, const KvTileI16& tile, float* scores) {
  for (int64_t j = 0; j < attention_tile; j += score_vectors * lanes) {
    I32 sums[rows][score_vectors];
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < score_vectors; ++v) sums[r][v] = izero();
    for (int64_t pair = 0; pair < dim / 2; ++pair) {
      I32 keys[score_vectors];
      for (int v = 0; v < score_vectors; ++v) keys[v] = iload(tile.keys + (pair * attention_tile + j + v * lanes) * 2);
      for (int r = 0; r < rows; ++r) {
        const I32 query = broadcast_four(reinterpret_cast<const int8_t*>(q + r * dim + 2 * pair));
        for (int v = 0; v < score_vectors; ++v) sums[r][v] = iadd_in_order(sums[r][v], multiply_i16(keys[v], query));
      }
    }
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < score_vectors; ++v)
        store(scores + r * attention_tile + j + v * lanes,
              to_f32(sums[r][v]) * (load(tile.key_scales + j + v * lanes) * set1(q_scales[r])));
  }
}

/// A row's softmax weights, times the scales of the values, as integers; returns their scale.
float round_weights(const float* weights, const float* value_scales, int16_t* out) {
  const auto value = [&](int64_t j) { return load(weights + j) * load(value_scales + j); };
  float factor, scale;
  scale_of(attention_tile, weight_limit, value, factor, scale);
  round_to_i16(attention_tile, factor, value, out);
  return scale;
}

/// out[r] = out[r] * factors[r] + scales[r] * weights[r, 0..2 * pairs) . values for `vectors` vectors of dimensions.
template <int rows, int vectors>
void accumulate_i16(const int16_t* weights, const float* scales, const float* factors, int64_t pairs,
                    const int16_t* values, int64_t dim, float* out) {
  I32 sums[rows][vectors];
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) sums[r][v] = izero();
  for (int64_t pair = 0; pair < pairs; ++pair) {
    I32 value[vectors];
    for (int v = 0; v < vectors; ++v) value[v] = iload(values + (pair * dim + v * lanes) * 2);
    for (int r = 0; r < rows; ++r) {
      const I32 weight = broadcast_four(reinterpret_cast<const int8_t*>(weights + r * attention_tile + 2 * pair));
      for (int v = 0; v < vectors; ++v) sums[r][v] = iadd_in_order(sums[r][v], multiply_i16(value[v], weight));
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) {
      float* place = out + r * dim + v * lanes;
      store(place, fma(to_f32(sums[r][v]), set1(scales[r]), load(place) * set1(factors[r])));
    }
}

template <int rows>
void accumulate_i16_rows(const int16_t* weights, const float* scales, const float* factors, int64_t pairs,
                         const KvTileI16& tile, int64_t dim, float* out) {
  constexpr int vectors = lanes == 4 ? 1 : 2;
  for (int64_t d = 0; d < dim; d += vectors * lanes)
    accumulate_i16<rows, vectors>(weights, scales, factors, pairs, tile.values + d * 2, dim, out + d);
}

/// The same interface as AttentionTileF32.
class AttentionTileI16 {
 public:
  template <class Take>
  AttentionTileI16(int64_t dim, int64_t rows, Take take) : dim_(dim) {
    const auto take_i16 = [&](int64_t count) { return reinterpret_cast<int16_t*>(take(count / 2)); };
    tile_.keys = take_i16(attention_tile * dim);
    tile_.values = take_i16(attention_tile * dim);
    tile_.key_scales = take(attention_tile);
    tile_.value_scales = take(attention_tile);
    q_ = take_i16(rows * dim);
    weights_ = take_i16(rows * attention_tile);
    q_scales_ = take(rows);
    weight_scales_ = take(rows);
  }
  static int64_t scratch_floats(int64_t dim, int64_t rows) {
    return attention_tile * (dim + 2) + rows * (dim / 2 + attention_tile / 2 + 2);
  }

  void set_query(int64_t row, const float* q, float scale) {
    const auto value = [&](int64_t d) { return cpu::load(q + d); };
    float factor;
    scale_of(dim_, query_limit, value, factor, q_scales_[row]);
    round_to_i16(dim_, factor, value, q_ + row * dim_);
    q_scales_[row] *= scale;
  }
  void load(const KvView& kv, int64_t kv_head, int64_t slot, int64_t slots) {
    load_i16_tile(reinterpret_cast<const uint16_t*>(kv_row(kv, 0, kv_head, slot)),
                  reinterpret_cast<const uint16_t*>(kv_row(kv, 1, kv_head, slot)), slots, dim_, tile_);
  }
  template <int rows>
  void score(int64_t row, float* scores) const {
    score_i16_tile<rows>(q_ + row * dim_, q_scales_ + row, dim_, tile_, scores);
  }
  void set_weights(int64_t row, const float* weights) {
    weight_scales_[row] = round_weights(weights, tile_.value_scales, weights_ + row * attention_tile);
  }
  /// Later rows see more slots; what a row does not see weighs zero.
  template <int rows, class Visible>
  void accumulate(int64_t row, Visible visible, const float*, const float* factors, float* out) const {
    accumulate_i16_rows<rows>(weights_ + row * attention_tile, weight_scales_ + row, factors,
                              (visible(row + rows - 1) + 1) / 2, tile_, dim_, out);
  }

 private:
  int64_t dim_;
  KvTileI16 tile_;
  int16_t *q_, *weights_;  // [rows, dim], [rows, 64]
  float *q_scales_, *weight_scales_;
};

}  // namespace
}  // namespace lectern::kernels::cpu

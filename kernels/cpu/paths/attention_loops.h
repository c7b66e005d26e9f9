// Attention of one instruction path: softmax(scale * q k) v with a running maximum, so that no score matrix is kept.
//
// Prefill: rows (tokens x query heads of one KV head) meet tiles of 64 slots from slot 0 on. Keys of a tile are laid
// out transposed, so lanes are slots; values as they are, so lanes are dimensions: two small matrix products with the
// softmax between. Each score, each weight and each output element is computed by its own chain of operations whatever
// the rows beside it, and slots past a row's own position take no part, so a row's bits do not depend on the others.
// Keys and values of 16 bits are multiplied as words of 11 bits and a sign, scaled by the largest of their slot: the
// CPU multiplies twice as many words as f32 values. A value near the largest of its slot keeps 11 bits against the 8 of
// its bf16; one below an eighth of it keeps fewer. Queries keep 12 bits, softmax weights 14 of the largest of a tile.
// Sums fit 32 bits: 256 * 4095 * 2047 and 64 * 16383 * 2047 are below 2^31. Decode: a strip of 256 slots is a fixed
// piece with its own maximum; keys and values come from memory once for all query heads of the group, four of which
// meet each vector of them.
#pragma once

#include "kernels/cpu/paths/byte_sums.h"
#include "kernels/cpu/paths/row_loops.h"
#include "kernels/kv_page.h"

namespace lectern::kernels::cpu {
namespace {

inline int64_t padded_to_lanes(int64_t n) {
  return (n + lanes - 1) / lanes * lanes;
}

/// Slot `slot` of the keys (part 0) or values (part 1) of a page.
inline const std::byte* kv_row(const KvView& kv, int64_t part, int64_t head, int64_t slot) {
  const int64_t element_bytes = kv.is_bf16 ? 2 : 4;
  const int64_t row = (part * kv.heads + head) * kv_page_tokens + slot % kv_page_tokens;
  return kv.strips[slot / kv_page_tokens] + row * kv.head_dim * element_bytes;
}

inline F32 load_kv(const float* p, int64_t n) {
  return load_upto(p, n);
}
inline F32 load_kv(const uint16_t* p, int64_t n) {
  if (n == lanes) return load_bf16(p);
  uint16_t some[lanes] = {};
  for (int64_t i = 0; i < n; ++i) some[i] = p[i];
  return load_bf16(some);
}
inline float to_float(float x) {
  return x;
}
inline float to_float(uint16_t x) {
  return bf16_to_f32(x);
}

// ---- prefill ----

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

constexpr int score_vectors = lanes == 16 ? 4 : 2;

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

/// Turns the first `count` scores of a row into weights relative to the running maximum; returns the factor for what
/// was summed so far.
float softmax_tile(float* scores, int64_t count, float& largest, float& total) {
  for (int64_t j = count; j < attention_tile; ++j) scores[j] = -__builtin_inff();
  F32 tile_largest = load(scores);
  for (int64_t j = lanes; j < attention_tile; j += lanes) tile_largest = max(tile_largest, load(scores + j));
  const float before = largest;
  const float now = maximum(tile_largest);
  largest = now > before ? now : before;
  float factor;
  store_first(&factor, exp(set1(before - largest)), 1);
  F32 sums = zero();
  for (int64_t j = 0; j < attention_tile; j += lanes) {
    const F32 weight = exp(load(scores + j) - set1(largest));
    store(scores + j, weight);
    sums = sums + weight;
  }
  total = total * factor + sum(sums);
  return factor;
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

// ---- prefill in words ----

constexpr int64_t most_word_dim = 256;  // of sums that fit
constexpr float query_limit = 4095.0f, kv_limit = 2047.0f, weight_limit = 16383.0f;

inline bool takes_words(const KvView& kv) {
  return kv.is_bf16 && kv.head_dim % 32 == 0 && kv.head_dim <= most_word_dim;
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

/// A row of n values as words.
template <class Load>
inline void round_to_words(int64_t n, float factor, Load value, int16_t* out) {
  for (int64_t i = 0; i < n; i += 32) {
    I32 rounded[32 / lanes];
    for (int v = 0; v < 32 / lanes; ++v) rounded[v] = round_to_i32(value(i + v * lanes) * set1(factor));
    store_as_i16(out + i, rounded);
  }
}

/// What a run of rows and a tile of slots need in words.
struct WordTile {
  int16_t *keys, *values;            // [dim / 2, 64, 2] and [32, dim, 2]: pairs of dimensions, pairs of slots
  float *key_scales, *value_scales;  // [64]
};

/// Slots past the end are zeros.
void load_word_tile(const uint16_t* keys, const uint16_t* values, int64_t slots, int64_t dim, const WordTile& tile) {
  for (int64_t first = 0; first < attention_tile; first += lanes) {
    alignas(64) int16_t rows[lanes][most_word_dim];
    for (int64_t j = first; j < first + lanes; ++j) {
      if (j < slots) {
        const auto value = [&](int64_t d) { return load_bf16(keys + j * dim + d); };
        float factor;
        scale_of(dim, kv_limit, value, factor, tile.key_scales[j]);
        round_to_words(dim, factor, value, rows[j - first]);
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
             bits_of_either(bits_of(even, iset1(0xffff)), shift_words_left<16>(odd)));
    }
  }
}

/// scores[r, 64] = q[r] . keys.
template <int rows>
void score_word_tile(const int16_t* q, const float* q_scales, int64_t dim, const WordTile& tile, float* scores) {
  for (int64_t j = 0; j < attention_tile; j += score_vectors * lanes) {
    I32 sums[rows][score_vectors];
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < score_vectors; ++v) sums[r][v] = izero();
    for (int64_t pair = 0; pair < dim / 2; ++pair) {
      I32 keys[score_vectors];
      for (int v = 0; v < score_vectors; ++v) keys[v] = iload(tile.keys + (pair * attention_tile + j + v * lanes) * 2);
      for (int r = 0; r < rows; ++r) {
        const I32 query = broadcast_four(reinterpret_cast<const int8_t*>(q + r * dim + 2 * pair));
        for (int v = 0; v < score_vectors; ++v) sums[r][v] = iadd_in_order(sums[r][v], multiply_words(keys[v], query));
      }
    }
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < score_vectors; ++v)
        store(scores + r * attention_tile + j + v * lanes,
              to_f32(sums[r][v]) * (load(tile.key_scales + j + v * lanes) * set1(q_scales[r])));
  }
}

/// A row's softmax weights, times the scales of the values, as words; returns their scale.
float round_weights(const float* weights, const float* value_scales, int16_t* out) {
  const auto value = [&](int64_t j) { return load(weights + j) * load(value_scales + j); };
  float factor, scale;
  scale_of(attention_tile, weight_limit, value, factor, scale);
  round_to_words(attention_tile, factor, value, out);
  return scale;
}

/// out[r] = out[r] * factors[r] + scales[r] * weights[r, 0..2 * pairs) . values for `vectors` vectors of dimensions.
template <int rows, int vectors>
void accumulate_words(const int16_t* weights, const float* scales, const float* factors, int64_t pairs,
                      const int16_t* values, int64_t dim, float* out) {
  I32 sums[rows][vectors];
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) sums[r][v] = izero();
  for (int64_t pair = 0; pair < pairs; ++pair) {
    I32 value[vectors];
    for (int v = 0; v < vectors; ++v) value[v] = iload(values + (pair * dim + v * lanes) * 2);
    for (int r = 0; r < rows; ++r) {
      const I32 weight = broadcast_four(reinterpret_cast<const int8_t*>(weights + r * attention_tile + 2 * pair));
      for (int v = 0; v < vectors; ++v) sums[r][v] = iadd_in_order(sums[r][v], multiply_words(value[v], weight));
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) {
      float* place = out + r * dim + v * lanes;
      store(place, fma(to_f32(sums[r][v]), set1(scales[r]), load(place) * set1(factors[r])));
    }
}

template <int rows>
void accumulate_word_rows(const int16_t* weights, const float* scales, const float* factors, int64_t pairs,
                          const WordTile& tile, int64_t dim, float* out) {
  constexpr int vectors = lanes == 4 ? 1 : 2;
  for (int64_t d = 0; d < dim; d += vectors * lanes)
    accumulate_words<rows, vectors>(weights, scales, factors, pairs, tile.values + d * 2, dim, out + d);
}

constexpr int64_t attention_row_tile = 4;

/// Floats of scratch for the tile and for each row.
constexpr int64_t word_tile_floats(int64_t dim) {
  return attention_tile * dim + 2 * attention_tile;
}
constexpr int64_t word_row_floats(int64_t dim) {
  return dim / 2 + dim + attention_tile + attention_tile / 2 + 5;  // q, sums, weights, both forms; five numbers
}

void attention_word_rows(const AttentionArguments& a, int64_t kv_head, int64_t first, int64_t last, float* scratch) {
  const int64_t dim = a.kv.head_dim, group = a.query_heads / a.kv.heads, rows = (last - first) * group;
  const auto take = [&](int64_t floats) {
    float* part = scratch;
    scratch += floats;
    return part;
  };
  WordTile tile;
  tile.keys = reinterpret_cast<int16_t*>(take(attention_tile * dim / 2));
  tile.values = reinterpret_cast<int16_t*>(take(attention_tile * dim / 2));
  tile.key_scales = take(attention_tile);
  tile.value_scales = take(attention_tile);
  float* sums = take(rows * dim);
  float* weights = take(rows * attention_tile);
  int16_t* q = reinterpret_cast<int16_t*>(take(rows * dim / 2));
  int16_t* weight_words = reinterpret_cast<int16_t*>(take(rows * attention_tile / 2));
  float *q_scales = take(rows), *weight_scales = take(rows), *factors = take(rows), *largest = take(rows),
        *totals = take(rows);

  for (int64_t row = 0; row < rows; ++row) {
    const float* from = a.q + ((first + row / group) * a.query_heads + kv_head * group + row % group) * dim;
    const auto value = [&](int64_t d) { return load(from + d); };
    float factor;
    scale_of(dim, query_limit, value, factor, q_scales[row]);
    round_to_words(dim, factor, value, q + row * dim);
    q_scales[row] *= a.scale;
    for (int64_t d = 0; d < dim; ++d) sums[row * dim + d] = 0.0f;
    largest[row] = -__builtin_inff();
    totals[row] = 0.0f;
  }

  const int64_t end = a.first_slot + last;  // slots that any row sees
  for (int64_t slot = 0; slot < end; slot += attention_tile) {
    load_word_tile(reinterpret_cast<const uint16_t*>(kv_row(a.kv, 0, kv_head, slot)),
                   reinterpret_cast<const uint16_t*>(kv_row(a.kv, 1, kv_head, slot)),
                   smaller(attention_tile, end - slot), dim, tile);
    // Slots of this tile that a row sees.
    const auto visible = [&](int64_t row) {
      return smaller(attention_tile, a.first_slot + first + row / group + 1 - slot);
    };
    int64_t row = 0;
    while (row < rows && visible(row) <= 0) ++row;
    while (row < rows) {
      const bool four = row + attention_row_tile <= rows;
      const int64_t n = four ? attention_row_tile : 1;
      float* scores = weights + row * attention_tile;
      if (four)
        score_word_tile<attention_row_tile>(q + row * dim, q_scales + row, dim, tile, scores);
      else
        score_word_tile<1>(q + row * dim, q_scales + row, dim, tile, scores);
      for (int64_t r = row; r < row + n; ++r) {
        factors[r] = softmax_tile(weights + r * attention_tile, visible(r), largest[r], totals[r]);
        weight_scales[r] =
            round_weights(weights + r * attention_tile, tile.value_scales, weight_words + r * attention_tile);
      }
      const int64_t pairs = (visible(row + n - 1) + 1) / 2;  // later rows see more; what a row does not see weighs zero
      const int16_t* words = weight_words + row * attention_tile;
      if (four)
        accumulate_word_rows<attention_row_tile>(words, weight_scales + row, factors + row, pairs, tile, dim,
                                                 sums + row * dim);
      else
        accumulate_word_rows<1>(words, weight_scales + row, factors + row, pairs, tile, dim, sums + row * dim);
      row += n;
    }
  }

  for (int64_t row = 0; row < rows; ++row) {
    float* to = a.out + ((first + row / group) * a.query_heads + kv_head * group + row % group) * dim;
    const F32 total = set1(totals[row]);
    for (int64_t d = 0; d < dim; d += lanes) store(to + d, load(sums + row * dim + d) / total);
  }
}

// ---- prefill ----

int64_t attention_rows_scratch(int64_t head_dim, int64_t rows) {
  const int64_t padded = padded_to_lanes(head_dim);
  // keys, values; q, weights, sums, factor, maximum, total of each row
  const int64_t plain = 2 * attention_tile * padded + rows * (head_dim + attention_tile + padded + 3);
  const int64_t words = word_tile_floats(padded) + rows * word_row_floats(padded);
  return plain > words ? plain : words;
}

void attention_rows(const AttentionArguments& a, int64_t kv_head, int64_t first, int64_t last, float* scratch) {
  if (takes_words(a.kv)) return attention_word_rows(a, kv_head, first, last, scratch);
  const int64_t dim = a.kv.head_dim, padded = padded_to_lanes(dim), group = a.query_heads / a.kv.heads;
  const int64_t rows = (last - first) * group;
  float* keys = scratch;
  float* values = keys + attention_tile * padded;
  float* sums = values + attention_tile * padded;
  float* weights = sums + rows * padded;
  float* q = weights + rows * attention_tile;
  float* factors = q + rows * dim;
  float* largest = factors + rows;
  float* totals = largest + rows;

  for (int64_t row = 0; row < rows; ++row) {
    const float* from = a.q + ((first + row / group) * a.query_heads + kv_head * group + row % group) * dim;
    for (int64_t d = 0; d < dim; ++d) q[row * dim + d] = from[d] * a.scale;
    for (int64_t d = 0; d < padded; ++d) sums[row * padded + d] = 0.0f;
    largest[row] = -__builtin_inff();
    totals[row] = 0.0f;
  }

  const int64_t end = a.first_slot + last;  // slots that any row sees
  for (int64_t slot = 0; slot < end; slot += attention_tile) {
    const int64_t slots = smaller(attention_tile, end - slot);
    const std::byte* key_rows = kv_row(a.kv, 0, kv_head, slot);
    const std::byte* value_rows = kv_row(a.kv, 1, kv_head, slot);
    if (a.kv.is_bf16) {
      transpose_keys(reinterpret_cast<const uint16_t*>(key_rows), slots, dim, keys);
      copy_values(reinterpret_cast<const uint16_t*>(value_rows), slots, dim, padded, values);
    } else {
      transpose_keys(reinterpret_cast<const float*>(key_rows), slots, dim, keys);
      copy_values(reinterpret_cast<const float*>(value_rows), slots, dim, padded, values);
    }
    // Slots of this tile that a row sees.
    const auto visible = [&](int64_t row) {
      return smaller(attention_tile, a.first_slot + first + row / group + 1 - slot);
    };
    int64_t row = 0;
    while (row < rows && visible(row) <= 0) ++row;
    while (row < rows) {
      const bool four = row + attention_row_tile <= rows;
      const int64_t n = four ? attention_row_tile : 1;
      if (four)
        score_tile<attention_row_tile>(q + row * dim, dim, keys, weights + row * attention_tile);
      else
        score_tile<1>(q + row * dim, dim, keys, weights + row * attention_tile);
      bool same = four;
      for (int64_t r = row; r < row + n; ++r) {
        factors[r] = softmax_tile(weights + r * attention_tile, visible(r), largest[r], totals[r]);
        same = same && visible(r) == visible(row);
      }
      if (same) {
        accumulate_rows<attention_row_tile>(weights + row * attention_tile, factors + row, visible(row), values, padded,
                                            sums + row * padded);
      } else {
        for (int64_t r = row; r < row + n; ++r)
          accumulate_rows<1>(weights + r * attention_tile, factors + r, visible(r), values, padded, sums + r * padded);
      }
      row += n;
    }
  }

  for (int64_t row = 0; row < rows; ++row) {
    float* to = a.out + ((first + row / group) * a.query_heads + kv_head * group + row % group) * dim;
    const F32 total = set1(totals[row]);
    for_each_vector(dim, [&](int64_t d, int64_t n) { store_upto(to + d, load(sums + row * padded + d) / total, n); });
  }
}

// ---- decode ----

/// The vector of dimensions from d on; `whole`: dim is a multiple of `lanes`.
template <bool whole, class Element>
inline F32 load_dims(const Element* row, int64_t d, int64_t dim) {
  if constexpr (whole) return load_kv(row + d, lanes);
  return load_kv(row + d, smaller(lanes, dim - d));
}

/// Asks for `bytes` bytes from `first` on.
inline void prefetch(const void* first, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(first) + i, 0, 3);
}
constexpr int64_t key_prefetch_bytes = 4096;

/// scores[h, j] = q[h] . keys[j] for `heads` query heads; lanes / heads keys at a time, so that the sums over lanes are
/// formed together. q [heads, padded].
template <bool whole, int heads, class Element>
void score_keys(const Element* keys, int64_t slots, int64_t dim, const float* q, int64_t padded, float* scores) {
  constexpr int keys_at_once = lanes / heads;
  for (int64_t j = 0; j < slots; j += keys_at_once) {
    const Element* rows[keys_at_once];  // past the end: the last key again; its scores are not stored
    for (int i = 0; i < keys_at_once; ++i) rows[i] = keys + smaller(j + i, slots - 1) * dim;
    const int64_t step_bytes = keys_at_once * dim * static_cast<int64_t>(sizeof(Element));
    prefetch(reinterpret_cast<const char*>(keys + j * dim) + key_prefetch_bytes, step_bytes);
    F32 sums[lanes];
    for (F32& sum_of_key : sums) sum_of_key = zero();
    for (int64_t d = 0; d < dim; d += lanes) {
      F32 key[keys_at_once];
      for (int i = 0; i < keys_at_once; ++i) key[i] = load_dims<whole>(rows[i], d, dim);
      for (int h = 0; h < heads; ++h) {
        const F32 query = load(q + h * padded + d);
        for (int i = 0; i < keys_at_once; ++i)
          sums[h * keys_at_once + i] = fma(query, key[i], sums[h * keys_at_once + i]);
      }
    }
    float results[lanes];
    store(results, sums_of(sums));
    for (int h = 0; h < heads; ++h)
      for (int i = 0; i < keys_at_once && j + i < slots; ++i)
        scores[h * kv_page_tokens + j + i] = results[h * keys_at_once + i];
  }
}

constexpr int64_t value_run = 32;  // slots: small enough for the L1 cache, as every vector of dimensions passes them

/// out[h][d..] += weights[h] . values for `heads` query heads and `vectors` vectors of dimensions.
template <bool whole, int heads, int vectors, class Element>
inline void weigh_values(const Element* values, int64_t slots, int64_t dim, int64_t d, const float* weights, float* out,
                         int64_t out_stride) {
  const auto place = [&](int h, int v) { return out + h * out_stride + d + v * lanes; };
  const auto count = [&](int v) { return whole ? int64_t{lanes} : smaller(lanes, dim - d - v * lanes); };
  F32 sums[heads][vectors];
  for (int h = 0; h < heads; ++h)
    for (int v = 0; v < vectors; ++v) sums[h][v] = load_upto(place(h, v), count(v));
  for (int64_t j = 0; j < slots; ++j) {
    __builtin_prefetch(values + (j + value_run) * dim + d, 0, 3);  // the same place of the next run
    F32 value[vectors];
    for (int v = 0; v < vectors; ++v) value[v] = load_dims<whole>(values + j * dim, d + v * lanes, dim);
    for (int h = 0; h < heads; ++h) {
      const F32 weight = set1(weights[h * kv_page_tokens + j]);
      for (int v = 0; v < vectors; ++v) sums[h][v] = fma(value[v], weight, sums[h][v]);
    }
  }
  for (int h = 0; h < heads; ++h)
    for (int v = 0; v < vectors; ++v) store_upto(place(h, v), sums[h][v], count(v));
}

template <bool whole, int heads, class Element>
void weigh_heads(const Element* values, int64_t slots, int64_t dim, const float* weights, float* out, int64_t stride) {
  for (int h = 0; h < heads; ++h)
    for (int64_t d = 0; d < dim; ++d) out[h * stride + d] = 0.0f;
  for (int64_t j = 0; j < slots; j += value_run) {
    const int64_t count = smaller(value_run, slots - j);
    const Element* from = values + j * dim;
    int64_t d = 0;
    for (; d + 2 * lanes <= dim; d += 2 * lanes)
      weigh_values<whole, heads, 2>(from, count, dim, d, weights + j, out, stride);
    for (; d < dim; d += lanes) weigh_values<whole, heads, 1>(from, count, dim, d, weights + j, out, stride);
  }
}

template <bool whole, class Element>
void strip_of(const AttentionArguments& a, const Element* keys, const Element* values, int64_t kv_head, int64_t slots,
              float* scratch, float* partials, int64_t stride) {
  const int64_t dim = a.kv.head_dim, padded = padded_to_lanes(dim), group = a.query_heads / a.kv.heads;
  float* scores = scratch;                      // [group, 256]
  float* q = scratch + group * kv_page_tokens;  // [group, padded], scaled
  for (int64_t g = 0; g < group; ++g) {
    const float* from = a.q + (kv_head * group + g) * dim;
    for (int64_t d = 0; d < padded; ++d) q[g * padded + d] = d < dim ? from[d] * a.scale : 0.0f;
  }
  // body<heads>(first of them)
  const auto for_heads = [&](auto body) {
    int64_t g = 0;
    for (; g + 4 <= group; g += 4) body.template operator()<4>(g);
    for (; g + 2 <= group; g += 2) body.template operator()<2>(g);
    for (; g < group; ++g) body.template operator()<1>(g);
  };
  for_heads([&]<int heads>(int64_t g) {
    score_keys<whole, heads>(keys, slots, dim, q + g * padded, padded, scores + g * kv_page_tokens);
  });
  for (int64_t g = 0; g < group; ++g) {
    float* row = scores + g * kv_page_tokens;
    F32 largest_lanes = set1(row[0]);
    int64_t j = 0;
    for (; j + lanes <= slots; j += lanes) largest_lanes = max(load(row + j), largest_lanes);
    float largest = maximum(largest_lanes);
    for (; j < slots; ++j) largest = row[j] > largest ? row[j] : largest;
    F32 sums = zero();
    for_each_vector(slots, [&](int64_t i, int64_t n) {
      store_upto(row + i, exp(load_upto(row + i, n) - set1(largest)), n);
      sums = sums + load_upto(row + i, n);
    });
    partials[g * stride] = largest;
    partials[g * stride + 1] = sum(sums);
  }
  for_heads([&]<int heads>(int64_t g) {
    weigh_heads<whole, heads>(values, slots, dim, scores + g * kv_page_tokens, partials + g * stride + 2, stride);
  });
}

void attention_strip(const AttentionArguments& a, int64_t kv_head, int64_t page, int64_t slots, float* scratch,
                     float* partials, int64_t partial_stride) {
  const std::byte* keys = kv_row(a.kv, 0, kv_head, page * kv_page_tokens);
  const std::byte* values = kv_row(a.kv, 1, kv_head, page * kv_page_tokens);
  const auto run = [&]<class Element>(const Element* k, const Element* v) {
    if (a.kv.head_dim % (2 * lanes) == 0)
      strip_of<true>(a, k, v, kv_head, slots, scratch, partials, partial_stride);
    else
      strip_of<false>(a, k, v, kv_head, slots, scratch, partials, partial_stride);
  };
  if (a.kv.is_bf16)
    run(reinterpret_cast<const uint16_t*>(keys), reinterpret_cast<const uint16_t*>(values));
  else
    run(reinterpret_cast<const float*>(keys), reinterpret_cast<const float*>(values));
}

void attention_merge(const float* partials, int64_t count, int64_t stride, int64_t head_dim, float* out) {
  float largest = partials[0];
  for (int64_t i = 1; i < count; ++i) largest = partials[i * stride] > largest ? partials[i * stride] : largest;
  float total = 0;
  for (int64_t d = 0; d < head_dim; ++d) out[d] = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float* partial = partials + i * stride;
    float factor;
    store_first(&factor, exp(set1(partial[0] - largest)), 1);
    total += partial[1] * factor;
    add_scaled(partial + 2, factor, head_dim, out);
  }
  for_each_vector(head_dim, [&](int64_t d, int64_t n) { store_upto(out + d, load_upto(out + d, n) / set1(total), n); });
}

}  // namespace
}  // namespace lectern::kernels::cpu

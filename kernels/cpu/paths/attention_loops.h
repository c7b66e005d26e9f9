// Attention of one instruction path: softmax(scale * q k) v with a running maximum, so that no score matrix is kept.
//
// Prefill: rows (tokens x query heads of one KV head) meet tiles of 64 slots from slot 0 on. Keys of a tile are laid
// out transposed, so lanes are slots; values as they are, so lanes are dimensions: two small matrix products with the
// softmax between. Each score, each weight and each output element is computed by its own chain of operations whatever
// the rows beside it, and slots past a row's own position take no part, so a row's bits do not depend on the others.
// Decode: a strip of 256 slots is a fixed piece with its own maximum; keys are read once for all query heads of the
// group.
#pragma once

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

constexpr int64_t attention_row_tile = 4;

int64_t attention_rows_scratch(int64_t head_dim, int64_t rows) {
  const int64_t padded = padded_to_lanes(head_dim);
  // keys, values; q, weights, sums, factor, maximum, total of each row
  return 2 * attention_tile * padded + rows * (head_dim + attention_tile + padded + 3);
}

void attention_rows(const AttentionArguments& a, int64_t kv_head, int64_t first, int64_t last, float* scratch) {
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

/// scores[g, j] = q[g] . keys[j]. As many keys as there are lanes meet a query at once, so that their sums over lanes
/// are formed together; `copy` [lanes, padded + lanes] holds them as f32.
template <class Element>
void score_strip(const Element* keys, int64_t slots, int64_t dim, const float* q, int64_t padded, int64_t group,
                 float* copy, float* scores) {
  for (int64_t j = 0; j < slots; j += lanes) {
    const int64_t count = smaller(lanes, slots - j);
    for (int64_t i = 0; i < lanes; ++i)  // past the end: the last key again; its scores are not stored
      for (int64_t d = 0; d < dim; d += lanes)
        store(copy + i * (padded + lanes) + d,
              load_kv(keys + (j + smaller(i, count - 1)) * dim + d, smaller(lanes, dim - d)));
    for (int64_t g = 0; g < group; ++g) {
      F32 sums[lanes];
      for (F32& sum_of_key : sums) sum_of_key = zero();
      for (int64_t d = 0; d < padded; d += lanes) {
        const F32 query = load(q + g * padded + d);
        for (int i = 0; i < lanes; ++i) sums[i] = fma(query, load(copy + i * (padded + lanes) + d), sums[i]);
      }
      store_upto(scores + g * kv_page_tokens + j, sums_of(sums), count);
    }
  }
}

/// out[g][d..] += weights . values for `heads` query heads and `vectors` vectors of dimensions, the last of which may
/// be short.
template <class Element, int heads, int vectors>
void weigh_values(const Element* values, int64_t slots, int64_t dim, int64_t d, const float* weights, float* out,
                  int64_t out_stride) {
  const int64_t n = smaller(lanes, dim - d - (vectors - 1) * lanes);
  F32 sums[heads][vectors];
  for (int g = 0; g < heads; ++g)
    for (int v = 0; v < vectors; ++v)
      sums[g][v] = load_upto(out + g * out_stride + d + v * lanes, v + 1 < vectors ? lanes : n);
  for (int64_t j = 0; j < slots; ++j) {
    F32 value[vectors];
    for (int v = 0; v < vectors; ++v) value[v] = load_kv(values + j * dim + d + v * lanes, v + 1 < vectors ? lanes : n);
    for (int g = 0; g < heads; ++g) {
      const F32 weight = set1(weights[g * kv_page_tokens + j]);
      for (int v = 0; v < vectors; ++v) sums[g][v] = fma(value[v], weight, sums[g][v]);
    }
  }
  for (int g = 0; g < heads; ++g)
    for (int v = 0; v < vectors; ++v)
      store_upto(out + g * out_stride + d + v * lanes, sums[g][v], v + 1 < vectors ? lanes : n);
}

/// Runs of slots small enough for the L1 cache, as every vector of dimensions passes over them again.
template <class Element, int heads>
void weigh_heads(const Element* values, int64_t slots, int64_t dim, const float* weights, float* out, int64_t stride) {
  for (int g = 0; g < heads; ++g)
    for (int64_t d = 0; d < dim; ++d) out[g * stride + d] = 0.0f;
  for (int64_t j = 0; j < slots; j += 32) {
    const int64_t count = smaller(32, slots - j);
    const Element* from = values + j * dim;
    int64_t d = 0;
    for (; d + 2 * lanes <= dim; d += 2 * lanes)
      weigh_values<Element, heads, 2>(from, count, dim, d, weights + j, out, stride);
    for (; d < dim; d += lanes) weigh_values<Element, heads, 1>(from, count, dim, d, weights + j, out, stride);
  }
}

template <class Element>
void strip_of(const AttentionArguments& a, const Element* keys, const Element* values, int64_t kv_head, int64_t slots,
              float* scratch, float* partials, int64_t stride) {
  const int64_t dim = a.kv.head_dim, padded = padded_to_lanes(dim), group = a.query_heads / a.kv.heads;
  float* scores = scratch;                      // [group, 256]
  float* q = scratch + group * kv_page_tokens;  // [group, padded], scaled
  float* copy = q + group * padded;             // [lanes, padded + lanes]: a stride that is no power of two
  for (int64_t g = 0; g < group; ++g) {
    const float* from = a.q + (kv_head * group + g) * dim;
    for (int64_t d = 0; d < padded; ++d) q[g * padded + d] = d < dim ? from[d] * a.scale : 0.0f;
  }
  score_strip(keys, slots, dim, q, padded, group, copy, scores);
  for (int64_t g = 0; g < group; ++g) {
    float* row = scores + g * kv_page_tokens;
    float largest = row[0];
    for (int64_t j = 1; j < slots; ++j) largest = row[j] > largest ? row[j] : largest;
    F32 sums = zero();
    for_each_vector(slots, [&](int64_t j, int64_t n) {
      store_upto(row + j, exp(load_upto(row + j, n) - set1(largest)), n);
      sums = sums + load_upto(row + j, n);
    });
    partials[g * stride] = largest;
    partials[g * stride + 1] = sum(sums);
  }
  const auto weights = [&](int64_t g) { return scores + g * kv_page_tokens; };
  const auto out = [&](int64_t g) { return partials + g * stride + 2; };
  int64_t g = 0;
  for (; g + 4 <= group; g += 4) weigh_heads<Element, 4>(values, slots, dim, weights(g), out(g), stride);
  if (group - g == 3) {
    weigh_heads<Element, 3>(values, slots, dim, weights(g), out(g), stride);
    g += 3;
  }
  for (; g < group; ++g) weigh_heads<Element, 1>(values, slots, dim, weights(g), out(g), stride);
}

void attention_strip(const AttentionArguments& a, int64_t kv_head, int64_t page, int64_t slots, float* scratch,
                     float* partials, int64_t partial_stride) {
  const std::byte* keys = kv_row(a.kv, 0, kv_head, page * kv_page_tokens);
  const std::byte* values = kv_row(a.kv, 1, kv_head, page * kv_page_tokens);
  if (a.kv.is_bf16)
    strip_of(a, reinterpret_cast<const uint16_t*>(keys), reinterpret_cast<const uint16_t*>(values), kv_head, slots,
             scratch, partials, partial_stride);
  else
    strip_of(a, reinterpret_cast<const float*>(keys), reinterpret_cast<const float*>(values), kv_head, slots, scratch,
             partials, partial_stride);
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

// Attention of one instruction path: softmax(scale * q k) v with a running maximum, so that no score matrix is kept.
//
// Prefill: rows (tokens x query heads of one KV head) meet tiles of 64 slots from slot 0 on: two small matrix products
// with the softmax between, in f32 or, where keys and values are bf16, in integers. Each score, each weight and each
// output element is computed by its own chain of operations whatever the rows beside it, and slots past a row's own
// position take no part, so a row's bits do not depend on the others.
//
// Decode: a strip of 256 slots is a fixed piece with its own maximum; keys and values come from memory once for all
// query heads of the group, four of which meet each vector of them, and stay in the L1 cache for the others.
#pragma once

#include "kernels/cpu/paths/attention_tile_f32.h"
#include "kernels/cpu/paths/attention_tile_i16.h"
#include "kernels/cpu/paths/row_loops.h"
#include "kernels/cpu/paths/unpack.h"

namespace lectern::kernels::cpu {
namespace {

// ---- prefill ----

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

constexpr int64_t attention_row_tile = 4;

template <class Tile>
void attend_rows(const AttentionArguments& a, int64_t kv_head, int64_t first, int64_t last, float* scratch) {
  const int64_t dim = a.kv.head_dim, padded = padded_to_lanes(dim), group = a.query_heads / a.kv.heads;
  const int64_t rows = (last - first) * group;
  const auto take = [&](int64_t floats) {
    float* part = scratch;
    scratch += floats;
    return part;
  };
  float* sums = take(rows * padded);
  float* weights = take(rows * attention_tile);
  float *factors = take(rows), *largest = take(rows), *totals = take(rows);
  Tile tile(dim, rows, take);
  // A row's place in q and in the result.
  const auto place = [&](int64_t row) {
    return ((first + row / group) * a.query_heads + kv_head * group + row % group) * dim;
  };

  for (int64_t row = 0; row < rows; ++row) {
    tile.set_query(row, a.q + place(row), a.scale);
    for (int64_t d = 0; d < padded; ++d) sums[row * padded + d] = 0.0f;
    largest[row] = -__builtin_inff();
    totals[row] = 0.0f;
  }

  const int64_t end = a.first_slot + last;  // slots that any row sees
  for (int64_t slot = 0; slot < end; slot += attention_tile) {
    tile.load(a.kv, kv_head, slot, smaller(attention_tile, end - slot));
    // Slots of this tile that a row sees.
    const auto visible = [&](int64_t row) {
      return smaller(attention_tile, a.first_slot + first + row / group + 1 - slot);
    };
    const auto attend = [&]<int count>(int64_t row) {
      tile.template score<count>(row, weights + row * attention_tile);
      for (int64_t r = row; r < row + count; ++r) {
        factors[r] = softmax_tile(weights + r * attention_tile, visible(r), largest[r], totals[r]);
        tile.set_weights(r, weights + r * attention_tile);
      }
      tile.template accumulate<count>(row, visible, weights + row * attention_tile, factors + row, sums + row * padded);
    };
    int64_t row = 0;
    while (row < rows && visible(row) <= 0) ++row;
    for (; row + attention_row_tile <= rows; row += attention_row_tile)
      attend.template operator()<attention_row_tile>(row);
    for (; row < rows; ++row) attend.template operator()<1>(row);
  }

  for (int64_t row = 0; row < rows; ++row) {
    float* to = a.out + place(row);
    const F32 total = set1(totals[row]);
    for_each_vector(dim, [&](int64_t d, int64_t n) { store_upto(to + d, load(sums + row * padded + d) / total, n); });
  }
}

int64_t attention_rows_scratch(int64_t head_dim, int64_t rows) {
  const int64_t f32 = AttentionTileF32::scratch_floats(head_dim, rows);
  const int64_t i16 = AttentionTileI16::scratch_floats(head_dim, rows);
  // sums and weights; factor, maximum and total of each row
  return rows * (padded_to_lanes(head_dim) + attention_tile + 3) + (f32 > i16 ? f32 : i16);
}

void attention_rows(const AttentionArguments& a, int64_t kv_head, int64_t first, int64_t last, float* scratch) {
  if (takes_i16(a.kv))
    attend_rows<AttentionTileI16>(a, kv_head, first, last, scratch);
  else
    attend_rows<AttentionTileF32>(a, kv_head, first, last, scratch);
}

// ---- decode ----

// Where the dimensions fill pairs of vectors (`whole`), a pair of bf16 vectors is taken apart with one operation each:
// a word's low half is an even dimension, its high half an odd one. Queries and sums then have the dimensions of a pair
// in that order.
// score_keys and weigh_heads are functions of their own: inlined together, g++ 12 keeps their sums in memory. One AVX2
// core at 2.83 GHz, 8 heads of 256 (GFLOP/s of 91): scores 73, values 75, all of a strip 67; two cores from memory 55
// each (runs of 32 slots 50, without prefetching 36).

/// The first or second vector of a pair: even and odd dimensions if they are bf16.
template <int second>
inline F32 load_of_pair(const float* row) {
  return load(row + second * lanes);
}
template <int second>
inline F32 load_of_pair(const uint16_t* row) {
  const I32 words = iload(row);
  return bits_to_f32(second ? bits_of(words, iset1(static_cast<int32_t>(0xffff0000))) : shift_i32_left<16>(words));
}
/// The dimensions of a pair as load_of_pair gives those of Element, times `factor`.
template <class Element>
inline void take_pair_apart(const float* from, float factor, float* to) {
  for (int i = 0; i < 2 * lanes; ++i) to[sizeof(Element) == 4 ? i : i % 2 * lanes + i / 2] = from[i] * factor;
}
template <class Element>
inline void put_pair_together(float* pair) {
  float apart[2 * lanes];
  __builtin_memcpy(apart, pair, sizeof apart);
  for (int i = 0; i < 2 * lanes; ++i) pair[i] = apart[sizeof(Element) == 4 ? i : i % 2 * lanes + i / 2];
}

/// `vectors` vectors of dimensions from d on.
template <bool whole, int vectors, class Element>
inline void load_dims(const Element* row, int64_t d, int64_t dim, F32 (&out)[vectors]) {
  if constexpr (whole) {
    static_assert(vectors == 2);
    out[0] = load_of_pair<0>(row + d);
    out[1] = load_of_pair<1>(row + d);
  } else {
    for (int v = 0; v < vectors; ++v) out[v] = load_kv(row + d + v * lanes, smaller(lanes, dim - d - v * lanes));
  }
}

/// Asks for `bytes` bytes from `first` on.
inline void prefetch(const void* first, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(first) + i, 0, 3);
}
constexpr int64_t attention_run = 16;  // slots that stay in the L1 cache while all heads and dimensions pass them

/// scores[h, j] = q[h] . keys[j] for `heads` query heads; lanes / heads keys at a time, so that the sums over lanes are
/// formed together. q [heads, padded]. `ahead`: what the next run will read, or null.
template <bool whole, int heads, class Element>
__attribute__((noinline)) void score_keys(const Element* keys, int64_t slots, int64_t dim, const float* q,
                                          int64_t padded, const Element* ahead, float* scores) {
  constexpr int keys_at_once = lanes / heads;
  for (int64_t j = 0; j < slots; j += keys_at_once) {
    const Element* rows[keys_at_once];  // past the end: the last key again; its scores are not stored
    for (int i = 0; i < keys_at_once; ++i) rows[i] = keys + smaller(j + i, slots - 1) * dim;
    const int64_t step_bytes = keys_at_once * dim * static_cast<int64_t>(sizeof(Element));
    if (ahead != nullptr) prefetch(ahead + j * dim, step_bytes);
    F32 sums[lanes];
    for (F32& sum_of_key : sums) sum_of_key = zero();
    constexpr int vectors = whole ? 2 : 1;
    for (int64_t d = 0; d < dim; d += vectors * lanes)
      for_groups<vectors>([&]<int v>() LECTERN_INLINE {
        F32 query[heads];
        for (int h = 0; h < heads; ++h) query[h] = in_register(load(q + h * padded + d + v * lanes));
        for (int i = 0; i < keys_at_once; ++i) {
          F32 key;
          if constexpr (whole)
            key = load_of_pair<v>(rows[i] + d);
          else
            key = load_kv(rows[i] + d, smaller(lanes, dim - d));
          for (int h = 0; h < heads; ++h) sums[h * keys_at_once + i] = fma(query[h], key, sums[h * keys_at_once + i]);
        }
      });
    float results[lanes];
    store(results, sums_of(sums));
    for (int h = 0; h < heads; ++h)
      for (int i = 0; i < keys_at_once && j + i < slots; ++i)
        scores[h * kv_page_tokens + j + i] = results[h * keys_at_once + i];
  }
}

/// out[h][d..] += weights[h] . values for `heads` query heads and `vectors` vectors of dimensions.
template <bool whole, int heads, int vectors, class Element>
inline LECTERN_INLINE void weigh_values(const Element* values, int64_t slots, int64_t dim, int64_t d,
                                        const float* weights, const Element* ahead, float* out, int64_t out_stride) {
  const auto place = [&](int h, int v) { return out + h * out_stride + d + v * lanes; };
  const auto count = [&](int v) { return whole ? int64_t{lanes} : smaller(lanes, dim - d - v * lanes); };
  F32 sums[heads][vectors];
  for (int h = 0; h < heads; ++h)
    for (int v = 0; v < vectors; ++v) sums[h][v] = load_upto(place(h, v), count(v));
  for (int64_t j = 0; j < slots; ++j) {
    __builtin_prefetch(ahead + j * dim + d, 0, 3);
    F32 value[vectors];
    load_dims<whole>(values + j * dim, d, dim, value);
    for (int h = 0; h < heads; ++h) {
      const F32 weight = set1(weights[h * kv_page_tokens + j]);
      for (int v = 0; v < vectors; ++v) sums[h][v] = fma(value[v], weight, sums[h][v]);
    }
  }
  for (int h = 0; h < heads; ++h)
    for (int v = 0; v < vectors; ++v) store_upto(place(h, v), sums[h][v], count(v));
}

template <bool whole, int heads, class Element>
__attribute__((noinline)) void weigh_heads(const Element* values, int64_t slots, int64_t dim, const float* weights,
                                           const Element* ahead, float* out, int64_t stride) {
  int64_t d = 0;
  for (; d + 2 * lanes <= dim; d += 2 * lanes)
    weigh_values<whole, heads, 2>(values, slots, dim, d, weights, ahead, out, stride);
  if constexpr (!whole)
    for (; d < dim; d += lanes) weigh_values<whole, heads, 1>(values, slots, dim, d, weights, ahead, out, stride);
}

template <bool whole, class Element>
void strip_of(const AttentionArguments& a, const Element* keys, const Element* values, int64_t kv_head, int64_t slots,
              float* scratch, float* partials, int64_t stride) {
  const int64_t dim = a.kv.head_dim, padded = padded_to_lanes(dim), group = a.query_heads / a.kv.heads;
  float* scores = scratch;                      // [group, 256]
  float* q = scratch + group * kv_page_tokens;  // [group, padded], scaled
  for (int64_t g = 0; g < group; ++g) {
    const float* from = a.q + (kv_head * group + g) * dim;
    if constexpr (whole)
      for (int64_t d = 0; d < dim; d += 2 * lanes) take_pair_apart<Element>(from + d, a.scale, q + g * padded + d);
    else
      for (int64_t d = 0; d < padded; ++d) q[g * padded + d] = d < dim ? from[d] * a.scale : 0.0f;
  }
  // body<heads>(first of them, first slot of a run, slots of it)
  const auto for_runs = [&](auto body) {
    for (int64_t j = 0; j < slots; j += attention_run) {
      const int64_t count = smaller(attention_run, slots - j);
      int64_t g = 0;
      for (; g + 4 <= group; g += 4) body.template operator()<4>(g, j, count);
      for (; g + 2 <= group; g += 2) body.template operator()<2>(g, j, count);
      for (; g < group; ++g) body.template operator()<1>(g, j, count);
    }
  };
  for_runs([&]<int heads>(int64_t g, int64_t j, int64_t count) {
    const Element* ahead = j + attention_run < slots ? keys + (j + attention_run) * dim : values;
    score_keys<whole, heads>(keys + j * dim, count, dim, q + g * padded, padded, g == 0 ? ahead : nullptr,
                             scores + g * kv_page_tokens + j);
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
  for (int64_t g = 0; g < group; ++g)
    for (int64_t d = 0; d < dim; ++d) partials[g * stride + 2 + d] = 0.0f;
  for_runs([&]<int heads>(int64_t g, int64_t j, int64_t count) {
    // After the last run the keys of the next head, which is the next piece of work, if there is one.
    const Element* ahead = j + attention_run < slots ? values + (j + attention_run) * dim : keys + kv_page_tokens * dim;
    weigh_heads<whole, heads>(values + j * dim, count, dim, scores + g * kv_page_tokens + j, ahead,
                              partials + g * stride + 2, stride);
  });
  if constexpr (whole && sizeof(Element) == 2)
    for (int64_t g = 0; g < group; ++g)
      for (int64_t d = 0; d < dim; d += 2 * lanes) put_pair_together<Element>(partials + g * stride + 2 + d);
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

// Products of few rows (decode) of one instruction path.
//
// Weights of 4 to 6 bits: as many weight rows as there are lanes (packed: 16) go together, 256 columns at a time. Their
// bytes are taken apart in registers (unpack.h) so that a lane is a row: scales are vectors, and nothing is summed over
// lanes. A form with lanes along k spent more instructions on spreading the scale of each 32 values and on short sums
// than on products. One AVX2 core at 2.83 GHz, packed: Q4_K 24 GB/s, Q6_K 22.
// Weights of 8 bits: packed, a lane is a row too; else lanes run along k, and four sums take turns, so that no addition
// waits for the one before.
// Rows of x are independent of each other: a row's bits are those of that row alone.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/paths/byte_sums.h"
#include "kernels/cpu/paths/unpack.h"
#include "kernels/cpu/simd_eight.h"

namespace lectern::kernels::cpu {
namespace {

constexpr int matvec_tile = 2;               // rows of x that meet weight rows together
constexpr int64_t prefetch_distance = 2048;  // bytes
constexpr int64_t most_rows = 8;             // as in kernels/matvec.h
constexpr int64_t chunk_values = 1024;

// ---- weights of 4 to 6 bits ----

/// One row of x.
struct MatvecRow {
  const int8_t* values;
  const int8_t* residuals;
  const uint8_t* refined;      // a bit for each group
  const float* scales;         // {scale, scaled sum} of each group
  const int32_t* corrections;  // {of values, of residuals} of each group

  MatvecRow() = default;
  MatvecRow(const ActivationsQ8& x, int64_t t) {
    const int64_t row = x.order != nullptr ? x.order[t] : t;
    values = x.values + row * x.padded_columns;
    residuals = x.residuals + row * x.padded_columns;
    refined = x.refined + row * x.padded_groups / 8;
    scales = x.scales + row * x.padded_groups * 2;
    corrections = x.group_corrections + row * x.padded_groups * 2;
  }
  bool is_refined(int64_t g) const { return (refined[g / 8] >> g % 8 & 1) != 0; }
  /// Any of the groups of 256 columns from group g on.
  template <int groups>
  bool any_refined(int64_t g) const {
    unsigned bits = 0;
    for (int i = 0; i < groups / 8; ++i) bits |= refined[g / 8 + i];
    return __builtin_expect(bits != 0, 0);
  }
};

/// sums[r][v] += values [first, first + count) of 32 weights times those of x[r]; `four` as in take_values.
template <int bits, int first, int count, int vectors, int rows, class Four>
inline LECTERN_INLINE void dot_values(Four four, const int8_t* const (&x)[rows], I32 (&sums)[rows][vectors]) {
  ByteSums<bits, count / 4> parts[rows][vectors];
  for_groups<count / 4>([&]<int i>() LECTERN_INLINE {
    I32 activations[rows];
    for (int r = 0; r < rows; ++r) activations[r] = broadcast_four(x[r] + first + 4 * i);
    for (int v = 0; v < vectors; ++v) {
      const I32 weights = four.template operator()<first / 4 + i>(v);
      for (int r = 0; r < rows; ++r) parts[r][v].template add<i>(weights, activations[r], sums[r][v]);
    }
  });
}

/// The scales and offsets of 256 columns of K-blocks, which hold those of eight groups together.
template <class Rows, int group, bool has_offset, int64_t block_values>
struct Scales {
  static constexpr int width = Rows::vectors * lanes;
  alignas(64) float scales[256 / group * width];
  alignas(64) float offsets[has_offset ? 256 / group * width : lanes];

  LECTERN_INLINE Scales(const Rows& weights, int64_t pieces) {
    for (int v = 0; v < Rows::vectors; ++v)
      take_scales(weights, v, pieces, [&](int64_t g, F32 scale, F32 offset) LECTERN_INLINE {
        store(scales + g * width + v * lanes, scale);
        if (has_offset) store(offsets + g * width + v * lanes, offset);
      });
  }
  LECTERN_INLINE void of(int64_t g, int v, F32& scale, F32& offset) const {
    scale = load(scales + g * width + v * lanes);
    offset = has_offset ? load(offsets + g * width + v * lanes) : zero();
  }
};
/// Of small blocks: each is asked for where its values are, so that memory is read in order.
template <class Rows, int group, bool has_offset>
struct Scales<Rows, group, has_offset, 32> {
  const Rows& weights;
  LECTERN_INLINE Scales(const Rows& rows, int64_t) : weights(rows) {}
  LECTERN_INLINE void of(int64_t g, int v, F32& scale, F32& offset) const {
    block_scales(weights, v, g, scale, offset);
  }
};

/// What the rounding of refined groups left over: 256 columns times residuals, which are zero in groups that are not
/// refined.
template <int group, int bits, bool has_offset, int64_t block_values, class Rows>
__attribute__((noinline)) void dot_residuals(const Rows& weights,
                                             const Scales<Rows, group, has_offset, block_values>& scales,
                                             int64_t pieces, int64_t at, const MatvecRow& x,
                                             F32 (&totals)[Rows::vectors]) {
  constexpr int groups_of_piece = 32 / group, vectors = Rows::vectors;
  take_values(weights, pieces, [&](int64_t piece, auto four) LECTERN_INLINE {
    if (!x.is_refined(at / group + piece * groups_of_piece)) return;  // both groups of 32 values are, or none
    const int8_t* const residuals[1] = {x.residuals + at + piece * 32};
    for_groups<groups_of_piece>([&]<int part>() LECTERN_INLINE {
      const int64_t local = piece * groups_of_piece + part, g = at / group + local;
      I32 sums[1][vectors];
      for (I32& sum_of_rows : sums[0]) sum_of_rows = has_offset ? izero() : iset1(x.corrections[2 * g + 1]);
      dot_values<bits, part * group, group, vectors>(four, residuals, sums);
      const F32 row_scale = set1(x.scales[2 * g] * (1.0f / residual_parts));
      for (int v = 0; v < vectors; ++v) {
        F32 scale, offset;
        scales.of(local, v, scale, offset);
        totals[v] = fma(to_f32(sums[0][v]), scale * row_scale, totals[v]);
      }
    });
  });
}

/// totals[r][v] += 256 columns (`pieces` of 32) of the weight rows times row r of x; `at` is the first of them.
template <int group, int bits, bool has_offset, int64_t block_values, int rows, class Rows>
inline LECTERN_INLINE void dot_columns(const Rows& weights, int64_t pieces, int64_t at, const MatvecRow (&x)[rows],
                                       F32 (&totals)[rows][Rows::vectors]) {
  constexpr int groups_of_piece = 32 / group, vectors = Rows::vectors;
  const Scales<Rows, group, has_offset, block_values> scales(weights, pieces);
  const int8_t* values[rows];
  const float* row_scales[rows];
  const int32_t* corrections[rows];
  for (int r = 0; r < rows; ++r) {
    values[r] = x[r].values + at;
    row_scales[r] = x[r].scales + at / group * 2;
    corrections[r] = x[r].corrections + at / group * 2;
  }
  take_values(weights, pieces, [&](int64_t piece, auto four) LECTERN_INLINE {
    const int8_t* values_of_piece[rows];
    for (int r = 0; r < rows; ++r) values_of_piece[r] = values[r] + piece * 32;
    for_groups<groups_of_piece>([&]<int part>() LECTERN_INLINE {
      const int64_t g = piece * groups_of_piece + part;
      I32 sums[rows][vectors];
      for (int r = 0; r < rows; ++r)
        for (int v = 0; v < vectors; ++v) sums[r][v] = has_offset ? izero() : iset1(corrections[r][2 * g]);
      dot_values<bits, part * group, group, vectors>(four, values_of_piece, sums);
      for (int r = 0; r < rows; ++r) {
        const F32 row_scale = set1(row_scales[r][2 * g]), row_sum = set1(row_scales[r][2 * g + 1]);
        for (int v = 0; v < vectors; ++v) {
          F32 scale, offset;
          scales.of(g, v, scale, offset);
          totals[r][v] = fma(to_f32(sums[r][v]), scale * row_scale, totals[r][v]);
          if (has_offset) totals[r][v] = fma(offset, row_sum, totals[r][v]);
        }
      }
    });
  });
  for (int r = 0; r < rows; ++r)
    if (x[r].template any_refined<256 / group>(at / group))
      dot_residuals<group, bits, has_offset, block_values>(weights, scales, pieces, at, x[r], totals[r]);
}

/// Weight rows from `row` on, as many as Rows holds or up to `last`, and rows [t, t + rows) of x.
template <class Rows, class Block, int group, int bits, bool has_offset, int rows>
void dot_rows(const WeightRows& w, const ActivationsQ8& x, int64_t t, int64_t row, int64_t last, float* out) {
  constexpr int vectors = Rows::vectors;
  MatvecRow in[rows];
  F32 totals[rows][vectors];
  for (int r = 0; r < rows; ++r) {
    in[r] = MatvecRow(x, t + r);
    for (int v = 0; v < vectors; ++v) totals[r][v] = zero();
  }
  Rows weights(w, row, 0);
  // Packs are read in order. Rows follow each other in memory, but the next ones must be asked for.
  constexpr int64_t step_bytes = vectors * lanes * 256 / Block::values * static_cast<int64_t>(sizeof(Block));
  const std::byte* next = w.data + (row + vectors * lanes) * w.row_bytes;
  for (int64_t at = 0; at < w.columns; at += 256, next += step_bytes, weights.advance(256)) {
    if (!w.packed)
      for (int64_t i = 0; i < step_bytes; i += 64) __builtin_prefetch(next + i, 0, 3);
    dot_columns<group, bits, has_offset, Block::values>(weights, smaller(8, (w.columns - at) / 32), at, in, totals);
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) {
      const int64_t place = row + v * lanes;
      if (place < last) store_upto(out + (t + r) * w.rows + place, totals[r][v], smaller(lanes, last - place));
    }
}

template <class Rows, class Block, int group, int bits, bool has_offset>
void matvec_of(const WeightRows& w, const ActivationsQ8& x, int64_t first, int64_t last, float* out) {
  for (int64_t row = first; row < last; row += Rows::vectors * lanes) {
    int64_t t = 0;
    for (; t + matvec_tile <= x.rows; t += matvec_tile)
      dot_rows<Rows, Block, group, bits, has_offset, matvec_tile>(w, x, t, row, last, out);
    if (t < x.rows) dot_rows<Rows, Block, group, bits, has_offset, 1>(w, x, t, row, last, out);
  }
}

template <class Block, int group, int bits, bool has_offset>
void matvec_blocks(const WeightRows& w, const ActivationsQ8& x, int64_t first, int64_t last, float* out) {
  if (w.packed)
    matvec_of<PackedRows<Block>, Block, group, bits, has_offset>(w, x, first, last, out);
  else
    matvec_of<MappedRows<Block>, Block, group, bits, has_offset>(w, x, first, last, out);
}

// ---- weights of 8 bits ----

/// Eight blocks, or `count`, of one row: sums[g % 4] += block g times values of x.
template <bool all>
inline void dot_eight_blocks(const BlockQ8_0* blocks, int64_t count, const int16_t* values, const float* scale_pairs,
                             F32x8 (&sums)[4]) {
  alignas(32) float scales[8] = {};
  for (int64_t g = 0; g < (all ? 8 : count); ++g) scales[g] = half_to_f32(blocks[g].d) * scale_pairs[2 * g];
  for (int64_t g = 0; g < (all ? 8 : count); ++g)
    sums[g % 4] = fma8(to_f32x8(dot_i16_of_8(blocks[g].q, values + g * 32)), set8(scales[g]), sums[g % 4]);
}

/// Packed rows [row, row + vectors * lanes) times one row of x: a lane is a row, as above.
void dot_packed_q8(const WeightRows& w, const int16_t* values, const float* scale_pairs, int64_t row, float* out) {
  using Rows = PackedRows<BlockQ8_0>;
  constexpr int vectors = Rows::vectors;
  F32 totals[vectors];
  for (F32& total : totals) total = zero();
  Rows weights(w, row, 0);
  for (int64_t g = 0; g < w.columns / 32; ++g, weights.advance(32)) {
    I32 sums[vectors];
    for (I32& sum_of_rows : sums) sum_of_rows = izero();
    for_groups<8>([&]<int i>() LECTERN_INLINE {
      const int8_t* four = reinterpret_cast<const int8_t*>(values + g * 32 + 4 * i);
      const I32 activations[2] = {broadcast_four(four), broadcast_four(four + 4)};
      for (int v = 0; v < vectors; ++v) {
        I32 wide[2];
        widen_i8(weights.word(v, 0, static_cast<int64_t>(__builtin_offsetof(BlockQ8_0, q)) + 4 * i), wide);
        for (int half = 0; half < 2; ++half)
          sums[v] = iadd_in_order(sums[v], multiply_i16(wide[half], activations[half]));
      }
    });
    for (int v = 0; v < vectors; ++v)
      totals[v] = fma(to_f32(sums[v]), weights.halves(v, 0, 0) * set1(scale_pairs[2 * g]), totals[v]);
  }
  for (int v = 0; v < vectors; ++v) store(out + v * lanes, totals[v]);
}

void matvec_q8(const WeightRows& w, const ActivationsQ8& x, int64_t first, int64_t last, float* out) {
  if (w.packed) {
    for (int64_t row = first; row < last; row += PackedRows<BlockQ8_0>::vectors * lanes)
      for (int64_t t = 0; t < x.rows; ++t) {
        const int64_t source = x.order != nullptr ? x.order[t] : t;
        dot_packed_q8(w, x.values_i16 + source * x.padded_columns, x.scales + source * x.padded_groups * 2, row,
                      out + t * w.rows + row);
      }
    return;
  }
  for (int64_t row = first; row < last; ++row) {
    for (int64_t t = 0; t < x.rows; ++t) {
      const int64_t source = x.order != nullptr ? x.order[t] : t;
      const int16_t* values = x.values_i16 + source * x.padded_columns;
      const float* scales = x.scales + source * x.padded_groups * 2;
      const BlockQ8_0* blocks = reinterpret_cast<const BlockQ8_0*>(w.data + row * w.row_bytes);
      F32x8 sums[4] = {set8(0.0f), set8(0.0f), set8(0.0f), set8(0.0f)};
      const int64_t count = w.columns / 32;
      int64_t g = 0;
      for (; g + 8 <= count; g += 8) {
        // The processor's own prefetching ends with each page of 4 KiB.
        for (int64_t i = 0; i < 8 * static_cast<int64_t>(sizeof(BlockQ8_0)); i += 64)
          __builtin_prefetch(reinterpret_cast<const char*>(blocks + g) + prefetch_distance + i, 0, 3);
        dot_eight_blocks<true>(blocks + g, 8, values + g * 32, scales + 2 * g, sums);
      }
      if (g < count) dot_eight_blocks<false>(blocks + g, count - g, values + g * 32, scales + 2 * g, sums);
      out[t * w.rows + row] = sum8((sums[0] + sums[1]) + (sums[2] + sums[3]));
    }
  }
}

void matvec_quantized(const WeightRows& w, const ActivationsQ8& x, int64_t first, int64_t last, float* out) {
  switch (w.type) {
    case DType::q4_0: return matvec_blocks<BlockQ4_0, 32, 4, false>(w, x, first, last, out);
    case DType::q4_1: return matvec_blocks<BlockQ4_1, 32, 4, true>(w, x, first, last, out);
    case DType::q8_0: return matvec_q8(w, x, first, last, out);
    case DType::q4_k: return matvec_blocks<BlockQ4_K, 32, 4, true>(w, x, first, last, out);
    case DType::q5_k: return matvec_blocks<BlockQ5_K, 32, 5, true>(w, x, first, last, out);
    case DType::q6_k: return matvec_blocks<BlockQ6_K, 16, 6, false>(w, x, first, last, out);
    default: return;
  }
}

// ---- weights of 16 or 32 bits ----

void matvec_float(const WeightRows& w, const float* x, int64_t rows, int64_t first, int64_t last, float* out) {
  alignas(64) float copy[chunk_values];
  for (int64_t row = first; row < last; ++row) {
    F32 sums[most_rows][4];
    for (int64_t t = 0; t < rows; ++t)
      for (F32& part : sums[t]) part = zero();
    for (int64_t column = 0; column < w.columns; column += chunk_values) {
      const int64_t n = smaller(chunk_values, w.columns - column);
      const float* values = float_values(w, row, column, n, copy);
      for (int64_t t = 0; t < rows; ++t) {
        const float* in = x + t * w.columns + column;
        F32 s0 = sums[t][0], s1 = sums[t][1], s2 = sums[t][2], s3 = sums[t][3];
        int64_t i = 0;
        for (; i + 4 * lanes <= n; i += 4 * lanes) {
          s0 = fma(load(values + i), load(in + i), s0);
          s1 = fma(load(values + i + lanes), load(in + i + lanes), s1);
          s2 = fma(load(values + i + 2 * lanes), load(in + i + 2 * lanes), s2);
          s3 = fma(load(values + i + 3 * lanes), load(in + i + 3 * lanes), s3);
        }
        for (; i < n; i += lanes) {
          const int64_t count = smaller(lanes, n - i);
          s0 = fma(load_upto(values + i, count), load_upto(in + i, count), s0);
        }
        sums[t][0] = s0;
        sums[t][1] = s1;
        sums[t][2] = s2;
        sums[t][3] = s3;
      }
    }
    for (int64_t t = 0; t < rows; ++t)
      out[t * w.rows + row] = sum((sums[t][0] + sums[t][1]) + (sums[t][2] + sums[t][3]));
  }
}

}  // namespace
}  // namespace lectern::kernels::cpu

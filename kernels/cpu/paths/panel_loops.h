// Products of many rows (prefill) of one instruction path.
//
// `panel_rows` weight rows form a panel, a run of columns at a time: it is unpacked once, interleaved so that a vector
// holds the same k (four k for bytes) of `lanes` of its rows, and then meets every row of x, `tile` at a time: one
// broadcast of x serves `panel_vectors` vectors of weights, one load of weights serves `tile` rows. The run of columns
// is as long as panel and tile stay in the L1 cache together (32 KiB); between the runs the sums of all rows lie in
// `totals`, in the L2 cache. An output element is one lane with its own chain of additions over k, so its bits depend
// neither on the tile nor on the number of rows. Sums of integers are exact; sums of f32 products are formed over runs
// of 64 values and then added up.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/paths/byte_sums.h"
#include "kernels/cpu/paths/unpack.h"

namespace lectern::kernels::cpu {
namespace {

constexpr int panel_vectors = lanes == 4 ? 1 : 2;
constexpr int64_t panel_rows = panel_vectors * lanes;
constexpr int tile = lanes == 16 ? 6 : lanes == 8 ? 3 : 4;  // with panel_vectors: what the registers hold
constexpr int64_t byte_columns = 512;   // of a panel of 8 or 16 bits: with scales 20 or 36 KiB in AVX-512
constexpr int64_t float_columns = 128;  // of a panel of f32, 16 KiB
constexpr int64_t spare_columns = 64;   // a transposed square may reach past the end of a run

/// Where the rows of x that a tile takes begin.
template <class Element, int rows>
struct RowPointers {
  Element* of[rows];
  RowPointers(Element* base, int64_t stride, const int32_t* order, int64_t first) {
    for (int r = 0; r < rows; ++r) of[r] = base + (order != nullptr ? order[first + r] : first + r) * stride;
  }
  Element* operator[](int r) const { return of[r]; }
};

/// body(rows, first): all rows of x, `tile` at a time, then what is left by halves.
template <class Body>
inline void for_each_tile(int64_t rows, Body body) {
  int64_t t = 0;
  for (; t + tile <= rows; t += tile) body.template operator()<tile>(t);
  if (t + tile / 2 <= rows) {
    body.template operator()<tile / 2>(t);
    t += tile / 2;
  }
  for (; t < rows; ++t) body.template operator()<1>(t);
}

// ---- quantized weights ----

constexpr int64_t panel_bytes = byte_columns * (sums_pairs ? 2 : 1) * panel_rows;
constexpr int64_t panel_scale_floats = byte_columns / 16 * 2 * panel_rows;  // at most one pair for 16 values

/// Stores values 4i to 4i + 3 of `lanes` rows.
template <int bits>
inline void store_four(uint8_t* panel, int64_t i, I32 four) {
  if constexpr (as_i16<bits>) {
    I32 wide[2];
    widen_i8(four, wide);
    for (int half = 0; half < 2; ++half) istore(panel + (2 * i + half) * panel_rows * 4, wide[half]);
  } else {
    istore(panel + i * panel_rows * 4, bits == 8 ? bits_flipped(four, iset1(-0x7f7f7f80)) : four);  // 0x80808080
  }
}

/// Columns [column, column + columns) of weight rows from `first` on: the panel's values [columns / 4, panel_rows, 4]
/// (of 16 bits: [columns / 2, panel_rows, 2]) and its scales [groups, 2, panel_rows].
template <class Rows, class Block, int group, int bits>
void build_panel(const WeightRows& w, int64_t first, int64_t column, int64_t columns, uint8_t* panel,
                 float* panel_scales) {
  for (int64_t vector = 0; vector < panel_vectors; vector += Rows::vectors) {
    Rows rows(w, first + vector * lanes, column);
    for (int64_t at = 0; at < columns; at += 256, rows.advance(256)) {
      const int64_t pieces = smaller(8, (columns - at) / 32);
      for (int v = 0; v < Rows::vectors; ++v) {
        uint8_t* values = panel + at * value_bytes<bits> * panel_rows + (vector + v) * lanes * 4;
        float* scales = panel_scales + at / group * 2 * panel_rows + (vector + v) * lanes;
        take_values(rows, pieces, [&](int64_t piece, auto four) LECTERN_INLINE {
          for_groups<8>(
              [&]<int i>() LECTERN_INLINE { store_four<bits>(values, piece * 8 + i, four.template operator()<i>(v)); });
        });
        take_scales(rows, v, pieces, [&](int64_t g, F32 scale, F32 offset) LECTERN_INLINE {
          store(scales + 2 * g * panel_rows, scale);
          store(scales + (2 * g + 1) * panel_rows, offset);
        });
      }
    }
  }
}

/// The memory sees short pieces of many rows, which it does not foresee: asks for the run of columns after this one, or
/// the first of the next panel.
template <class Block>
void prefetch_panel(const WeightRows& w, int64_t first, int64_t column, int64_t columns) {
  constexpr int64_t size = static_cast<int64_t>(sizeof(Block));
  const bool is_last = column + columns >= w.columns;
  const std::byte* next = w.data + (is_last ? first + panel_rows : first) * w.row_bytes;
  const int64_t offset = is_last ? 0 : (column + columns) / Block::values * size,
                bytes = columns / Block::values * size;
  if (w.packed) {
    const int64_t packs = panel_rows > 16 ? panel_rows / 16 : 1, rows = panel_rows / packs;
    for (int64_t p = 0; p < packs; ++p)
      for (int64_t i = 0; i < bytes * rows; i += 64)
        __builtin_prefetch(next + p * rows * w.row_bytes + offset * rows + i, 0, 2);
  } else {
    for (int64_t row = 0; row < panel_rows; ++row)
      for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(next + row * w.row_bytes + offset + i, 0, 2);
  }
}

/// sums[r] += one group of panel weights times the same group of row r of x.
template <int rows, int group, int bits>
inline LECTERN_INLINE void dot_group(const uint8_t* weights, const RowPointers<const int8_t, rows>& x, int64_t at,
                                     I32 (&sums)[rows][panel_vectors]) {
  constexpr int steps = group * value_bytes<bits> / 4;
  ByteSums<bits, steps> parts[rows][panel_vectors];
  for_groups<steps>([&]<int i>() LECTERN_INLINE {
    I32 panel_values[panel_vectors];
    for (int v = 0; v < panel_vectors; ++v) panel_values[v] = iload(weights + (i * panel_rows + v * lanes) * 4);
    for (int r = 0; r < rows; ++r) {
      const I32 four = broadcast_four(x[r] + at * value_bytes<bits> + 4 * i);
      for (int v = 0; v < panel_vectors; ++v) parts[r][v].template add<i>(panel_values[v], four, sums[r][v]);
    }
  });
}

/// Adds `groups` groups, from `column` on, to totals [rows, panel_rows].
template <int rows, int group, int bits, bool has_offset>
void multiply_panel(const uint8_t* panel, const float* panel_scales, const ActivationsQ8& x, int64_t first_row,
                    int64_t column, int64_t groups, float* totals_of_rows) {
  const int64_t first_group = column / group;
  constexpr bool has_zero_point = !has_offset && !as_i16<bits>;
  const int8_t* rounded = as_i16<bits> ? reinterpret_cast<const int8_t*>(x.values_i16) : x.values;
  const RowPointers<const int8_t, rows> values(rounded + column * value_bytes<bits>,
                                               x.padded_columns * value_bytes<bits>, x.order, first_row);
  const RowPointers<const float, rows> scales(x.scales + first_group * 2, x.padded_groups * 2, x.order, first_row);
  // 16-bit values have no corrections: there any address will do.
  const RowPointers<const int32_t, rows> corrections(
      has_zero_point ? x.group_corrections + first_group * 2 : reinterpret_cast<const int32_t*>(x.scales),
      x.padded_groups * 2, x.order, first_row);
  F32 totals[rows][panel_vectors];
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < panel_vectors; ++v)
      totals[r][v] = column == 0 ? zero() : load(totals_of_rows + r * panel_rows + v * lanes);
  for (int64_t g = 0; g < groups; ++g) {
    const float* weight_scales = panel_scales + g * 2 * panel_rows;
    I32 sums[rows][panel_vectors];
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < panel_vectors; ++v) sums[r][v] = has_zero_point ? iset1(corrections[r][2 * g]) : izero();
    dot_group<rows, group, bits>(panel + g * group * value_bytes<bits> * panel_rows, values, g * group, sums);
    for (int v = 0; v < panel_vectors; ++v) {
      const F32 scale = load(weight_scales + v * lanes);
      for (int r = 0; r < rows; ++r)
        totals[r][v] = fma(to_f32(sums[r][v]), scale * set1(scales[r][2 * g]), totals[r][v]);
      if (has_offset) {
        const F32 offset = load(weight_scales + panel_rows + v * lanes);
        for (int r = 0; r < rows; ++r) totals[r][v] = fma(offset, set1(scales[r][2 * g + 1]), totals[r][v]);
      }
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < panel_vectors; ++v) store(totals_of_rows + r * panel_rows + v * lanes, totals[r][v]);
}

/// Adds one group's residuals, in parts, to the totals of rows[0..count) of the product.
template <int count, int group, int bits>
void refine_rows(const uint8_t* weights, const float* weight_scales, const ActivationsQ8& x, const int32_t* rows,
                 int64_t g, float* totals) {
  int32_t sources[count];
  for (int r = 0; r < count; ++r) sources[r] = x.order != nullptr ? x.order[rows[r]] : rows[r];
  const RowPointers<const int8_t, count> residuals(x.residuals + g * group, x.padded_columns, sources, 0);
  I32 sums[count][panel_vectors];
  for (int r = 0; r < count; ++r) {
    const I32 correction = iset1(x.group_corrections[(sources[r] * x.padded_groups + g) * 2 + 1]);
    for (int v = 0; v < panel_vectors; ++v) sums[r][v] = correction;
  }
  dot_group<count, group, bits>(weights, residuals, 0, sums);
  for (int v = 0; v < panel_vectors; ++v) {
    const F32 scale = load(weight_scales + v * lanes) * set1(1.0f / residual_parts);
    for (int r = 0; r < count; ++r) {
      float* total = totals + rows[r] * panel_rows + v * lanes;
      const F32 row_scale = set1(x.scales[(sources[r] * x.padded_groups + g) * 2]);
      store(total, fma(to_f32(sums[r][v]), scale * row_scale, load(total)));
    }
  }
}

/// Adds what the rounding of refined groups left over: weights times residuals. Group after group, for the rows that
/// are refined there. `lists` [groups, rows of x] is scratch.
template <int group, int bits>
void refine_panel(const uint8_t* panel, const float* panel_scales, const ActivationsQ8& x, int64_t column,
                  int64_t groups, int32_t* lists, float* totals) {
  const int64_t first_group = column / group;
  int64_t counts[byte_columns / 16] = {};
  for (int64_t row = 0; row < x.rows; ++row) {
    const uint8_t* refined =
        x.refined + (x.order != nullptr ? x.order[row] : row) * (x.padded_groups / 8) + first_group / 8;
    for (int64_t eight = 0; eight < groups; eight += 8) {
      for (unsigned left = refined[eight / 8]; left != 0; left &= left - 1) {
        const int64_t g = eight + __builtin_ctz(left);
        lists[g * x.rows + counts[g]++] = static_cast<int32_t>(row);
      }
    }
  }
  for (int64_t g = 0; g < groups; ++g) {
    const uint8_t* weights = panel + g * group * panel_rows;
    const float* scales = panel_scales + g * 2 * panel_rows;
    for_each_tile(counts[g], [&]<int rows>(int64_t i) {
      refine_rows<rows, group, bits>(weights, scales, x, lists + g * x.rows + i, first_group + g, totals);
    });
  }
}

template <class Block, int group, int bits, bool has_offset>
void panel_of_blocks(const WeightRows& w, const ActivationsQ8& x, int64_t first, std::byte* scratch, float* totals) {
  uint8_t* panel = reinterpret_cast<uint8_t*>(scratch);
  float* panel_scales = reinterpret_cast<float*>(panel + panel_bytes);
  int32_t* lists = reinterpret_cast<int32_t*>(panel_scales + panel_scale_floats);
  for (int64_t column = 0; column < w.columns; column += byte_columns) {
    const int64_t columns = smaller(byte_columns, w.columns - column);
    prefetch_panel<Block>(w, first, column, columns);
    if (w.packed)
      build_panel<PackedRows<Block>, Block, group, bits>(w, first, column, columns, panel, panel_scales);
    else
      build_panel<MappedRows<Block>, Block, group, bits>(w, first, column, columns, panel, panel_scales);
    for_each_tile(x.rows, [&]<int rows>(int64_t t) {
      multiply_panel<rows, group, bits, has_offset>(panel, panel_scales, x, t, column, columns / group,
                                                    totals + t * panel_rows);
    });
    if constexpr (!as_i16<bits>)
      refine_panel<group, bits>(panel, panel_scales, x, column, columns / group, lists, totals);
  }
}

void panel_quantized(const WeightRows& w, const ActivationsQ8& x, int64_t first, std::byte* scratch, float* totals) {
  switch (w.type) {
    case DType::q4_0: return panel_of_blocks<BlockQ4_0, 32, 4, false>(w, x, first, scratch, totals);
    case DType::q4_1: return panel_of_blocks<BlockQ4_1, 32, 4, true>(w, x, first, scratch, totals);
    case DType::q8_0: return panel_of_blocks<BlockQ8_0, 32, 8, false>(w, x, first, scratch, totals);
    case DType::q4_k: return panel_of_blocks<BlockQ4_K, 32, 4, true>(w, x, first, scratch, totals);
    case DType::q5_k: return panel_of_blocks<BlockQ5_K, 32, 5, true>(w, x, first, scratch, totals);
    case DType::q6_k: return panel_of_blocks<BlockQ6_K, 16, 6, false>(w, x, first, scratch, totals);
    default: return;
  }
}

// ---- weights of 16 or 32 bits ----

template <int rows>
void multiply_float_panel(const float* panel, const RowPointers<const float, rows>& x, int64_t column, int64_t columns,
                          float* totals_of_rows) {
  F32 totals[rows][panel_vectors];
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < panel_vectors; ++v)
      totals[r][v] = column == 0 ? zero() : load(totals_of_rows + r * panel_rows + v * lanes);
  for (int64_t first = 0; first < columns; first += 64) {
    const int64_t last = smaller(columns, first + 64);
    F32 sums[rows][panel_vectors];
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < panel_vectors; ++v) sums[r][v] = zero();
    for (int64_t k = first; k < last; ++k) {
      F32 weights[panel_vectors];
      for (int v = 0; v < panel_vectors; ++v) weights[v] = load(panel + k * panel_rows + v * lanes);
      for (int r = 0; r < rows; ++r) {
        const F32 value = set1(x[r][column + k]);
        for (int v = 0; v < panel_vectors; ++v) sums[r][v] = fma(weights[v], value, sums[r][v]);
      }
    }
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < panel_vectors; ++v) totals[r][v] = totals[r][v] + sums[r][v];
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < panel_vectors; ++v) store(totals_of_rows + r * panel_rows + v * lanes, totals[r][v]);
}

void panel_float(const WeightRows& w, const float* x, const int32_t* order, int64_t x_rows, int64_t first,
                 std::byte* scratch, float* totals) {
  constexpr int64_t stride = float_columns + spare_columns;
  float* unpacked = reinterpret_cast<float*>(scratch);
  float* panel = unpacked + lanes * stride;
  const int64_t rows = smaller(panel_rows, w.rows - first);
  for (int64_t column = 0; column < w.columns; column += float_columns) {
    const int64_t columns = smaller(float_columns, w.columns - column);
    for (int64_t vector = 0; vector < panel_vectors; ++vector) {
      for (int64_t lane = 0; lane < lanes; ++lane)
        copy_floats(w, first + smaller(vector * lanes + lane, rows - 1), column, columns, unpacked + lane * stride);
      for (int64_t i = 0; i < columns; i += lanes)
        transpose_words(reinterpret_cast<const uint8_t*>(unpacked + i), stride * 4,
                        reinterpret_cast<uint8_t*>(panel + i * panel_rows + vector * lanes), panel_rows * 4);
    }
    for_each_tile(x_rows, [&]<int tile_rows>(int64_t t) {
      multiply_float_panel<tile_rows>(panel, RowPointers<const float, tile_rows>(x, w.columns, order, t), column,
                                      columns, totals + t * panel_rows);
    });
  }
}

int64_t panel_scratch_bytes(int64_t x_rows) {
  const int64_t bytes = panel_bytes + panel_scale_floats * 4 + byte_columns / 16 * x_rows * 4;
  const int64_t floats = (lanes + panel_rows) * (float_columns + spare_columns) * 4;
  return ((bytes > floats ? bytes : floats) + 63) / 64 * 64;
}

}  // namespace
}  // namespace lectern::kernels::cpu

// Products of few rows (decode) of one instruction path: each weight row is unpacked in registers, 32 values at a time,
// and met by every row of x; lanes run along k. Four sums take turns, so that no addition waits for the one before.
// Rows of x are independent of each other: a row's bits are those of that row alone. Unpacking costs less than the
// memory needs to bring the weights, if nothing passes through memory a second time: a form that unpacked into the L1
// cache first read Q4_K at 20 GB/s with two threads where the memory gives 35.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/paths/unpack.h"

namespace lectern::kernels::cpu {
namespace {

constexpr int matvec_tile = 2;               // rows of x that meet a weight row together
constexpr int matvec_sums = 4;               // a multiple of 32-value groups in turn
constexpr int64_t prefetch_distance = 4096;  // bytes
constexpr int64_t run_bytes = 16384;
constexpr int64_t most_rows = 8;  // as in kernels/matvec.h
constexpr int64_t chunk_values = 1024;

/// One row of x.
struct MatvecRow {
  const int16_t* words;  // null: bytes
  const int8_t* values;
  const int8_t* residuals;
  const float* scales;         // {scale, scaled sum} of each 32 values
  const int32_t* corrections;  // of each 4 values
  const uint8_t* refined;      // a bit for each 32 values

  MatvecRow() = default;
  MatvecRow(const ActivationsQ8& x, int64_t t) {
    const int64_t row = x.order != nullptr ? x.order[t] : t;
    scales = x.scales + row * x.padded_groups * 2;
    words = nullptr;
    values = residuals = nullptr;
    corrections = nullptr;
    if (x.words != nullptr) {
      words = x.words + row * x.padded_columns;
    } else {
      values = x.values + row * x.padded_columns;
      residuals = x.residuals + row * x.padded_columns;
      corrections = x.lane_corrections + row * x.padded_columns / 4;
    }
    refined = x.refined + row * x.padded_groups / 8;
  }
};

/// Sums of one output element.
struct MatvecSum {
  F32x8 products[matvec_sums];
  F32x8 offsets;  // odd lanes: offset * sum; even lanes hold nothing of use
};

/// The products of 32 weights and group `group` of x, four to a lane. `checks`: the group may be refined.
template <int zero_point, bool checks>
inline F32x8 dot_group_of(U8x32 weights, const MatvecRow& x, int64_t group) {
  I32x8 dot = dot4_of_8(zero_point == 0 ? izero8() : iload8(x.corrections + group * 8), weights,
                              load_bytes(x.values + group * 32));
  if (checks && (x.refined[group / 8] >> group % 8 & 1)) {
    const U8x32 parts = load_bytes(x.residuals + group * 32);
    dot = shift_left8<7>(dot);
    if (zero_point != 0) dot = iadd8(dot, imultiply8(dot4_of_8(izero8(), bytes(1), parts), iset8(-zero_point)));
    return to_f32x8(dot4_of_8(dot, weights, parts)) * set8(1.0f / residual_parts);
  }
  return to_f32x8(dot);
}

/// A block of 32 values with scale d and, if has_offset, offset m, which follow each other as halves.
template <bool checks, int zero_point, bool has_offset, class Block, int rows>
inline void dot_small_block(const Block& block, const MatvecRow (&x)[rows], int64_t at, int turn,
                            MatvecSum (&sums)[rows]) {
  const U8x32 weights = unpacked_bytes(block);
  const F32x8 pair = scale_pair(block);  // lanes 0 and 1: d, m
  for (int r = 0; r < rows; ++r) {
    const F32x8 product = pair * load_pair(x[r].scales + 2 * at);
    if (has_offset) sums[r].offsets = sums[r].offsets + product;
    sums[r].products[turn] = fma8(dot_group_of<zero_point, checks>(weights, x[r], at), broadcast_first(product),
                                  sums[r].products[turn]);
  }
}

/// A Q4_K or Q5_K block: `weights[g]` are its eight groups.
template <bool checks, class Block, int rows>
inline void dot_k_block(const Block& block, const MatvecRow (&x)[rows], int64_t at, MatvecSum (&sums)[rows]) {
  F32x8 scales[2];
  unpack_k_pairs(block.scales, half_to_f32(block.d), half_to_f32(block.dmin), scales);
  F32x8 products[rows][2];
  for (int r = 0; r < rows; ++r) {
    for (int half = 0; half < 2; ++half) {
      products[r][half] = scales[half] * load8(x[r].scales + 2 * at + 8 * half);
      sums[r].offsets = sums[r].offsets + products[r][half];
    }
  }
  for_groups<8>([&]<int g>() {
    const U8x32 weights = group_bytes<g>(block);
    for (int r = 0; r < rows; ++r)
      sums[r].products[g % matvec_sums] =
          fma8(dot_group_of<0, checks>(weights, x[r], at + g), broadcast_lane<2 * (g % 4)>(products[r][g / 4]),
               sums[r].products[g % matvec_sums]);
  });
}

template <bool checks, int rows>
inline void dot_q6_block(const BlockQ6_K& block, const MatvecRow (&x)[rows], int64_t at, MatvecSum (&sums)[rows]) {
  const F32x8 d = set8(half_to_f32(block.d));
  F32x8 products[rows][2];
  for (int half = 0; half < 2; ++half) {
    const F32x8 scales = d * to_f32x8(load8_i8(block.scales + 8 * half));
    for (int r = 0; r < rows; ++r)
      products[r][half] = scales * even_lanes_twice(load8(x[r].scales + 2 * at + 8 * half));
  }
  for_groups<8>([&]<int g>() {
    const U8x32 weights = group_bytes<g>(block);
    for (int r = 0; r < rows; ++r)
      sums[r].products[g % matvec_sums] =
          fma8(dot_group_of<32, checks>(weights, x[r], at + g), broadcast_two<2 * (g % 4)>(products[r][g / 4]),
               sums[r].products[g % matvec_sums]);
  });
}

// Eight groups of 32 values, or the `count` groups that a row ends with: one K-quant block or eight small ones.

template <bool checks, int rows>
inline void dot_eight(const BlockQ4_K* block, int64_t at, int64_t, const MatvecRow (&x)[rows],
                      MatvecSum (&sums)[rows]) {
  dot_k_block<checks>(*block, x, at, sums);
}
template <bool checks, int rows>
inline void dot_eight(const BlockQ5_K* block, int64_t at, int64_t, const MatvecRow (&x)[rows],
                      MatvecSum (&sums)[rows]) {
  dot_k_block<checks>(*block, x, at, sums);
}
template <bool checks, int rows>
inline void dot_eight(const BlockQ6_K* block, int64_t at, int64_t, const MatvecRow (&x)[rows],
                      MatvecSum (&sums)[rows]) {
  dot_q6_block<checks>(*block, x, at, sums);
}
template <bool checks, int rows>
inline void dot_small(const BlockQ4_0& block, int64_t at, int turn, const MatvecRow (&x)[rows],
                      MatvecSum (&sums)[rows]) {
  dot_small_block<checks, 8, false>(block, x, at, turn, sums);
}
template <bool checks, int rows>
inline void dot_small(const BlockQ4_1& block, int64_t at, int turn, const MatvecRow (&x)[rows],
                      MatvecSum (&sums)[rows]) {
  dot_small_block<checks, 0, true>(block, x, at, turn, sums);
}
template <bool checks, int rows>
inline void dot_small(const BlockQ8_0& block, int64_t at, int turn, const MatvecRow (&x)[rows],
                      MatvecSum (&sums)[rows]) {
  const F32x8 pair = scale_pair(block);
  for (int r = 0; r < rows; ++r)
    sums[r].products[turn] = fma8(to_f32x8(dot_words_of_8(block.q, x[r].words + at * 32)),
                                  broadcast_first(pair * load_pair(x[r].scales + 2 * at)), sums[r].products[turn]);
}
template <bool checks, class Block, int rows>
inline void dot_eight(const Block* blocks, int64_t at, int64_t count, const MatvecRow (&x)[rows],
                      MatvecSum (&sums)[rows]) {
  if (count == 8) {
    for_groups<8>([&]<int g>() { dot_small<checks>(blocks[g], at + g, g % matvec_sums, x, sums); });
    return;
  }
  for (int g = 0; g < count; ++g) dot_small<checks>(blocks[g], at + g, g % matvec_sums, x, sums);
}

template <class Block, int rows>
inline void matvec_row(const Block* blocks, int64_t columns, const MatvecRow (&in)[rows], int64_t out_stride,
                       float* out) {
  MatvecSum sums[rows];
  for (MatvecSum& sum_of_row : sums) {
    for (F32x8& part : sum_of_row.products) part = set8(0.0f);
    sum_of_row.offsets = set8(0.0f);
  }
  const int64_t groups = columns / 32;
  for (int64_t g = 0; g < groups; g += 8) {
    const Block* at = blocks + g * 32 / Block::values;
    const int64_t count = smaller(8, groups - g);
    // Rows follow each other in memory. The processor's own prefetching ends with each page of 4 KiB.
    for (int64_t i = 0; i < 256 / Block::values * static_cast<int64_t>(sizeof(Block)); i += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(at) + prefetch_distance + i, 0, 3);
    if (__builtin_expect((in[0].refined[g / 8] | in[rows - 1].refined[g / 8]) != 0, 0))
      dot_eight<true>(at, g, count, in, sums);
    else
      dot_eight<false>(at, g, count, in, sums);
  }
  for (int r = 0; r < rows; ++r) {
    const MatvecSum& s = sums[r];
    const F32x8 products = (s.products[0] + s.products[1]) + (s.products[2] + s.products[3]);
    out[r * out_stride] = sum8(products + odd_lanes8(s.offsets));
  }
}

template <class Block, int rows>
void matvec_rows_of(const WeightRows& w, const ActivationsQ8& x, int64_t t, int64_t first, int64_t last, float* out) {
  MatvecRow in[rows];
  for (int r = 0; r < rows; ++r) in[r] = MatvecRow(x, t + r);
  for (int64_t row = first; row < last; ++row)
    matvec_row(reinterpret_cast<const Block*>(w.data + row * w.row_bytes), w.columns, in, w.rows,
               out + t * w.rows + row);
}

/// Runs of weight rows that stay in the L1 cache while all rows of x meet them.
template <class Block>
void matvec_blocks(const WeightRows& w, const ActivationsQ8& x, int64_t first, int64_t last, float* out) {
  const int64_t run = x.rows <= matvec_tile ? last - first : 1 + run_bytes / w.row_bytes;
  for (int64_t row = first; row < last; row += run) {
    const int64_t end = smaller(row + run, last);
    int64_t t = 0;
    for (; t + matvec_tile <= x.rows; t += matvec_tile) matvec_rows_of<Block, matvec_tile>(w, x, t, row, end, out);
    if (t < x.rows) matvec_rows_of<Block, 1>(w, x, t, row, end, out);
  }
}

void matvec_quantized(const WeightRows& w, const ActivationsQ8& x, int64_t first, int64_t last, float* out) {
  switch (w.type) {
    case DType::q4_0: return matvec_blocks<BlockQ4_0>(w, x, first, last, out);
    case DType::q4_1: return matvec_blocks<BlockQ4_1>(w, x, first, last, out);
    case DType::q8_0: return matvec_blocks<BlockQ8_0>(w, x, first, last, out);
    case DType::q4_k: return matvec_blocks<BlockQ4_K>(w, x, first, last, out);
    case DType::q5_k: return matvec_blocks<BlockQ5_K>(w, x, first, last, out);
    case DType::q6_k: return matvec_blocks<BlockQ6_K>(w, x, first, last, out);
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

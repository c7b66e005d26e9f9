// Matrix products of one instruction path.
//
// matmul: `lanes` weight rows form a panel; it is unpacked once, interleaved so that one vector holds the same k (four
// k for bytes) of all its rows, and then meets every row of x, a few at a time: one vector load of weights serves
// `tile` rows of x, whose values are broadcast from memory. An output element is one lane with its own chain of
// additions over k, so its bits depend neither on the tile nor on the number of rows. matvec: each weight row is
// unpacked by chunks that stay in the L1 cache, and lanes run along k. Unpacking costs about as much as the products,
// so weights of 4 bits still arrive near memory speed; rows of x are independent of each other. Sums of integers are
// exact. Sums of f32 products are formed over runs of 64 values and then added up.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/paths/unpack.h"

namespace lectern::kernels::cpu {
namespace {

constexpr int64_t chunk_values = 1024;
constexpr int tile = lanes == 16 ? 8 : 4;

// ---- matmul, quantized weights ----

template <class Block, int group>
void build_panel(const WeightRows& w, int64_t first, int64_t rows, uint8_t* panel, float* panel_scales) {
  constexpr int64_t groups_per_block = Block::values / group;
  const int64_t blocks = w.columns / Block::values;
  for (int64_t row = 0; row < lanes; ++row) {
    // Rows past the end repeat the last one; their results are not stored.
    const int64_t source = first + smaller(row, rows - 1);
    const Block* block = reinterpret_cast<const Block*>(w.data + source * w.row_bytes);
    for (int64_t b = 0; b < blocks; ++b) {
      alignas(64) uint8_t bytes[Block::values];
      float scales[2 * groups_per_block];
      unpack(block[b], bytes, scales);
      uint8_t* to = panel + (b * Block::values / 4 * lanes + row) * 4;
      for (int64_t i = 0; i < Block::values / 4; ++i) __builtin_memcpy(to + i * lanes * 4, bytes + 4 * i, 4);
      for (int64_t g = 0; g < groups_per_block; ++g) {
        float* scale = panel_scales + (b * groups_per_block + g) * 2 * lanes + row;
        scale[0] = scales[2 * g];
        scale[lanes] = scales[2 * g + 1];
      }
    }
  }
}

inline I32 in_parts(I32 x) {
  return imultiply(x, iset1(residual_parts));
}

/// sums[r] += one group of panel weights times the same group of row r of x.
template <int rows, int group, bool wide>
inline void dot_group(const uint8_t* weights, const int8_t* values, int64_t row_stride, I32 (&sums)[rows]) {
  for (int i = 0; i < group / 4; ++i) {
    const I32 panel_bytes = iload(weights + i * lanes * 4);
    for (int r = 0; r < rows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, values + r * row_stride + 4 * i, 4);
      sums[r] = dot4<wide>(sums[r], panel_bytes, iset1(four));
    }
  }
}

template <int rows, int group, bool wide, bool has_offset>
void multiply_panel(const uint8_t* panel, const float* panel_scales, const ActivationsQ8& x, int64_t first_row,
                    int64_t groups, int64_t count, int64_t out_stride, float* out) {
  const int64_t scale_stride = x.padded_groups;
  const int8_t* values = x.values + first_row * x.padded_columns;
  const int8_t* residuals = x.residuals + first_row * x.padded_columns;
  const float* scales = x.scales + first_row * scale_stride * 2;
  const int32_t* corrections = x.group_corrections + first_row * scale_stride * 2;
  const uint8_t* refined = x.refined + first_row * (scale_stride / 8);
  uint8_t refined_groups = 0;  // of any row, eight groups from a multiple of eight
  F32 totals[rows];
  for (int r = 0; r < rows; ++r) totals[r] = zero();
  for (int64_t g = 0; g < groups; ++g) {
    if (g % 8 == 0) {
      refined_groups = 0;
      for (int r = 0; r < rows; ++r)
        refined_groups = static_cast<uint8_t>(refined_groups | refined[r * (scale_stride / 8) + g / 8]);
    }
    const uint8_t* weights = panel + g * group * lanes;
    I32 sums[rows];
    for (int r = 0; r < rows; ++r) sums[r] = has_offset ? izero() : iset1(corrections[(r * scale_stride + g) * 2]);
    dot_group<rows, group, wide>(weights, values + g * group, x.padded_columns, sums);
    F32 scale = load(panel_scales + g * 2 * lanes);
    if (refined_groups >> g % 8 & 1) {
      I32 parts[rows];
      for (int r = 0; r < rows; ++r)
        parts[r] = has_offset ? izero() : iset1(corrections[(r * scale_stride + g) * 2 + 1]);
      dot_group<rows, group, wide>(weights, residuals + g * group, x.padded_columns, parts);
      for (int r = 0; r < rows; ++r) sums[r] = iadd(in_parts(sums[r]), parts[r]);
      scale = scale * set1(1.0f / residual_parts);
    }
    const F32 offset = load(panel_scales + g * 2 * lanes + lanes);
    for (int r = 0; r < rows; ++r) {
      const float* pair = scales + (r * scale_stride + g) * 2;
      totals[r] = fma(to_f32(sums[r]), scale * set1(pair[0]), totals[r]);
      if (has_offset) totals[r] = fma(offset, set1(pair[1]), totals[r]);
    }
  }
  for (int r = 0; r < rows; ++r) store_upto(out + r * out_stride, totals[r], count);
}

template <class Block, int group, bool wide, bool has_offset>
void matmul_blocks(const WeightRows& w, const ActivationsQ8& x, int64_t first, int64_t last, std::byte* scratch,
                   float* out) {
  uint8_t* panel = reinterpret_cast<uint8_t*>(scratch);
  float* panel_scales = reinterpret_cast<float*>(scratch + w.columns * lanes);
  const int64_t groups = w.columns / group;
  for (int64_t row = first; row < last; row += lanes) {
    const int64_t count = smaller(lanes, last - row);
    build_panel<Block, group>(w, row, count, panel, panel_scales);
    int64_t t = 0;
    for (; t + tile <= x.rows; t += tile)
      multiply_panel<tile, group, wide, has_offset>(panel, panel_scales, x, t, groups, count, w.rows,
                                                    out + t * w.rows + row);
    if (t + tile / 2 <= x.rows) {
      multiply_panel<tile / 2, group, wide, has_offset>(panel, panel_scales, x, t, groups, count, w.rows,
                                                        out + t * w.rows + row);
      t += tile / 2;
    }
    for (; t < x.rows; ++t)
      multiply_panel<1, group, wide, has_offset>(panel, panel_scales, x, t, groups, count, w.rows,
                                                 out + t * w.rows + row);
  }
}

void matmul_quantized(const WeightRows& w, const ActivationsQ8& x, int64_t first, int64_t last, std::byte* scratch,
                      float* out) {
  switch (w.type) {
    case DType::q4_0: return matmul_blocks<BlockQ4_0, 32, false, false>(w, x, first, last, scratch, out);
    case DType::q4_1: return matmul_blocks<BlockQ4_1, 32, false, true>(w, x, first, last, scratch, out);
    case DType::q8_0: return matmul_blocks<BlockQ8_0, 32, true, false>(w, x, first, last, scratch, out);
    case DType::q4_k: return matmul_blocks<BlockQ4_K, 32, false, true>(w, x, first, last, scratch, out);
    case DType::q5_k: return matmul_blocks<BlockQ5_K, 32, false, true>(w, x, first, last, scratch, out);
    case DType::q6_k: return matmul_blocks<BlockQ6_K, 16, false, false>(w, x, first, last, scratch, out);
    default: return;
  }
}

// ---- matvec, quantized weights ----

/// The scale of each lane of vector `v` of a chunk, from products [groups][2].
template <int group>
inline F32 spread(const float* products, int64_t v) {
#if defined(__AVX512F__)
  if constexpr (group == 32) {
    const __m512i which = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
    return _mm512_permutexvar_ps(which, _mm512_castps128_ps512(_mm_loadu_ps(products + 4 * v)));
  } else {
    const __m512i which = _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6);
    return _mm512_permutexvar_ps(which, _mm512_castps256_ps512(_mm256_loadu_ps(products + 8 * v)));
  }
#elif defined(__AVX2__)
  if constexpr (group == 32) {
    return set1(products[2 * v]);
  } else {
    const __m256i which = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2);
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(products + 4 * v)), which);
  }
#else
  return set1(products[2 * (v * 16 / group)]);
#endif
}

struct RowSum {
  F32 products;
  F32 offsets;  // odd lanes: offset * sum; even lanes hold nothing of use
};

/// One chunk of a weight row, unpacked. Starts as zeros; what a shorter chunk leaves behind meets zeros of the
/// activations.
template <int group>
struct UnpackedChunk {
  alignas(64) uint8_t bytes[chunk_values] = {};
  alignas(64) float scales[chunk_values / group * 2] = {};
};

template <int group, bool wide, bool has_offset>
inline void dot_chunk(const UnpackedChunk<group>& chunk, const ActivationsQ8& x, int64_t row, int64_t column,
                      RowSum& sums) {
  constexpr int groups_per_vector = 4 * lanes < group ? 1 : 4 * lanes / group;
  const int64_t values_padded = smaller(chunk_values, x.padded_columns - column);
  const int64_t groups_padded = smaller(chunk_values / group, x.padded_groups - column / group);
  const int8_t* values = x.values + row * x.padded_columns + column;
  const int8_t* residuals = x.residuals + row * x.padded_columns + column;
  const float* scales = x.scales + (row * x.padded_groups + column / group) * 2;
  const int32_t* corrections = x.lane_corrections + (row * x.padded_columns + column) / 4;
  const uint8_t* refined = x.refined + (row * x.padded_groups + column / group) / 8;
  alignas(64) float products[chunk_values / group * 2];
  F32 offsets = sums.offsets;
  for (int64_t i = 0; i < groups_padded * 2; i += lanes) {
    const F32 product = load(chunk.scales + i) * load(scales + i);
    store(products + i, product);
    if (has_offset) offsets = offsets + product;
  }
  sums.offsets = offsets;
  F32 total = sums.products;
  for (int64_t v = 0; v < values_padded / (4 * lanes); ++v) {
    const I32 start = has_offset ? izero() : iload(corrections + v * lanes);
    const I32 weights = iload(chunk.bytes + v * 4 * lanes);
    I32 dot = dot4<wide>(start, weights, iload(values + v * 4 * lanes));
    F32 scale = spread<group>(products, v);
    const int64_t first_group = v * 4 * lanes / group;
    if (refined[first_group / 8] >> first_group % 8 & ((1 << groups_per_vector) - 1)) {
      const I32 parts = iload(residuals + v * 4 * lanes);
      I32 correction = izero();
      if (!has_offset) correction = imultiply(dot4<false>(izero(), iset1(0x01010101), parts), iset1(-x.zero_point));
      dot = iadd(in_parts(dot), dot4<wide>(correction, weights, parts));
      scale = scale * set1(1.0f / residual_parts);
    }
    total = fma(to_f32(dot), scale, total);
  }
  sums.products = total;
}

/// The next chunk is unpacked before the present one is multiplied: a vector load that follows the narrow stores it
/// reads would have to wait for them.
template <class Block, int group, bool wide, bool has_offset>
void matvec_blocks(const WeightRows& w, const ActivationsQ8& x, int64_t first, int64_t last, float* out) {
  constexpr int64_t pairs_per_block = Block::values / group * 2;
  UnpackedChunk<group> chunks[2];
  int parity = 0;
  const auto unpack_chunk = [&](int64_t row, int64_t column, int into) {
    const Block* block = reinterpret_cast<const Block*>(w.data + row * w.row_bytes) + column / Block::values;
    const int64_t blocks = smaller(chunk_values, w.columns - column) / Block::values;
    for (int64_t b = 0; b < blocks; ++b)
      unpack(block[b], chunks[into].bytes + b * Block::values, chunks[into].scales + b * pairs_per_block);
  };
  unpack_chunk(first, 0, 0);
  for (int64_t row = first; row < last; ++row) {
    RowSum sums[matvec_rows];
    for (int64_t t = 0; t < x.rows; ++t) sums[t] = {zero(), zero()};
    for (int64_t column = 0; column < w.columns; column += chunk_values) {
      if (column + chunk_values < w.columns)
        unpack_chunk(row, column + chunk_values, 1 - parity);
      else if (row + 1 < last)
        unpack_chunk(row + 1, 0, 1 - parity);
      for (int64_t t = 0; t < x.rows; ++t) dot_chunk<group, wide, has_offset>(chunks[parity], x, t, column, sums[t]);
      parity = 1 - parity;
    }
    for (int64_t t = 0; t < x.rows; ++t)
      out[t * w.rows + row] = sum(has_offset ? sums[t].products + odd_lanes(sums[t].offsets) : sums[t].products);
  }
}

void matvec_quantized(const WeightRows& w, const ActivationsQ8& x, int64_t first, int64_t last, std::byte*,
                      float* out) {
  switch (w.type) {
    case DType::q4_0: return matvec_blocks<BlockQ4_0, 32, false, false>(w, x, first, last, out);
    case DType::q4_1: return matvec_blocks<BlockQ4_1, 32, false, true>(w, x, first, last, out);
    case DType::q8_0: return matvec_blocks<BlockQ8_0, 32, true, false>(w, x, first, last, out);
    case DType::q4_k: return matvec_blocks<BlockQ4_K, 32, false, true>(w, x, first, last, out);
    case DType::q5_k: return matvec_blocks<BlockQ5_K, 32, false, true>(w, x, first, last, out);
    case DType::q6_k: return matvec_blocks<BlockQ6_K, 16, false, false>(w, x, first, last, out);
    default: return;
  }
}

// ---- weights of 16 or 32 bits ----

/// Values [column, column + n) of a weight row as f32: the row itself, or a converted copy in `copy`.
inline const float* float_values(const WeightRows& w, int64_t row, int64_t column, int64_t n, float* copy) {
  const std::byte* data = w.data + row * w.row_bytes;
  if (w.type == DType::f32) return reinterpret_cast<const float*>(data) + column;
  const uint16_t* from = reinterpret_cast<const uint16_t*>(data) + column;
  int64_t i = 0;
  if (w.type == DType::bf16) {
    for (; i + lanes <= n; i += lanes) store(copy + i, load_bf16(from + i));
    for (; i < n; ++i) copy[i] = bf16_to_f32(from[i]);
  } else {
    for (; i + lanes <= n; i += lanes) store(copy + i, load_half(from + i));
    for (; i < n; ++i) copy[i] = half_to_f32(from[i]);
  }
  return copy;
}

template <int rows>
void multiply_float_panel(const float* panel, const float* x, int64_t columns, int64_t count, int64_t out_stride,
                          float* out) {
  F32 totals[rows];
  for (int r = 0; r < rows; ++r) totals[r] = zero();
  for (int64_t first = 0; first < columns; first += 64) {
    const int64_t last = smaller(columns, first + 64);
    F32 sums[rows];
    for (int r = 0; r < rows; ++r) sums[r] = zero();
    for (int64_t k = first; k < last; ++k) {
      const F32 weights = load(panel + k * lanes);
      for (int r = 0; r < rows; ++r) sums[r] = fma(weights, set1(x[r * columns + k]), sums[r]);
    }
    for (int r = 0; r < rows; ++r) totals[r] = totals[r] + sums[r];
  }
  for (int r = 0; r < rows; ++r) store_upto(out + r * out_stride, totals[r], count);
}

void matmul_float(const WeightRows& w, const float* x, int64_t rows, int64_t first, int64_t last, std::byte* scratch,
                  float* out) {
  float* panel = reinterpret_cast<float*>(scratch);
  alignas(64) float copy[chunk_values];
  for (int64_t row = first; row < last; row += lanes) {
    const int64_t count = smaller(lanes, last - row);
    for (int64_t lane = 0; lane < lanes; ++lane) {
      for (int64_t column = 0; column < w.columns; column += chunk_values) {
        const int64_t n = smaller(chunk_values, w.columns - column);
        const float* values = float_values(w, row + smaller(lane, count - 1), column, n, copy);
        for (int64_t i = 0; i < n; ++i) panel[(column + i) * lanes + lane] = values[i];
      }
    }
    int64_t t = 0;
    for (; t + tile <= rows; t += tile)
      multiply_float_panel<tile>(panel, x + t * w.columns, w.columns, count, w.rows, out + t * w.rows + row);
    if (t + tile / 2 <= rows) {
      multiply_float_panel<tile / 2>(panel, x + t * w.columns, w.columns, count, w.rows, out + t * w.rows + row);
      t += tile / 2;
    }
    for (; t < rows; ++t)
      multiply_float_panel<1>(panel, x + t * w.columns, w.columns, count, w.rows, out + t * w.rows + row);
  }
}

void matvec_float(const WeightRows& w, const float* x, int64_t rows, int64_t first, int64_t last, std::byte*,
                  float* out) {
  alignas(64) float copy[chunk_values];
  for (int64_t row = first; row < last; ++row) {
    F32 sums[matvec_rows][4];
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

int64_t matmul_scratch_bytes(const WeightRows& w) {
  if (w.type < DType::q4_0) return w.columns * lanes * 4;
  const int64_t group = w.type == DType::q6_k ? 16 : 32;
  return w.columns * lanes + w.columns / group * 2 * lanes * 4;
}

}  // namespace
}  // namespace lectern::kernels::cpu

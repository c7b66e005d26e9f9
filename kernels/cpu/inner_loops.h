// The inner loops of the CPU operations: one table of functions per instruction path, chosen at run time. An operation
// (kernels/cpu/<op>.cpp) splits its work over threads and calls these; they are compiled once per path from
// kernels/cpu/paths. Plain pointers and no inline functions: see simd.h.
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace lectern::kernels::cpu {

/// Rows of a weight matrix [rows, columns] of any type. Packed ones (packed_rows.h) begin and end with a pack.
struct WeightRows {
  const std::byte* data;
  DType type;
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t row_bytes;
  bool packed;
};

/// Activations rounded to 8 bits, or to 15 where a group is refined (activations_q8.h): x = scale * (value + residual /
/// 128). For weights of 8 bits, where the path multiplies 16-bit numbers, all are rounded to 15 bits: x = scale *
/// value_i16. Rows are filled up with zeros, so that loops run over whole vectors.
struct ActivationsQ8 {
  std::int64_t rows;                // T
  const std::int32_t* order;        // [T]: row t of a product is row order[t] of these, null: row t
  std::int64_t padded_columns;      // Kp: columns rounded up to a multiple of 64
  std::int64_t padded_groups;       // Gp: columns / group rounded up to a multiple of 8
  std::int64_t group;               // values that share a scale of the weights: 32, Q6_K 16
  std::int32_t zero_point;          // of the weights: their bytes are stored as value + zero_point
  std::int16_t* values_i16;         // [T, Kp] if rounded to 16 bits, and then only scales and refined (none) beside
  std::int8_t* values;              // [T, Kp]
  std::int8_t* residuals;           // [T, Kp]: -64..64, zeros in groups that are not refined
  std::uint8_t* refined;            // [T, Gp / 8]: bit g % 8 of byte g / 8: group g has residuals
  float* scales;                    // [T, Gp, 2]: scale, scale * sum of the group's values and residuals / 128
  std::int32_t* group_corrections;  // [T, Gp, 2]: -zero_point * sum of the group's values, and of its residuals
};

/// A residual is so many parts of a value. A power of two: results do not depend on whether residuals of zero were
/// added.
inline constexpr int residual_parts = 128;

struct KvView {
  std::byte* const* strips;
  bool is_bf16;
  std::int64_t heads;
  std::int64_t head_dim;
};

struct AttentionArguments {
  const float* q;  // [T, Hq, D]
  float* out;
  std::int64_t query_heads;
  KvView kv;
  std::int64_t first_slot;
  float scale;
};

struct DeltaRuleArguments {
  const float *q, *k, *v, *g, *beta;
  float* state;
  float* out;
  std::int64_t tokens, key_heads, value_heads, key_dim, value_dim;
  bool tiled_heads;
  const std::int64_t* snapshot_offsets;
  float* const* snapshots;
  std::int64_t snapshot_count;
};

struct ConvolutionArguments {
  const float* x;  // [T, C]
  const float* w;  // [C, K]
  float* state;    // [K-1, C]
  float* out;
  std::int64_t tokens, channels, width;
  const std::int64_t* snapshot_offsets;
  float* const* snapshots;
  std::int64_t snapshot_count;
};

struct InnerLoops {
  /// Weight rows that panel_* compute together.
  std::int64_t panel_rows;
  /// panel_quantized takes 16-bit activations for weights of 8 bits.
  bool panel_i16;

  // One row of n values.
  void (*rms_norm_row)(const float* x, const float* w, float eps, std::int64_t n, float* out);
  void (*gated_rms_norm_row)(const float* o, const float* z, const float* w, float eps, std::int64_t n, float* out);
  void (*l2_norm_row)(const float* x, float eps, float scale, std::int64_t n, float* out);
  void (*softmax_row)(const float* x, std::int64_t n, float* out);
  // n values.
  void (*add)(const float* a, const float* b, std::int64_t n, float* out);
  void (*silu_multiply)(const float* gate, const float* up, std::int64_t n, float* out);
  void (*sigmoid_multiply)(const float* x, const float* gate, std::int64_t n, float* out);
  void (*add_scaled)(const float* x, float scale, std::int64_t n, float* out);  // out += scale * x
  void (*to_bf16)(const float* x, std::int64_t n, std::uint16_t* out);
  /// One head of `pairs` pairs; adjacent: pairs (2i, 2i + 1), else (i, i + pairs).
  void (*rotate)(float* x, const float* cosines, const float* sines, std::int64_t pairs, bool adjacent);

  /// Rounds row `row` of x [T, K] into `out`.
  void (*quantize_row)(const float* x, std::int64_t columns, std::int64_t row, const ActivationsQ8& out);
  /// Bytes of `scratch` for panels that meet x_rows rows; a multiple of 64.
  std::int64_t (*panel_scratch_bytes)(std::int64_t x_rows);
  /// totals[t, i] = x_t · w_(first + i) for all t and i < panel_rows; totals [T, panel_rows], what lies past the last
  /// row of w is of no use.
  void (*panel_quantized)(const WeightRows& w, const ActivationsQ8& x, std::int64_t first, std::byte* scratch,
                          float* totals);
  void (*panel_float)(const WeightRows& w, const float* x, const std::int32_t* order, std::int64_t x_rows,
                      std::int64_t first, std::byte* scratch, float* totals);
  /// out[t, first..last) for all t, in the arithmetic of matvec: few rows. out [T, w.rows].
  void (*matvec_quantized)(const WeightRows& w, const ActivationsQ8& x, std::int64_t first, std::int64_t last,
                           float* out);
  void (*matvec_float)(const WeightRows& w, const float* x, std::int64_t rows, std::int64_t first, std::int64_t last,
                       float* out);

  /// Floats of `scratch` for attention_rows.
  std::int64_t (*attention_rows_scratch)(std::int64_t head_dim, std::int64_t rows);
  /// Tokens [first, last) of all query heads that read KV head `kv_head`.
  void (*attention_rows)(const AttentionArguments& a, std::int64_t kv_head, std::int64_t first, std::int64_t last,
                         float* scratch);
  /// One token over slots [0, slots) of one strip: for each query head of the group an unnormalised partial result
  /// {maximum, sum of exponentials, weighted values [D]}, `partial_stride` floats apart.
  void (*attention_strip)(const AttentionArguments& a, std::int64_t kv_head, std::int64_t page, std::int64_t slots,
                          float* scratch, float* partials, std::int64_t partial_stride);
  /// Merges `count` partial results in order into out [D].
  void (*attention_merge)(const float* partials, std::int64_t count, std::int64_t stride, std::int64_t head_dim,
                          float* out);

  /// Columns [first, last) of the value dimension of one value head.
  void (*delta_rule_columns)(const DeltaRuleArguments& a, std::int64_t head, std::int64_t first, std::int64_t last);
  void (*convolve_channels)(const ConvolutionArguments& a, std::int64_t first, std::int64_t last);

  /// For machine_limits: `rounds` dependent steps; returns the multiply-adds done.
  double (*multiply_peak_f32)(std::int64_t rounds, float* sink);
  double (*multiply_peak_i8)(std::int64_t rounds, std::int32_t* sink);
  float (*read_stream)(const float* x, std::int64_t n);
};

/// Slots per tile of attention_rows.
inline constexpr std::int64_t attention_tile = 64;

const InnerLoops& generic_loops();
#if defined(LECTERN_X86_PATHS)
const InnerLoops& avx2_loops();
const InnerLoops& avx512_loops();
const InnerLoops& avx512_vnni_loops();
#endif

}  // namespace lectern::kernels::cpu

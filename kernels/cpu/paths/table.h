// The table of one instruction path, and the loops that measure what the path can do at most. Each file of this folder
// differs from the others in its compiler flags alone (kernels/CMakeLists.txt).
#pragma once

#include "kernels/cpu/paths/attention_loops.h"
#include "kernels/cpu/paths/matvec_loops.h"
#include "kernels/cpu/paths/panel_loops.h"
#include "kernels/cpu/paths/recurrent_loops.h"
#include "kernels/cpu/paths/row_loops.h"

namespace lectern::kernels::cpu {
namespace {

constexpr int chains = lanes == 4 ? 8 : 12;  // independent sums: enough to fill two units of latency 4 to 5

double multiply_peak_f32(int64_t rounds, float* sink) {
  F32 sums[chains];
  for (int i = 0; i < chains; ++i) sums[i] = set1(static_cast<float>(i));
  const F32 a = load_first(sink, 1) + set1(0.999f), b = set1(1e-3f);
  for (int64_t round = 0; round < rounds; ++round)
    for (int i = 0; i < chains; ++i) sums[i] = fma(sums[i], a, b);
  F32 total = zero();
  for (int i = 0; i < chains; ++i) total = total + sums[i];
  *sink = sum(total);
  return static_cast<double>(rounds) * chains * lanes;
}

/// Products of 4-bit weights, the fastest form that a path has (byte_sums.h).
double multiply_peak_i8(int64_t rounds, int32_t* sink) {
  constexpr int steps = 8, bits = 4;
  I32 sums[chains];
  for (int i = 0; i < chains; ++i) sums[i] = iset1(i);
  I32 a = iset1(*sink & 0x03030303), b = iset1(0x01010101);
  for (int64_t round = 0; round < rounds; ++round)
    for (int i = 0; i < chains; ++i) {
      ByteSums<bits, steps> parts;
      for_groups<steps>([&]<int step>() LECTERN_INLINE {
        a = kept_apart(a);  // else one product would serve all steps
        parts.template add<step>(a, b, sums[i]);
      });
    }
  I32 total = izero();
  for (int i = 0; i < chains; ++i) total = iadd(total, sums[i]);
  int32_t parts[lanes];
  istore(parts, total);
  *sink = parts[0];
  return static_cast<double>(rounds) * chains * steps * lanes * 4;
}

float read_stream(const float* x, int64_t n) {
  F32 s[4] = {zero(), zero(), zero(), zero()};
  for (int64_t i = 0; i + 4 * lanes <= n; i += 4 * lanes)
    for (int part = 0; part < 4; ++part) s[part] = max(s[part], load(x + i + part * lanes));
  return maximum(max(max(s[0], s[1]), max(s[2], s[3])));
}

constexpr InnerLoops table() {
  return {panel_rows,
          sums_pairs,
          rms_norm_row,
          gated_rms_norm_row,
          l2_norm_row,
          softmax_row,
          add,
          silu_multiply,
          sigmoid_multiply,
          add_scaled,
          to_bf16,
          rotate,
          quantize_row,
          panel_scratch_bytes,
          panel_quantized,
          panel_float,
          matvec_quantized,
          matvec_float,
          attention_rows_scratch,
          attention_rows,
          attention_strip,
          attention_merge,
          delta_rule_columns,
          convolve_channels,
          multiply_peak_f32,
          multiply_peak_i8,
          read_stream};
}

}  // namespace
}  // namespace lectern::kernels::cpu

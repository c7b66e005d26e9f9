// Norms, element-wise loops, rotary pairs and conversions of one instruction path.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/simd.h"

namespace lectern::kernels::cpu {
namespace {

float sum_of_squares(const float* x, int64_t n) {
  F32 s0 = zero(), s1 = zero();
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const F32 a = load(x + i), b = load(x + i + lanes);
    s0 = fma(a, a, s0);
    s1 = fma(b, b, s1);
  }
  for (; i < n; i += lanes) {
    const F32 a = load_upto(x + i, smaller(lanes, n - i));
    s0 = fma(a, a, s0);
  }
  return sum(s0 + s1);
}

void rms_norm_row(const float* x, const float* w, float eps, int64_t n, float* out) {
  const F32 factor = set1(1.0f / __builtin_sqrtf(sum_of_squares(x, n) / static_cast<float>(n) + eps));
  for_each_vector(n, [&](int64_t i, int64_t count) {
    store_upto(out + i, load_upto(x + i, count) * factor * load_upto(w + i, count), count);
  });
}

void gated_rms_norm_row(const float* o, const float* z, const float* w, float eps, int64_t n, float* out) {
  const F32 factor = set1(1.0f / __builtin_sqrtf(sum_of_squares(o, n) / static_cast<float>(n) + eps));
  for_each_vector(n, [&](int64_t i, int64_t count) {
    const F32 y = load_upto(o + i, count) * factor * load_upto(w + i, count);
    store_upto(out + i, y * silu(load_upto(z + i, count)), count);
  });
}

void l2_norm_row(const float* x, float eps, float scale, int64_t n, float* out) {
  const F32 factor = set1(scale / __builtin_sqrtf(sum_of_squares(x, n) + eps));
  for_each_vector(n, [&](int64_t i, int64_t count) { store_upto(out + i, load_upto(x + i, count) * factor, count); });
}

void softmax_row(const float* x, int64_t n, float* out) {
  float largest = -__builtin_inff();
  for (int64_t i = 0; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  for_each_vector(
      n, [&](int64_t i, int64_t count) { store_upto(out + i, exp(load_upto(x + i, count) - set1(largest)), count); });
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += static_cast<double>(out[i]);
  const F32 factor = set1(static_cast<float>(1.0 / total));
  for_each_vector(n, [&](int64_t i, int64_t count) { store_upto(out + i, load_upto(out + i, count) * factor, count); });
}

void add(const float* a, const float* b, int64_t n, float* out) {
  for_each_vector(n, [&](int64_t i, int64_t count) {
    store_upto(out + i, load_upto(a + i, count) + load_upto(b + i, count), count);
  });
}

void silu_multiply(const float* gate, const float* up, int64_t n, float* out) {
  for_each_vector(n, [&](int64_t i, int64_t count) {
    store_upto(out + i, silu(load_upto(gate + i, count)) * load_upto(up + i, count), count);
  });
}

void sigmoid_multiply(const float* x, const float* gate, int64_t n, float* out) {
  for_each_vector(n, [&](int64_t i, int64_t count) {
    store_upto(out + i, load_upto(x + i, count) * sigmoid(load_upto(gate + i, count)), count);
  });
}

void add_scaled(const float* x, float scale, int64_t n, float* out) {
  const F32 factor = set1(scale);
  for_each_vector(n, [&](int64_t i, int64_t count) {
    store_upto(out + i, fma(load_upto(x + i, count), factor, load_upto(out + i, count)), count);
  });
}

void to_bf16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = f32_to_bf16(x[i]);
}

void rotate(float* x, const float* cosines, const float* sines, int64_t pairs, bool adjacent) {
  if (adjacent) {
    for (int64_t i = 0; i < pairs; ++i) {
      const float a = x[2 * i], b = x[2 * i + 1];
      x[2 * i] = a * cosines[i] - b * sines[i];
      x[2 * i + 1] = a * sines[i] + b * cosines[i];
    }
    return;
  }
  for_each_vector(pairs, [&](int64_t i, int64_t count) {
    const F32 a = load_upto(x + i, count), b = load_upto(x + pairs + i, count);
    const F32 c = load_upto(cosines + i, count), s = load_upto(sines + i, count);
    store_upto(x + i, a * c - b * s, count);
    store_upto(x + pairs + i, a * s + b * c, count);
  });
}

/// A block whose largest value is more than this many times the mean of its row is refined.
constexpr float standing_out = 8.0f;

/// The sums of each four of 64 values.
inline void sum_fours(const int8_t* values, int32_t* sums) {
  for (int i = 0; i < 16; i += lanes) istore(sums + i, dot4(izero(), iset1(0x01010101), iload(values + 4 * i)));
}

/// The mean size of a row, times `standing_out`.
inline float size_that_stands_out(const float* x, int64_t columns) {
  F32 size = zero();
  for (int64_t i = 0; i < columns; i += lanes) size = size + absolute(load(x + i));
  return sum(size) * (standing_out / static_cast<float>(columns));
}

/// 32 values: their largest size and, divided by a 127th of it, their rounded quotients and, if the largest is above
/// `limit`, what is left over, in 128ths.
struct RoundedBlock {
  float largest;
  I32 values[32 / lanes], residuals[32 / lanes];
};
inline void round_block(const float* x, float limit, RoundedBlock& out) {
  F32 v[32 / lanes], largest_lanes = zero();
  for (int i = 0; i < 32 / lanes; ++i) {
    v[i] = load(x + i * lanes);
    largest_lanes = max(largest_lanes, absolute(v[i]));
  }
  out.largest = maximum(largest_lanes);
  // Below this all is zero; the bound also keeps 127 / largest finite.
  const F32 inverse = set1(out.largest > 1e-30f ? 127.0f / out.largest : 0.0f);
  for (int i = 0; i < 32 / lanes; ++i) out.values[i] = round_to_i32(v[i] * inverse);
  for (int i = 0; i < 32 / lanes; ++i)
    out.residuals[i] = out.largest > limit
                           ? round_to_i32(fma(v[i], inverse, zero() - to_f32(out.values[i])) * set1(residual_parts))
                           : izero();
}

void quantize_row_i16(const float* x, int64_t columns, int64_t row, const ActivationsQ8& out) {
  int16_t* values = out.values_i16 + row * out.padded_columns;
  float* scales = out.scales + row * out.padded_groups * 2;
  __builtin_memset(out.refined + row * (out.padded_groups / 8), 0, static_cast<size_t>(out.padded_groups / 8));
  for (int64_t block = 0; block < columns / 32; ++block) {
    RoundedBlock rounded;
    round_block(x + block * 32, -1.0f, rounded);
    for (int i = 0; i < 32 / lanes; ++i)
      rounded.values[i] = iadd(shift_left_7(rounded.values[i]), rounded.residuals[i]);
    store_as_i16(values + block * 32, rounded.values);
    scales[2 * block] = rounded.largest / (127.0f * residual_parts);
    scales[2 * block + 1] = 0;
  }
  __builtin_memset(values + columns, 0, static_cast<size_t>(out.padded_columns - columns) * 2);
  __builtin_memset(scales + columns / 16, 0, static_cast<size_t>(out.padded_groups - columns / 32) * 8);
}

/// Rounds in blocks of 32: scale = largest / 127, value = round(x * (127 / largest)), ties to even; in a refined block
/// residual = round(128 * (x * (127 / largest) - value)). A scale serves one or two groups of the weights.
void quantize_row(const float* x, int64_t columns, int64_t row, const ActivationsQ8& out) {
  if (out.values_i16 != nullptr) return quantize_row_i16(x, columns, row, out);
  const int64_t padded = out.padded_columns, groups = out.padded_groups, groups_per_block = 32 / out.group;
  int8_t* values = out.values + row * padded;
  int8_t* residuals = out.residuals + row * padded;
  uint8_t* refined = out.refined + row * (groups / 8);
  float* scales = out.scales + row * groups * 2;
  int32_t* group_corrections = out.group_corrections + row * groups * 2;
  __builtin_memset(refined, 0, static_cast<size_t>(groups / 8));

  const float limit = size_that_stands_out(x, columns);
  for (int64_t block = 0; block < columns / 32; ++block) {
    RoundedBlock rounded;
    round_block(x + block * 32, limit, rounded);
    store_as_i8(values + block * 32, rounded.values);
    if (rounded.largest > limit)
      for (int64_t group = block * groups_per_block; group < (block + 1) * groups_per_block; ++group)
        refined[group / 8] = static_cast<uint8_t>(refined[group / 8] | 1u << group % 8);
    store_as_i8(residuals + block * 32, rounded.residuals);
    for (int64_t part = 0; part < groups_per_block; ++part)
      scales[2 * (block * groups_per_block + part)] = rounded.largest / 127.0f;
  }
  const int64_t filled = columns / out.group;
  __builtin_memset(values + columns, 0, static_cast<size_t>(padded - columns));
  __builtin_memset(residuals + columns, 0, static_cast<size_t>(padded - columns));
  __builtin_memset(scales + filled * 2, 0, static_cast<size_t>(groups - filled) * 8);
  __builtin_memset(group_corrections + filled * 2, 0, static_cast<size_t>(groups - filled) * 8);

  for (int64_t column = 0; column < padded; column += 64) {
    int32_t value_sums[16], residual_sums[16];
    sum_fours(values + column, value_sums);
    sum_fours(residuals + column, residual_sums);
    const int64_t fours = out.group / 4;
    for (int64_t part = 0; part < 16 / fours; ++part) {
      int32_t value_sum = 0, residual_sum = 0;
      for (int64_t i = part * fours; i < (part + 1) * fours; ++i) {
        value_sum += value_sums[i];
        residual_sum += residual_sums[i];
      }
      const int64_t group = column / out.group + part;
      const float parts = static_cast<float>(value_sum * residual_parts + residual_sum);
      scales[2 * group + 1] = scales[2 * group] * (parts * (1.0f / residual_parts));
      group_corrections[2 * group] = -out.zero_point * value_sum;
      group_corrections[2 * group + 1] = -out.zero_point * residual_sum;
    }
  }
}

}  // namespace
}  // namespace lectern::kernels::cpu

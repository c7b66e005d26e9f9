// Activations rounded to 8 bits in blocks of 32 values for products with quantized weights, on the device: by all
// threads of a block into shared memory (or into global memory for several kernels), then a part of weights at a time.
//
// x = scale * (128 q + r), q = round(x * 127 / largest), scale = largest / 127 / 128 with the block's largest |x|. r is
// what the rounding left over, in parts of 1/128; it counts where the block stands out (largest > 8 * mean |x| of the
// row: the "massive activations" of some channels would drown the other 31 values) and for weights of 8 bits, as in
// cpu/activations_q8.h. All that depends on the row alone.
//
// Memory of a row of K columns, padded to 128: K bytes q, K bytes r, K / 32 float4 {scale, sum of x over values 0 to
// 15, over 16 to 31, 1 if refined}. Sixteen bytes (a chunk) of every other 128 are in reverse order (swizzled_chunk),
// so that eight lanes that read the chunks of their parts, which stand 16, 32 or 64 bytes apart, meet no bank twice.
#pragma once

#include <type_traits>

#include "kernels/cuda/dequantize.cuh"

namespace lectern::kernels::cuda {

__host__ __device__ __forceinline__ constexpr std::int64_t q8_padded_columns(std::int64_t columns) {
  return (columns + 127) / 128 * 128;
}
/// Bytes of one rounded row; a multiple of 16.
__host__ __device__ __forceinline__ constexpr std::int64_t q8_row_bytes(std::int64_t columns) {
  return q8_padded_columns(columns) * 5 / 2;
}
__device__ __forceinline__ int swizzled_chunk(int chunk) {
  return chunk ^ (chunk & 8 ? 7 : 0);
}

/// One rounded row in shared or global memory, aligned to 16 bytes.
struct RowQ8 {
  const unsigned char* memory;
  int padded_columns;

  __device__ __forceinline__ uint4 values(int chunk) const {
    return *reinterpret_cast<const uint4*>(memory + 16 * swizzled_chunk(chunk));
  }
  __device__ __forceinline__ uint4 residuals(int chunk) const {
    return *reinterpret_cast<const uint4*>(memory + padded_columns + 16 * swizzled_chunk(chunk));
  }
  __device__ __forceinline__ float4 factors(int block) const {
    return *reinterpret_cast<const float4*>(memory + 2 * padded_columns + 16 * block);
  }
};

namespace detail {

__device__ __forceinline__ int dot_16(const std::uint32_t* weights, const uint4& x) {
  int sum = __dp4a(static_cast<int>(weights[0]), static_cast<int>(x.x), 0);
  sum = __dp4a(static_cast<int>(weights[1]), static_cast<int>(x.y), sum);
  sum = __dp4a(static_cast<int>(weights[2]), static_cast<int>(x.z), sum);
  return __dp4a(static_cast<int>(weights[3]), static_cast<int>(x.w), sum);
}

}  // namespace detail

/// sums[r] += the product of part `part` of weight row r (interleaved: BlockFormat<Block>::unpack) with the same
/// columns of x, which are read once. The order of additions and their roundings are fixed here by explicit operations:
/// a row of weights gets the same bits in every kernel, whatever ROWS.
template <class Block, int ROWS>
__device__ __forceinline__ void add_products(float (&sums)[ROWS], const WeightPart (&weights)[ROWS], const RowQ8& x,
                                             int part) {
  using Format = BlockFormat<Block>;
  constexpr bool always_refined = std::is_same_v<Block, BlockQ8_0>;
  const int first = Format::first_column(part);
#pragma unroll
  for (int run = 0; run < 2; ++run) {
    const int column = first + run * Format::run_distance;
    const float4 factors = x.factors(column / 32);
    const uint4 values = x.values(column / 16);
    int totals[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) totals[r] = 128 * detail::dot_16(weights[r].words + 4 * run, values);
    // Outside refined blocks r counts as 0; most lanes skip it.
    if (always_refined || factors.w != 0.0f) {
      const uint4 residuals = x.residuals(column / 16);
#pragma unroll
      for (int r = 0; r < ROWS; ++r) totals[r] += detail::dot_16(weights[r].words + 4 * run, residuals);
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      sums[r] = __fmaf_rn(__fmul_rn(weights[r].scale[run], factors.x), static_cast<float>(totals[r]), sums[r]);
      if constexpr (Format::has_offset)
        sums[r] = __fmaf_rn(weights[r].offset[run], column % 32 == 0 ? factors.y : factors.z, sums[r]);
    }
  }
}
/// The same of one row: sum + product.
template <class Block>
__device__ __forceinline__ float add_product(float sum, const WeightPart& weights, const RowQ8& x, int part) {
  float sums[1] = {sum};
  const WeightPart one[1] = {weights};
  add_products<Block>(sums, one, x, part);
  return sums[0];
}

namespace detail {

/// A warp rounds blocks first to first + 3 of a row (those that there are) whose values' sizes add up to `size`.
__device__ __forceinline__ void round_four_blocks(const float* x, int columns, float size, int first,
                                                  unsigned char* memory) {
  const int lane = static_cast<int>(threadIdx.x % 32), padded = static_cast<int>(q8_padded_columns(columns));
  const float limit = __fmul_rn(8.0f, size / static_cast<float>(columns));
  const bool finite = size <= 3.4e38f;  // false for NaN
  // Eight lanes a block of 32, four values a lane.
  const int block = first + lane / 8, blocks = columns / 32, column = 32 * block + 4 * (lane % 8);
  gpu::Vector<float, 4> run = {};
  if (block < blocks) run = gpu::Vector<float, 4>::load(x + column);
  float largest = 0.0f;
#pragma unroll
  for (int i = 0; i < 4; ++i) largest = fmaxf(largest, fabsf(run.values[i]));
  largest = gpu::warp_max<8>(largest);
  const float inverse = largest > 1e-30f ? __fdiv_rn(127.0f, largest) : 0.0f;
  const bool refined = largest > limit;
  std::uint32_t values = 0, residuals = 0;
  int sum = 0;  // of what the values are rounded to, residuals only where they count
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float scaled = __fmul_rn(run.values[i], inverse);
    const int value = __float2int_rn(scaled);
    const int residual = __float2int_rn(__fmul_rn(__fsub_rn(scaled, static_cast<float>(value)), 128.0f));
    values |= (static_cast<std::uint32_t>(value) & 0xFFu) << 8 * i;
    residuals |= (static_cast<std::uint32_t>(residual) & 0xFFu) << 8 * i;
    sum += 128 * value + (refined ? residual : 0);
  }
  sum = gpu::warp_sum<4>(sum);
  if (block >= blocks) return;
  const int place = 16 * swizzled_chunk(column / 16) + column % 16;
  *reinterpret_cast<std::uint32_t*>(memory + place) = values;
  *reinterpret_cast<std::uint32_t*>(memory + padded + place) = residuals;
  const float scale = finite ? __fdiv_rn(largest, 127.0f * 128.0f) : __int_as_float(0x7FC00000);
  float* factors = reinterpret_cast<float*>(memory + 2 * padded + 16 * block);
  const float scaled_sum = __fmul_rn(scale, static_cast<float>(sum));
  if (lane % 8 == 0) {
    factors[0] = scale;
    factors[1] = scaled_sum;
    factors[3] = refined ? 1.0f : 0.0f;
  } else if (lane % 8 == 4) {
    factors[2] = scaled_sum;
  }
}

}  // namespace detail

/// Rounds `rows` rows of x [rows, columns] (f32, aligned to 16 bytes, columns a multiple of 32) into `rounded`, one
/// q8_row_bytes behind the other. All threads of a block of 32 * WARPS call it; `part` is shared memory; ends with a
/// barrier. The bits of a row do not depend on `rows`; they depend on WARPS only where a block's largest value is
/// within a rounding of standing out. A row with a value that is not finite becomes NaN.
template <int WARPS, int MAX_ROWS>
__device__ __forceinline__ void round_rows(const float* x, std::int64_t x_stride, int rows, int columns,
                                           unsigned char* rounded, float (&part)[MAX_ROWS][WARPS]) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  for (int row = 0; row < rows; ++row) {
    float size = 0.0f;
    for (int column = 4 * thread; column < columns; column += 128 * WARPS) {
      const auto run = gpu::Vector<float, 4>::load(x + row * x_stride + column);
      size += (fabsf(run.values[0]) + fabsf(run.values[1])) + (fabsf(run.values[2]) + fabsf(run.values[3]));
    }
    size = gpu::warp_sum(size);
    if (lane == 0) part[row][warp] = size;
  }
  __syncthreads();

  for (int row = 0; row < rows; ++row) {
    float size = 0.0f;
#pragma unroll
    for (int i = 0; i < WARPS; ++i) size += part[row][i];
    for (int four = 4 * warp; four < columns / 32; four += 4 * WARPS)
      detail::round_four_blocks(x + row * x_stride, columns, size, four, rounded + row * q8_row_bytes(columns));
  }
  __syncthreads();
}

/// The same of many rows at once, whatever the number of warps: a warp adds up the sizes of a row's values, so the bits
/// depend on the row alone. `sizes` is shared memory of `rows` values.
__device__ __forceinline__ void round_rows_by_warps(const float* x, int rows, int columns, unsigned char* rounded,
                                                    float* sizes) {
  const int warp = static_cast<int>(threadIdx.x / 32), warps = static_cast<int>(blockDim.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int row = warp; row < rows; row += warps) {
    float size = 0.0f;
    for (int column = 4 * lane; column < columns; column += 128) {
      const auto run = gpu::Vector<float, 4>::load(x + static_cast<std::int64_t>(row) * columns + column);
      size += (fabsf(run.values[0]) + fabsf(run.values[1])) + (fabsf(run.values[2]) + fabsf(run.values[3]));
    }
    size = gpu::warp_sum(size);
    if (lane == 0) sizes[row] = size;
  }
  __syncthreads();
  const int fours = (columns / 32 + 3) / 4;
  for (int item = warp; item < rows * fours; item += warps) {
    const int row = item / fours;
    detail::round_four_blocks(x + static_cast<std::int64_t>(row) * columns, columns, sizes[row], item % fours * 4,
                              rounded + row * q8_row_bytes(columns));
  }
  __syncthreads();
}

}  // namespace lectern::kernels::cuda

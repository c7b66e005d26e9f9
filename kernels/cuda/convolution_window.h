// The sliding window of a depthwise convolution over time, as a thread holds it in registers. For kernels.
#pragma once

#include "kernels/cuda/gpu.h"

namespace lectern::kernels::cuda {

/// RUN neighbouring channels of a convolution over up to WIDTH rows. A narrower one has weights 0 for the oldest rows,
/// which are never read. The sum runs from the oldest row to the newest: one chain, wherever a pass was cut.
template <int WIDTH, int RUN>
struct ConvolutionWindow {
  using Row = gpu::Vector<float, RUN>;
  Row rows[WIDTH];     // the newest last
  Row weights[WIDTH];  // [tap]

  /// w: [RUN, width] of these channels; aligned to 16 bytes where RUN is 4.
  __device__ __forceinline__ void load_weights(const float* w, int width) {
    if constexpr (WIDTH == 4 && RUN == 4) {
      if (width == WIDTH) {  // the models' width: four loads, not sixteen
#pragma unroll
        for (int i = 0; i < RUN; ++i) {
          const auto taps = gpu::Vector<float, WIDTH>::load(w + i * WIDTH);
#pragma unroll
          for (int tap = 0; tap < WIDTH; ++tap) weights[tap].values[i] = taps.values[tap];
        }
        return;
      }
    }
#pragma unroll
    for (int tap = 0; tap < WIDTH; ++tap) {
      const int column = tap - (WIDTH - width);
#pragma unroll
      for (int i = 0; i < RUN; ++i) weights[tap].values[i] = column < 0 ? 0.0f : w[i * width + column];
    }
  }
  /// row(age) gives the row `age` tokens before the next one, 1 to width - 1.
  template <class ReadRow>
  __device__ __forceinline__ void load_history(int width, ReadRow row) {
#pragma unroll
    for (int age = WIDTH - 1; age >= 1; --age)
      if (age < width) {
        rows[WIDTH - age] = row(age);
      } else {
#pragma unroll
        for (int i = 0; i < RUN; ++i) rows[WIDTH - age].values[i] = 0.0f;
      }
  }
  /// Moves on by a token and gives silu of its sums.
  __device__ __forceinline__ Row step(const Row& now) {
#pragma unroll
    for (int tap = 0; tap + 1 < WIDTH; ++tap) rows[tap] = rows[tap + 1];
    rows[WIDTH - 1] = now;
    Row result;
#pragma unroll
    for (int i = 0; i < RUN; ++i) {
      float sum = 0.0f;
#pragma unroll
      for (int tap = 0; tap < WIDTH; ++tap) sum = fmaf(weights[tap].values[i], rows[tap].values[i], sum);
      result.values[i] = gpu::silu(sum);
    }
    return result;
  }
  /// write(age, row) for the rows that the next token needs: age 1 is the newest.
  template <class WriteRow>
  __device__ __forceinline__ void keep_history(int width, WriteRow write) const {
#pragma unroll
    for (int age = WIDTH - 1; age >= 1; --age)
      if (age < width) write(age, rows[WIDTH - age]);
  }
};

}  // namespace lectern::kernels::cuda

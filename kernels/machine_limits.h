// What this machine can do at most, measured: the figures a benchmark is compared with.
#pragma once

#include "kernels/device.h"

namespace lectern::kernels {

/// All threads of the stream read one buffer larger than the caches. Takes about 0.2 s.
double measure_read_gigabytes_per_s(Stream& stream);

struct MultiplyPeak {
  double f32_gflop_per_s = 0;  // fused multiply-adds on f32, two operations each
  double i8_gop_per_s = 0;     // multiply-adds on 8-bit integers, two operations each
};
/// All threads run the instructions of the stream's path from registers. Takes about 0.2 s.
MultiplyPeak measure_multiply_peak(Stream& stream);

}  // namespace lectern::kernels

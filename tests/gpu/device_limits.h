// What the device can do at most, measured in the same run as what is compared with it.
#pragma once

#include <string>

#include "kernels/cuda/queue.h"

namespace lectern::gpu_tests {

/// Bytes read and written a second by a copy from device memory to device memory of `size_bytes`, the median of five.
double measure_copy_bytes_per_s(kernels::cuda::Queue& queue, std::int64_t size_bytes);

/// FLOPs a second of cuBLAS's product of two square bf16 matrices of random values, sums in f32, the median of five; 0
/// where the library is not found. It is loaded while the program runs: LECTERN_CUBLAS names its file, else the loader
/// looks for it.
double measure_matrix_flops_per_s(kernels::cuda::Queue& queue, std::int64_t size);

/// "driver 13.0, runtime 13.0": the releases of CUDA that the driver supports and the program was built with.
std::string cuda_versions();

}  // namespace lectern::gpu_tests

// CUDA's error codes as exceptions.
#pragma once

#include <cuda_runtime_api.h>

namespace lectern::kernels::cuda {

/// Throws Error{out_of_memory} or Error{device} "CUDA: operation: what the driver says" unless `error` is cudaSuccess.
void check(cudaError_t error, const char* operation);

}  // namespace lectern::kernels::cuda

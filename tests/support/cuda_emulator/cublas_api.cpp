// The functions of cuBLAS that the engine uses, with the prototypes of its header: products in double, rounded once.
#include <cublas_v2.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <utility>

#include "device_memory.h"
#include "streams.h"

using emu::runtime;

struct cublasContext {
  cudaStream_t stream = nullptr;
  bool has_workspace = false;
};

namespace {

struct Matrix {
  const void* data;
  cudaDataType type;
  std::int64_t row_step, column_step;
  double operator()(std::int64_t row, std::int64_t column) const {
    const std::int64_t at = row * row_step + column * column_step;
    if (type == CUDA_R_32F) return static_cast<double>(static_cast<const float*>(data)[at]);
    if (type == CUDA_R_16F) return static_cast<double>(__half2float(static_cast<const __half*>(data)[at]));
    return static_cast<double>(__bfloat162float(static_cast<const __nv_bfloat16*>(data)[at]));
  }
};

bool is_input(cudaDataType type) {
  return type == CUDA_R_16BF || type == CUDA_R_16F || type == CUDA_R_32F;
}
bool is_device_memory(const void* address, std::int64_t values, cudaDataType type) {
  const std::int64_t bytes = values * (type == CUDA_R_32F ? 4 : 2);
  return emu::memory().contains(address, static_cast<std::size_t>(bytes), emu::MemoryKind::device);
}
/// Matrix of op(A) [rows, columns] that stands by columns `step` apart.
Matrix matrix(const void* data, cudaDataType type, cublasOperation_t operation, int step) {
  if (operation == CUBLAS_OP_N) return {data, type, 1, step};
  return {data, type, step, 1};
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  if (runtime().fault() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  handle->has_workspace = false;  // as the library does: the workspace goes back to its own
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t size) {
  if (!emu::memory().contains(workspace, size, emu::MemoryKind::device)) return CUBLAS_STATUS_INVALID_VALUE;
  handle->has_workspace = true;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_INVALID_VALUE ? "an argument is invalid" : "failed (emulated)";
}

/// c [m, n] = alpha op(a) op(b) + beta c, by columns. Works in f32 alone (CUBLAS_COMPUTE_32F). Without a workspace of
/// the caller's the library may allocate and choose anew, so that is refused.
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t a_operation, cublasOperation_t b_operation, int m,
                            int n, int k, const void* alpha, const void* a, cudaDataType a_type, int a_step,
                            const void* b, cudaDataType b_type, int b_step, const void* beta, void* c,
                            cudaDataType c_type, int c_step, cublasComputeType_t compute, cublasGemmAlgo_t) {
  const auto fits = [](const void* data, cudaDataType type, cublasOperation_t operation, int rows, int columns,
                       int step) {
    if (operation != CUBLAS_OP_N) std::swap(rows, columns);
    return step >= rows && is_device_memory(data, std::int64_t{step} * (columns - 1) + rows, type);
  };
  if (!handle->has_workspace || m < 1 || n < 1 || k < 1 || !is_input(a_type) || a_type != b_type ||
      c_type != CUDA_R_32F || compute != CUBLAS_COMPUTE_32F || !fits(a, a_type, a_operation, m, k, a_step) ||
      !fits(b, b_type, b_operation, k, n, b_step) || !fits(c, c_type, CUBLAS_OP_N, m, n, c_step))
    return CUBLAS_STATUS_INVALID_VALUE;
  const auto left = matrix(a, a_type, a_operation, a_step), right = matrix(b, b_type, b_operation, b_step);
  const auto factor = static_cast<double>(*static_cast<const float*>(alpha)),
             kept = static_cast<double>(*static_cast<const float*>(beta));
  auto* out = static_cast<float*>(c);
  const auto multiply = [=] {
    for (std::int64_t column = 0; column < n; ++column)
      for (std::int64_t row = 0; row < m; ++row) {
        double sum = 0;
        for (std::int64_t i = 0; i < k; ++i) sum += left(row, i) * right(i, column);
        float& element = out[row + column * c_step];
        // With beta 0 the library does not read c.
        element = static_cast<float>(factor * sum + (kept != 0 ? kept * static_cast<double>(element) : 0));
      }
  };
  return runtime().add(handle->stream, {"cublasGemmEx", multiply, nullptr, nullptr}, cudaGraphNodeTypeKernel) ==
                 cudaSuccess
             ? CUBLAS_STATUS_SUCCESS
             : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // extern "C"

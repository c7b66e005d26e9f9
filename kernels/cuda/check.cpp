#include "kernels/cuda/check.h"

#include <string>

#include "kernels/error.h"

namespace lectern::kernels::cuda {

void check(cudaError_t error, const char* operation) {
  if (error == cudaSuccess) return;
  const std::string message = std::string("CUDA: ") + operation + ": " + cudaGetErrorString(error);
  cudaGetLastError();  // it has been told: the next call does not return it again, unless the device is lost
  throw Error(error == cudaErrorMemoryAllocation ? ErrorKind::out_of_memory : ErrorKind::device, message);
}

}  // namespace lectern::kernels::cuda

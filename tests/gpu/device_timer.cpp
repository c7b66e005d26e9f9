#include "tests/gpu/device_timer.h"

#include <cuda_runtime_api.h>

#include "kernels/cuda/check.h"

namespace lectern::gpu_tests {

using kernels::cuda::check;

DeviceTimer::DeviceTimer(kernels::cuda::Queue& queue) : queue_(queue) {
  check(cudaEventCreate(&begin_), "make an event");
  check(cudaEventCreate(&end_), "make an event");
}

DeviceTimer::~DeviceTimer() {
  if (begin_) cudaEventDestroy(begin_);
  if (end_) cudaEventDestroy(end_);
}

void DeviceTimer::start() {
  check(cudaEventRecord(begin_, queue_.stream()), "record an event");
}

double DeviceTimer::stop_seconds() {
  check(cudaEventRecord(end_, queue_.stream()), "record an event");
  check(cudaEventSynchronize(end_), "wait for an event");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin_, end_), "time between events");
  return static_cast<double>(milliseconds) * 1e-3;
}

}  // namespace lectern::gpu_tests

// Time that a queue's work takes on the device.
#pragma once

#include "kernels/cuda/queue.h"

struct CUevent_st;

namespace lectern::gpu_tests {

/// Two events around what is put into a queue between start() and stop().
class DeviceTimer {
 public:
  explicit DeviceTimer(kernels::cuda::Queue& queue);
  ~DeviceTimer();
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;

  void start();
  /// Waits for the work and returns its time.
  double stop_seconds();

 private:
  kernels::cuda::Queue& queue_;
  CUevent_st* begin_ = nullptr;
  CUevent_st* end_ = nullptr;
};

}  // namespace lectern::gpu_tests

// Where CUDA operations run: one stream of one device, its memory for intermediate results, and graphs of its work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/device_buffer.h"

struct CUstream_st;
struct CUgraphExec_st;

namespace lectern::kernels::cuda {

struct DeviceProperties {
  std::string name;
  int multiprocessors = 0;
  int compute_major = 0, compute_minor = 0;
  std::int64_t shared_bytes_per_block = 0;  // of dynamic shared memory that a kernel may ask for
  std::int64_t memory_bytes = 0;
  std::int64_t level2_bytes = 0;
  bool computes_at_least(int major, int minor) const {
    return compute_major > major || (compute_major == major && compute_minor >= minor);
  }
};

/// True if there is a driver and a device that this build's kernels run on (compute capability 8.0 and up).
bool has_device();

/// A recorded sequence of operations that can be run again with one launch. What changes between runs is device memory
/// that the operations read.
class Graph {
 public:
  Graph() = default;
  ~Graph();
  Graph(Graph&& other) noexcept;
  Graph& operator=(Graph&& other) noexcept;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  explicit operator bool() const { return exec_ != nullptr; }
  /// Kernels, copies and fills: what a launch costs grows with them.
  std::int64_t nodes() const { return nodes_; }

 private:
  friend class Queue;
  Graph(CUgraphExec_st* exec, std::int64_t nodes) : exec_(exec), nodes_(nodes) {}
  CUgraphExec_st* exec_ = nullptr;
  std::int64_t nodes_ = 0;
};

/// An ordered queue of operations on one device. Operations are put in and return; synchronize() waits for them.
/// Not thread-safe: one queue belongs to one thread at a time.
class Queue {
 public:
  /// Throws Error{device} if the device cannot be used.
  explicit Queue(int device = 0);
  /// Waits for its work.
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  CUstream_st* stream() const { return stream_; }
  const DeviceProperties& device() const { return properties_; }

  /// Waits for all work put in so far. Throws Error{device} for whatever failed on the device since.
  void synchronize();

  /// Device memory for intermediate results, aligned to 256 bytes, contents undefined: valid for the work that the
  /// calling operation puts in, until the next call of workspace(). It grows as asked, except while a graph is
  /// recorded (Error{bad_request}): run the work once before, or reserve. Growing waits for the queue; memory that a
  /// recorded graph may use is kept.
  std::byte* workspace(std::int64_t size_bytes);
  void reserve_workspace(std::int64_t size_bytes);
  std::int64_t workspace_bytes() const { return workspace_.size_bytes(); }

  /// `ticket_count` counters in device memory that are 0 between operations: who counts them up sets them back.
  std::int32_t* tickets() const { return reinterpret_cast<std::int32_t*>(tickets_.data()); }
  static constexpr std::int64_t ticket_count = 4096;

  /// Records what `work` puts into this queue, without running it. `work` may neither allocate nor synchronize.
  Graph capture(const std::function<void()>& work);
  bool is_capturing() const { return capturing_; }
  void launch(const Graph& graph);

 private:
  DeviceProperties properties_;
  CUstream_st* stream_ = nullptr;
  DeviceBuffer workspace_;
  std::vector<DeviceBuffer> outgrown_;  // workspaces that recorded graphs may use
  DeviceBuffer tickets_;
  bool capturing_ = false, has_captured_ = false;
};

}  // namespace lectern::kernels::cuda

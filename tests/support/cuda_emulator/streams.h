// Streams, events and graphs: queues of work that runs only when something waits for it.
#pragma once

#include <cuda_runtime.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "machine.h"

namespace emu {

/// One recording of an event.
struct Recording {
  bool done = false;
  double time_ms = 0;
};

struct Work {
  std::string name;
  std::function<void()> run;
  std::shared_ptr<Recording> after;      // waits until it is done
  std::shared_ptr<Recording> reaches;    // marks it done
  std::shared_ptr<Grid> grid = nullptr;  // of a kernel
};

struct GraphNode {
  Work work;
  cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
  std::vector<std::size_t> after;
};

/// A stream that records, and those that have joined it through events.
struct Capture {
  std::vector<GraphNode> nodes;
  CUstream_st* origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  bool invalid = false;
};

/// The device's state as the host sees it.
class Runtime {
 public:
  /// The first fault ends the context, as on the device: it is returned by every later call until clear().
  cudaError_t fault() const { return fault_; }
  const std::string& report() const { return report_; }
  void set_fault(cudaError_t error, std::string report);
  /// A call that the driver would refuse: says why, and returns `error`.
  cudaError_t refuse(cudaError_t error, std::string why);
  void clear();
  cudaError_t remember(cudaError_t error) {
    if (error != cudaSuccess) last_error_ = error;
    return error;
  }
  cudaError_t take_last_error(bool reset);

  /// Puts work into a stream, or into the graph it records. The null stream runs at once, after all streams that
  /// are not non-blocking.
  cudaError_t add(cudaStream_t stream, Work work, cudaGraphNodeType type);
  cudaError_t record(cudaEvent_t event, cudaStream_t stream);
  cudaError_t wait(cudaStream_t stream, cudaEvent_t event);
  /// Runs work, of this stream and others as it falls, until the stream is empty or the recording done.
  cudaError_t drain(cudaStream_t stream);
  cudaError_t drain_until(const Recording& recording);
  cudaError_t drain_all();
  /// Runs at most one piece of work, so that polling comes to an end.
  void make_progress();

  cudaError_t begin_capture(cudaStream_t stream, cudaStreamCaptureMode mode);
  cudaError_t end_capture(cudaStream_t stream, cudaGraph_t* graph);
  /// cudaErrorStreamCaptureUnsupported (and the capture becomes invalid) while a stream records.
  cudaError_t refuse_during_capture();

  CUstream_st* create_stream(bool blocking);
  void destroy_stream(CUstream_st* stream);
  bool is_stream(cudaStream_t stream) const;

 private:
  void run_one(CUstream_st& stream);
  void run_kernels(CUstream_st& stream, std::shared_ptr<Grid> grid);
  /// True if something ran; `blocking_only`: of streams that wait for the null stream.
  bool run_any(bool blocking_only);

  std::vector<std::unique_ptr<CUstream_st>> streams_;
  std::vector<std::shared_ptr<Capture>> captures_;
  cudaError_t fault_ = cudaSuccess, last_error_ = cudaSuccess;
  std::string report_;
  std::uint64_t steps_ = 0;
};

Runtime& runtime();

}  // namespace emu

struct CUstream_st {
  std::deque<emu::Work> work;
  bool blocking = true, destroyed = false;
  std::shared_ptr<emu::Capture> capture;
  std::vector<std::size_t> capture_tail;  // nodes that the next one follows
};
struct CUevent_st {
  std::shared_ptr<emu::Recording> last;
  std::shared_ptr<emu::Capture> capture;
  std::vector<std::size_t> capture_tail;
};
struct CUgraph_st {
  std::vector<emu::GraphNode> nodes;
};
struct CUgraphExec_st {
  std::vector<emu::GraphNode> nodes;
};

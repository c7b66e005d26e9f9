// The CUDA runtime API: streams, events and graphs.
#include <cuda_runtime.h>

#include <cstdio>

#include "settings.h"
#include "streams.h"

using emu::runtime;

namespace {

/// Runs a graph's nodes, each after those it follows; which of several comes first is a seeded choice.
void run_graph(const std::vector<emu::GraphNode>& nodes, std::uint64_t seed) {
  emu::Random random(seed);
  std::vector<bool> done(nodes.size(), false);
  for (std::size_t left = nodes.size(); left > 0 && runtime().fault() == cudaSuccess; --left) {
    std::vector<std::size_t> able;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      bool ready = !done[i];
      for (const std::size_t before : nodes[i].after) ready = ready && done[before];
      if (ready) able.push_back(i);
    }
    std::size_t pick = 0;
    if (emu::settings().order == emu::Order::reverse) pick = able.size() - 1;
    if (emu::settings().order == emu::Order::random) pick = random.below(able.size());
    nodes[able[pick]].work.run();
    done[able[pick]] = true;
  }
}

}  // namespace

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (runtime().fault() != cudaSuccess) return runtime().fault();
  *stream = runtime().create_stream(!(flags & cudaStreamNonBlocking));
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!stream || !runtime().is_stream(stream)) return runtime().remember(cudaErrorInvalidResourceHandle);
  runtime().destroy_stream(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (!runtime().is_stream(stream)) return runtime().remember(cudaErrorInvalidResourceHandle);
  if (const cudaError_t error = runtime().refuse_during_capture()) return error;
  return stream ? runtime().drain(stream) : runtime().drain_all();
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (!stream || !runtime().is_stream(stream)) return runtime().remember(cudaErrorInvalidResourceHandle);
  if (const cudaError_t error = runtime().refuse_during_capture()) return error;
  if (!stream->work.empty()) runtime().make_progress();
  if (runtime().fault() != cudaSuccess) return runtime().fault();
  return stream->work.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return runtime().wait(stream, event);
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return runtime().begin_capture(stream, mode);
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return runtime().end_capture(stream, graph);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = !stream || !stream->capture ? cudaStreamCaptureStatusNone
            : stream->capture->invalid  ? cudaStreamCaptureStatusInvalidated
                                        : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return runtime().add(stream, {"host function", [=] { function(data); }, nullptr, nullptr}, cudaGraphNodeTypeHost);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  if (runtime().fault() != cudaSuccess) return runtime().fault();
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return runtime().record(event, stream);
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const cudaError_t error = runtime().refuse_during_capture()) return error;
  return event->last ? runtime().drain_until(*event->last) : cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event->last && !event->last->done) runtime().make_progress();
  if (runtime().fault() != cudaSuccess) return runtime().fault();
  return !event->last || event->last->done ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start->last || !end->last) return runtime().remember(cudaErrorInvalidResourceHandle);
  if (!start->last->done || !end->last->done) return cudaErrorNotReady;
  *milliseconds = static_cast<float>(end->last->time_ms - start->last->time_ms);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (runtime().fault() != cudaSuccess) return runtime().fault();
  *exec = new CUgraphExec_st{graph->nodes};
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
  return runtime().fault();
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  static std::uint64_t launches = 0;
  const std::uint64_t seed = emu::settings().seed * 104729 + launches++;
  // A copy: the graph may be destroyed before the stream comes to it.
  return runtime().add(stream, {"graph", [nodes = exec->nodes, seed] { run_graph(nodes, seed); }, nullptr, nullptr},
                       cudaGraphNodeTypeGraph);
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  if (nodes) return runtime().remember(cudaErrorInvalidValue);  // nodes have no handles here: only their number
  *count = graph->nodes.size();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}

}  // extern "C"

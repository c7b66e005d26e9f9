#include "kernels/cuda/queue.h"

#include <string>
#include <utility>

#include "kernels/cuda/check.h"
#include "kernels/error.h"

namespace lectern::kernels::cuda {

bool has_device() {
  int count = 0, major = 0;
  const bool found = cudaGetDeviceCount(&count) == cudaSuccess && count > 0 &&
                     cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess && major >= 8;
  cudaGetLastError();
  return found;
}

Graph::~Graph() {
  if (exec_) cudaGraphExecDestroy(exec_);
}

Graph::Graph(Graph&& other) noexcept
    : exec_(std::exchange(other.exec_, nullptr)), nodes_(std::exchange(other.nodes_, 0)) {}

Graph& Graph::operator=(Graph&& other) noexcept {
  std::swap(exec_, other.exec_);
  std::swap(nodes_, other.nodes_);
  return *this;
}

Queue::Queue(int device) {
  check(cudaSetDevice(device), "choose the device");
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "properties of the device");
  properties_ = {properties.name,
                 properties.multiProcessorCount,
                 properties.major,
                 properties.minor,
                 static_cast<std::int64_t>(properties.sharedMemPerBlockOptin),
                 static_cast<std::int64_t>(properties.totalGlobalMem),
                 properties.l2CacheSize};
  if (properties.major < 8)
    throw Error(ErrorKind::device, properties_.name + " has compute capability " + std::to_string(properties.major) +
                                       "." + std::to_string(properties.minor) + ", 8.0 is needed");
  tickets_ = DeviceBuffer(ticket_count * static_cast<std::int64_t>(sizeof(std::int32_t)));
  // Non-blocking: no copy or kernel of the default stream, whoever puts it there, holds this queue up.
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "make a stream");
  fill(*this, tickets_.data(), 0, tickets_.size_bytes());
}

Queue::~Queue() {
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
}

void Queue::synchronize() {
  check(cudaStreamSynchronize(stream_), "wait for the device");
}

std::byte* Queue::workspace(std::int64_t size_bytes) {
  if (size_bytes > workspace_.size_bytes()) reserve_workspace(size_bytes);
  return workspace_.data();
}

void Queue::reserve_workspace(std::int64_t size_bytes) {
  if (size_bytes <= workspace_.size_bytes()) return;
  if (capturing_)
    throw Error(ErrorKind::bad_request, "CUDA: " + std::to_string(size_bytes) +
                                            " bytes of workspace are needed while a graph is recorded, " +
                                            std::to_string(workspace_.size_bytes()) + " are reserved");
  synchronize();
  DeviceBuffer larger(size_bytes);
  std::swap(workspace_, larger);
  if (has_captured_) outgrown_.push_back(std::move(larger));
}

Graph Queue::capture(const std::function<void()>& work) {
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "record a graph");
  capturing_ = has_captured_ = true;
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    capturing_ = false;
    cudaStreamEndCapture(stream_, &graph);
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  capturing_ = false;
  check(cudaStreamEndCapture(stream_, &graph), "record a graph");
  std::size_t nodes = 0;
  cudaGraphExec_t exec = nullptr;
  cudaError_t error = cudaGraphGetNodes(graph, nullptr, &nodes);
  if (error == cudaSuccess) error = cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  check(error, "prepare a graph");
  return Graph(exec, static_cast<std::int64_t>(nodes));
}

void Queue::launch(const Graph& graph) {
  check(cudaGraphLaunch(graph.exec_, stream_), "launch a graph");
}

}  // namespace lectern::kernels::cuda

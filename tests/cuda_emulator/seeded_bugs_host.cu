// The host forgets to wait, or orders two streams wrongly.
#include "seeded_values.h"

namespace lectern::kernels::cuda::test {

namespace {

__global__ void number(int* to) {
  to[threadIdx.x] = static_cast<int>(threadIdx.x);
}
__global__ void copy_one(const int* from, int* to) {
  to[threadIdx.x] = from[threadIdx.x];
}

/// Reads before it waits.
__global__ void copy_too_early(const int* from, int* to) {
  const int value = from[threadIdx.x];
  gpu::wait_for_previous_grid();
  to[threadIdx.x] = value;
}
__global__ void copy_after_waiting(const int* from, int* to) {
  gpu::wait_for_previous_grid();
  to[threadIdx.x] = from[threadIdx.x];
}
/// Needs nothing of the kernel in front, and so lets go of it: who follows waits for this kernel alone.
__global__ void break_the_chain(int* to) {
  *to = 1;
}

cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  return stream;
}

}  // namespace

const std::vector<SeededBug>& host_bugs() {
  static const std::vector<SeededBug> bugs = {
      {"missing_stream_synchronize",
       [] {
         int* pinned = nullptr;
         cudaMallocHost(&pinned, 128);
         const SeededValues to(32);
         cudaStream_t stream = new_stream();
         LAUNCH(number, 1, 32, 0, stream, to.data());
         cudaMemcpyAsync(pinned, to.data(), 128, cudaMemcpyDeviceToHost, stream);
         return pinned[31] == 31;  // read too early
       }},
      {"pinned_source_reused",
       [] {
         int* pinned = nullptr;
         cudaMallocHost(&pinned, 4);
         const SeededValues to(2);
         cudaStream_t stream = new_stream();
         for (int i = 0; i < 2; ++i) {
           *pinned = i;  // while the copy before may still read it
           cudaMemcpyAsync(to.data() + i, pinned, 4, cudaMemcpyHostToDevice, stream);
         }
         cudaStreamSynchronize(stream);
         return to.are([](int i) { return i; });
       }},
      {"missing_event",
       [] {
         const SeededValues middle(32), to(32);
         cudaStream_t first = new_stream(), second = new_stream();
         LAUNCH(number, 1, 32, 0, first, middle.data());
         LAUNCH(copy_one, 1, 32, 0, second, middle.data(), to.data());
         return to.are([](int i) { return i; });
       }},
      {"event_recorded_too_late",
       [] {
         const SeededValues middle(32), to(32);
         cudaStream_t first = new_stream(), second = new_stream();
         cudaEvent_t event = nullptr;
         cudaEventCreate(&event);
         LAUNCH(number, 1, 32, 0, first, middle.data());
         cudaStreamWaitEvent(second, event, 0);  // never recorded yet: waits for nothing
         cudaEventRecord(event, first);
         LAUNCH(copy_one, 1, 32, 0, second, middle.data(), to.data());
         return to.are([](int i) { return i; });
       }},
      {"missing_edge_in_graph",
       [] {
         const SeededValues middle(32), to(32);
         cudaStream_t first = new_stream(), second = new_stream();
         cudaEvent_t fork = nullptr, join = nullptr;
         cudaEventCreate(&fork);
         cudaEventCreate(&join);
         cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal);
         cudaEventRecord(fork, first);
         cudaStreamWaitEvent(second, fork, 0);
         LAUNCH(number, 1, 32, 0, first, middle.data());  // belongs before the fork
         LAUNCH(copy_one, 1, 32, 0, second, middle.data(), to.data());
         cudaEventRecord(join, second);
         cudaStreamWaitEvent(first, join, 0);
         cudaGraph_t graph = nullptr;
         cudaStreamEndCapture(first, &graph);
         cudaGraphExec_t exec = nullptr;
         cudaGraphInstantiate(&exec, graph, 0);
         cudaGraphLaunch(exec, first);
         return to.are([](int i) { return i; });
       }},
      {"dependent_reads_too_early",
       [] {
         const SeededValues middle(32), to(32);
         cudaStream_t stream = new_stream();
         LAUNCH(number, 1, 32, 0, stream, middle.data());
         LAUNCH_DEPENDENT(copy_too_early, 1, 32, 0, stream, middle.data(), to.data());
         return to.are([](int i) { return i; });
       }},
      {"dependent_does_not_wait",
       [] {
         const SeededValues middle(32), to(32);
         cudaStream_t stream = new_stream();
         LAUNCH(number, 1, 32, 0, stream, middle.data());
         LAUNCH_DEPENDENT(copy_one, 1, 32, 0, stream, middle.data(), to.data());
         return to.are([](int i) { return i; });
       }},
      {"dependent_chain_is_broken",
       [] {
         const SeededValues middle(32), to(32), other(1);
         cudaStream_t stream = new_stream();
         LAUNCH(number, 1, 32, 0, stream, middle.data());
         LAUNCH_DEPENDENT(break_the_chain, 1, 1, 0, stream, other.data());
         LAUNCH_DEPENDENT(copy_after_waiting, 1, 32, 0, stream, middle.data(), to.data());
         return to.are([](int i) { return i; });
       }},
      {"cooperative_grid_too_large",
       [] {
         const SeededValues to(32);
         LAUNCH_COOP(number, 100000, 32, 0, nullptr, to.data());
         return to.are([](int i) { return i; });
       }},
      {"empty_grid",
       [] {
         const SeededValues to(32, [](int i) { return i; });
         LAUNCH(number, 0, 32, 0, nullptr, to.data());
         return to.are([](int i) { return i; });
       }},
      {"block_too_large",
       [] {
         const SeededValues to(32, [](int i) { return i; });
         LAUNCH(number, 1, 1025, 0, nullptr, to.data());
         return to.are([](int i) { return i; });
       }},
  };
  return bugs;
}

}  // namespace lectern::kernels::cuda::test

// Streams, events, graphs and copies: what comes when.
#include "device_values.h"

namespace lectern::kernels::cuda::test {
namespace {

class StreamsSmall : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    EXPECT_CUDA(cudaStreamCreateWithFlags(&first_, cudaStreamNonBlocking));
    EXPECT_CUDA(cudaStreamCreateWithFlags(&second_, cudaStreamNonBlocking));
    EXPECT_CUDA(cudaEventCreateWithFlags(&fork_, cudaEventDisableTiming));
    EXPECT_CUDA(cudaEventCreateWithFlags(&join_, cudaEventDisableTiming));
  }
  void TearDown() override {
    if (first_) cudaStreamDestroy(first_);
    if (second_) cudaStreamDestroy(second_);
    if (fork_) cudaEventDestroy(fork_);
    if (join_) cudaEventDestroy(join_);
  }
  cudaStream_t first_ = nullptr, second_ = nullptr;
  cudaEvent_t fork_ = nullptr, join_ = nullptr;
};

__global__ void multiply_add(int* values, const int* factor, int summand) {
  values[threadIdx.x] = values[threadIdx.x] * *factor + summand;
}

__global__ void set_value(int* value, const int* from) {
  *value = *from;
}

TEST_F(StreamsSmall, WorkOfAStreamRunsInOrder) {
  const Values<int> values(std::vector<int>(32, 1)), factor(std::vector<int>{3});
  for (int i = 0; i < 4; ++i) EXPECT_CUDA(LAUNCH(multiply_add, 1, 32, 0, first_, values.data(), factor.data(), i));
  EXPECT_CUDA(cudaStreamSynchronize(first_));
  EXPECT_EQ(values.get(), std::vector<int>(32, 81 + 9 + 6 + 3));
}

TEST_F(StreamsSmall, EventsOrderStreams) {
  const Values<int> values(std::vector<int>(32, 1)), factor(std::vector<int>{0}), source(std::vector<int>{5});
  EXPECT_CUDA(LAUNCH(set_value, 1, 1, 0, first_, factor.data(), source.data()));
  EXPECT_CUDA(cudaEventRecord(fork_, first_));
  EXPECT_CUDA(cudaStreamWaitEvent(second_, fork_, 0));
  EXPECT_CUDA(LAUNCH(multiply_add, 1, 32, 0, second_, values.data(), factor.data(), 1));
  EXPECT_CUDA(cudaEventRecord(join_, second_));
  EXPECT_CUDA(cudaEventSynchronize(join_));
  EXPECT_EQ(cudaEventQuery(join_), cudaSuccess);
  EXPECT_EQ(values.get(), std::vector<int>(32, 6));
}

TEST_F(StreamsSmall, PollingComesToAnEnd) {
  const Values<int> values(std::vector<int>(32, 1)), factor(std::vector<int>{2});
  for (int i = 0; i < 5; ++i) EXPECT_CUDA(LAUNCH(multiply_add, 1, 32, 0, first_, values.data(), factor.data(), 0));
  EXPECT_CUDA(cudaEventRecord(fork_, first_));
  while (cudaEventQuery(fork_) == cudaErrorNotReady) {
  }
  while (cudaStreamQuery(first_) == cudaErrorNotReady) {
  }
  EXPECT_EQ(values.get(), std::vector<int>(32, 32));
}

TEST_F(StreamsSmall, EventsMeasureTime) {
  cudaEvent_t start = nullptr, end = nullptr;
  EXPECT_CUDA(cudaEventCreate(&start));
  EXPECT_CUDA(cudaEventCreate(&end));
  EXPECT_CUDA(cudaEventRecord(start, first_));
  EXPECT_CUDA(cudaEventRecord(end, first_));
  EXPECT_CUDA(cudaEventSynchronize(end));
  float milliseconds = -1;
  EXPECT_CUDA(cudaEventElapsedTime(&milliseconds, start, end));
  EXPECT_GE(milliseconds, 0.0f);
  cudaEventDestroy(start);
  cudaEventDestroy(end);
}

/// Two streams: the second scales what the first has set, the first goes on when it has.
TEST_F(StreamsSmall, GraphsForkJoinAndReplay) {
  const Values<int> a(std::vector<int>(32, 0)), b(std::vector<int>(32, 0)), factor(std::vector<int>{1}),
      source(std::vector<int>{2});
  cudaGraph_t graph = nullptr;
  EXPECT_CUDA(cudaStreamBeginCapture(first_, cudaStreamCaptureModeThreadLocal));
  EXPECT_CUDA(LAUNCH(set_value, 1, 1, 0, first_, factor.data(), source.data()));
  EXPECT_CUDA(cudaEventRecord(fork_, first_));
  EXPECT_CUDA(cudaStreamWaitEvent(second_, fork_, 0));
  EXPECT_CUDA(LAUNCH(multiply_add, 1, 32, 0, second_, b.data(), factor.data(), 1));
  EXPECT_CUDA(cudaEventRecord(join_, second_));
  EXPECT_CUDA(LAUNCH(multiply_add, 1, 32, 0, first_, a.data(), factor.data(), 10));
  EXPECT_CUDA(cudaStreamWaitEvent(first_, join_, 0));
  EXPECT_CUDA(cudaMemcpyAsync(a.data(), b.data(), 4, cudaMemcpyDeviceToDevice, first_));
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  EXPECT_CUDA(cudaStreamIsCapturing(second_, &status));
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  EXPECT_CUDA(cudaStreamEndCapture(first_, &graph));
  std::size_t nodes = 0;
  EXPECT_CUDA(cudaGraphGetNodes(graph, nullptr, &nodes));
  EXPECT_EQ(nodes, 4u);
  EXPECT_EQ(a.get(), std::vector<int>(32, 0)) << "recording runs nothing";

  cudaGraphExec_t exec = nullptr;
  EXPECT_CUDA(cudaGraphInstantiate(&exec, graph, 0));
  EXPECT_CUDA(cudaGraphDestroy(graph));
  for (int round = 0; round < 3; ++round) EXPECT_CUDA(cudaGraphLaunch(exec, first_));
  EXPECT_CUDA(cudaStreamSynchronize(first_));
  std::vector<int> expected(32, 70);
  expected[0] = 7;
  EXPECT_EQ(a.get(), expected);
  EXPECT_EQ(b.get(), std::vector<int>(32, 7));
  EXPECT_CUDA(cudaGraphExecDestroy(exec));
}

TEST_F(StreamsSmall, PageableSourcesAreReadAtTheCall) {
  const Values<int> values(std::vector<int>(4, 0));
  std::vector<int> host = {1, 2, 3, 4};
  EXPECT_CUDA(cudaMemcpyAsync(values.data(), host.data(), 16, cudaMemcpyHostToDevice, first_));
  host.assign(4, 9);
  EXPECT_CUDA(cudaStreamSynchronize(first_));
  EXPECT_EQ(values.get(), (std::vector<int>{1, 2, 3, 4}));
}

TEST_F(StreamsSmall, KernelsReadPinnedMemory) {
  int* pinned = nullptr;
  EXPECT_CUDA(cudaMallocHost(&pinned, 64));
  *pinned = 41;
  const Values<int> value(std::vector<int>{0});
  EXPECT_CUDA(LAUNCH(set_value, 1, 1, 0, first_, value.data(), pinned));
  EXPECT_CUDA(cudaStreamSynchronize(first_));
  EXPECT_EQ(value.get(), std::vector<int>{41});
  EXPECT_CUDA(cudaFreeHost(pinned));
}

TEST_F(StreamsSmall, CopiesOfRectangles) {
  const Values<int> from(made<int>(40, [](int i) { return i; })), to(std::vector<int>(18, 0));
  EXPECT_CUDA(cudaMemcpy2DAsync(to.data(), 6 * 4, from.data() + 1, 10 * 4, 4 * 4, 3, cudaMemcpyDeviceToDevice, first_));
  EXPECT_CUDA(cudaMemsetAsync(to.data() + 4, 1, 4, first_));
  EXPECT_CUDA(cudaStreamSynchronize(first_));
  EXPECT_EQ(to.get(), made<int>(18, [](int i) {
              if (i == 4) return 0x01010101;
              return i % 6 < 4 ? 10 * (i / 6) + i % 6 + 1 : 0;
            }));
}

TEST_F(StreamsSmall, HostFunctionsStandInLine) {
  const Values<int> value(std::vector<int>{0}), source(std::vector<int>{3});
  struct Seen {
    int calls = 0;
  } seen;
  EXPECT_CUDA(LAUNCH(set_value, 1, 1, 0, first_, value.data(), source.data()));
  EXPECT_CUDA(cudaLaunchHostFunc(
      first_, [](void* data) { ++static_cast<Seen*>(data)->calls; }, &seen));
  EXPECT_CUDA(cudaStreamSynchronize(first_));
  EXPECT_EQ(seen.calls, 1);
}

TEST_F(StreamsSmall, RecordingRefusesWhatCannotBeRecorded) {
  // An allocation.
  EXPECT_CUDA(cudaStreamBeginCapture(first_, cudaStreamCaptureModeGlobal));
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(first_, &graph), cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
  // A wait.
  EXPECT_CUDA(cudaStreamBeginCapture(first_, cudaStreamCaptureModeThreadLocal));
  EXPECT_EQ(cudaStreamSynchronize(first_), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(first_, &graph), cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
  // A branch that is not joined.
  const Values<int> value(std::vector<int>{0}), source(std::vector<int>{3});
  EXPECT_CUDA(cudaStreamBeginCapture(first_, cudaStreamCaptureModeThreadLocal));
  EXPECT_CUDA(LAUNCH(set_value, 1, 1, 0, first_, value.data(), source.data()));
  EXPECT_CUDA(cudaEventRecord(fork_, first_));
  EXPECT_CUDA(cudaStreamWaitEvent(second_, fork_, 0));
  EXPECT_CUDA(LAUNCH(set_value, 1, 1, 0, second_, value.data(), source.data()));
  EXPECT_EQ(cudaStreamEndCapture(first_, &graph), cudaErrorStreamCaptureUnjoined);
  cudaGetLastError();
  EXPECT_CUDA(cudaStreamSynchronize(first_));
}

TEST_F(StreamsSmall, DirectionsOfCopiesAreChecked) {
  const Values<int> value(std::vector<int>{3});
  int host = 0;
  EXPECT_CUDA(cudaMemcpy(&host, value.data(), 4, cudaMemcpyDefault));
  EXPECT_EQ(host, 3);
  EXPECT_EQ(cudaMemcpy(nullptr, value.data(), 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  cudaGetLastError();
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

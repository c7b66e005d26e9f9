#include "kernels/cuda/queue.h"

#include "cuda_test.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaQueueSmall : public CudaTest {};

TEST_F(CudaQueueSmall, TellsWhatTheDeviceHas) {
  EXPECT_GE(queue().device().multiprocessors, 1);
  EXPECT_GE(queue().device().shared_bytes_per_block, 99 << 10);
  EXPECT_TRUE(queue().device().computes_at_least(8, 0));
  EXPECT_FALSE(queue().device().computes_at_least(99, 0));
  const DeviceMemory memory = device_memory();
  EXPECT_GT(memory.free_bytes, 0);
  EXPECT_LE(memory.free_bytes, memory.total_bytes);
}

TEST_F(CudaQueueSmall, CopiesInOrder) {
  const std::vector<float> values = Random(1).normals(1000);
  const OnDevice<float> source(queue(), values);
  const GuardedOnDevice<float> target(queue(), 1000);
  copy_on_device(queue(), target.data(), source.data(), 4000);
  fill(queue(), source.data(), 0, 4000);
  expect_same_bits(target.values(), values);
  EXPECT_EQ(source.values(), std::vector<float>(1000, 0.0f));
}

TEST_F(CudaQueueSmall, ReadsPinnedMemoryWhenTheCopyRuns) {
  PinnedBuffer pinned(16);
  DeviceBuffer device(16);
  const Graph graph = queue().capture([&] { copy_to_device(queue(), device.data(), pinned.data(), 16); });
  for (int round = 1; round <= 3; ++round) {
    std::memset(pinned.data(), round, 16);
    queue().launch(graph);
    std::vector<unsigned char> back(16);
    copy_to_host(queue(), back.data(), device.data(), 16);
    queue().synchronize();
    EXPECT_EQ(back, std::vector<unsigned char>(16, static_cast<unsigned char>(round)));
  }
}

TEST_F(CudaQueueSmall, GrowsItsWorkspaceButNotWhileAGraphIsRecorded) {
  std::byte* first = queue().workspace(1000);
  EXPECT_EQ(queue().workspace(500), first);
  EXPECT_GE(queue().workspace_bytes(), 1000);
  try {
    queue().capture([&] { queue().workspace(100000); });
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_request);
  }
  EXPECT_FALSE(queue().is_capturing());
  // What a graph may use stays.
  const Graph graph = queue().capture([&] { fill(queue(), queue().workspace(1000), 7, 1000); });
  queue().reserve_workspace(100000);
  queue().launch(graph);
  std::vector<unsigned char> back(1000);
  copy_to_host(queue(), back.data(), first, 1000);
  queue().synchronize();
  EXPECT_EQ(back, std::vector<unsigned char>(1000, 7));
}

TEST_F(CudaQueueSmall, HasTicketsThatAreZero) {
  std::vector<std::int32_t> tickets(Queue::ticket_count, 1);
  copy_to_host(queue(), tickets.data(), reinterpret_cast<const std::byte*>(queue().tickets()), Queue::ticket_count * 4);
  queue().synchronize();
  EXPECT_EQ(tickets, std::vector<std::int32_t>(Queue::ticket_count, 0));
}

TEST_F(CudaQueueSmall, SaysWhenMemoryIsUsedUp) {
  try {
    const DeviceBuffer buffer(std::int64_t{1} << 50);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::out_of_memory);
  }
  queue().synchronize();  // the queue still works
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

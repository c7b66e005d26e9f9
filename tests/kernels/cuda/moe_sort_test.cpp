// moe_sort on the device.
#include "kernels/cuda/moe_sort.h"

#include <algorithm>

#include "moe_reference.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaMoeSort : public CudaTest {};
class CudaMoeSortSmall : public CudaTest {};

void expect_order(Queue& queue, const std::vector<std::int32_t>& experts, std::int64_t chosen, std::int64_t count) {
  const auto pairs = static_cast<std::int64_t>(experts.size()), tokens = pairs / chosen;
  SCOPED_TRACE(std::to_string(tokens) + " x " + std::to_string(chosen) + " of " + std::to_string(count));
  const OnDevice<std::int32_t> given(queue, experts), fault(queue, {0});
  const std::int64_t values = expert_order_values(tokens, chosen, count);
  const GuardedOnDevice<std::int32_t> memory(queue, values);
  const ExpertOrder order = expert_order(memory.tensor({values}), tokens, chosen, count);
  moe_sort(queue, given.tensor({tokens, chosen}), count, order, fault.tensor({1}));

  const std::vector<std::int32_t> result = memory.values();
  const auto part = [&](const Tensor& tensor) {
    const std::int64_t first = (tensor.data - memory.data()) / 4;
    return std::vector<std::int32_t>(result.begin() + first, result.begin() + first + tensor.elements());
  };
  std::vector<std::int32_t> sorted, places(at(pairs), -1), offsets = {0}, tile_offsets = {0}, tile_experts;
  for (std::int32_t e = 0; e < count; ++e) {
    for (std::int32_t pair = 0; pair < pairs; ++pair) {
      if (experts[at(pair)] != e) continue;
      places[at(pair)] = static_cast<std::int32_t>(sorted.size());
      sorted.push_back(pair);
    }
    offsets.push_back(static_cast<std::int32_t>(sorted.size()));
    const std::int64_t tiles = (offsets.back() - offsets[at(e)] + expert_tile_rows - 1) / expert_tile_rows;
    tile_experts.insert(tile_experts.end(), at(tiles), e);
    tile_offsets.push_back(static_cast<std::int32_t>(tile_experts.size()));
  }
  EXPECT_EQ(part(order.offsets), offsets);
  EXPECT_EQ(part(order.tile_offsets), tile_offsets);
  EXPECT_EQ(part(order.places), places);
  std::vector<std::int32_t> actual = part(order.pairs);
  for (std::size_t i = sorted.size(); i < actual.size(); ++i) EXPECT_EQ(actual[i], -1) << "no pair has this place";
  actual.resize(sorted.size());
  EXPECT_EQ(actual, sorted);
  std::vector<std::int32_t> tiles = part(order.tile_experts);
  ASSERT_GE(tiles.size(), tile_experts.size());
  tiles.resize(tile_experts.size());
  EXPECT_EQ(tiles, tile_experts);
  EXPECT_EQ(fault.values()[0], sorted.size() == experts.size() ? 0 : 1);
}

std::vector<std::int32_t> random_experts(std::int64_t pairs, std::int64_t count, unsigned seed) {
  std::vector<std::int32_t> result;
  Random random(seed);
  for (std::int64_t i = 0; i < pairs; ++i)
    result.push_back(static_cast<std::int32_t>(random.bits() % static_cast<unsigned>(count)));
  return result;
}

TEST_F(CudaMoeSortSmall, EqualsTheReference) {
  expect_order(queue(), random_experts(30, 7, 1), 3, 7);
  expect_order(queue(), random_experts(130, 3, 2), 1, 3);
  expect_order(queue(), random_experts(1100, 3, 2), 1, 3);        // two rounds of some warps
  expect_order(queue(), std::vector<std::int32_t>(70, 4), 1, 6);  // two tiles of one expert, five have none
}

TEST_F(CudaMoeSort, EqualsTheReference) {
  expect_order(queue(), random_experts(1, 512, 3), 1, 512);
  expect_order(queue(), random_experts(1030 * 10, 512, 4), 10, 512);  // ten rounds of each warp, the last one's ragged
  expect_order(queue(), random_experts(999, 1024, 5), 3, 1024);       // counters of 16 warps
  expect_order(queue(), std::vector<std::int32_t>(640, 511), 10, 512);
  expect_order(queue(), std::vector<std::int32_t>(200, 0), 1, 1);
}

TEST_F(CudaMoeSortSmall, GivesNoPlaceToExpertsThatDoNotExist) {
  std::vector<std::int32_t> experts = random_experts(80, 5, 6);
  experts[0] = -1;
  experts[33] = 5;
  experts[79] = 0x7FFFFFFF;
  expect_order(queue(), experts, 2, 5);
  expect_order(queue(), std::vector<std::int32_t>(40, -3), 2, 5);
}

TEST_F(CudaMoeSortSmall, TakesNoTokens) {
  expect_order(queue(), {}, 4, 9);
}

TEST_F(CudaMoeSortSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 20);
  const auto i32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::i32, shape); };
  const ExpertOrder order = expert_order(i32({1 << 16}), 4, 2, 8);
  EXPECT_THROW(moe_sort(queue(), memory.tensor(DType::f32, {4, 2}), 8, order, i32({1})), Error);
  EXPECT_THROW(moe_sort(queue(), i32({4, 2}), 9, order, i32({1})), Error);
  EXPECT_THROW(moe_sort(queue(), i32({5, 2}), 8, order, i32({1})), Error);
  EXPECT_THROW(moe_sort(queue(), i32({4, 2}), 8, order, i32({2})), Error);
  EXPECT_THROW(moe_sort(queue(), i32({4, 2}), 0, expert_order(i32({1 << 16}), 4, 2, 0), i32({1})), Error);
  EXPECT_THROW(moe_sort(queue(), i32({4, 2}), 1025, expert_order(i32({1 << 16}), 4, 2, 1025), i32({1})), Error);
  EXPECT_THROW(expert_order(i32({20}), 4, 2, 8), Error);
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

// moe_route and moe_route_project on the device.
#include "kernels/cuda/moe_route.h"

#include <algorithm>
#include <numeric>

#include "cuda_test.h"
#include "kernels/moe_route.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaMoeRoute : public CudaTest {};
class CudaMoeRouteSmall : public CudaTest {};

/// exp of the device has two units in the last place, and a few hundred of them are added.
constexpr double share_tolerance = 4e-6;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

struct Choice {
  std::vector<std::int32_t> experts;
  std::vector<float> weights;
};

Choice route(Queue& queue, const std::vector<float>& logits, std::int64_t count, std::int64_t chosen, bool normalize) {
  const std::int64_t tokens = static_cast<std::int64_t>(logits.size()) / count;
  const OnDevice<float> on_device(queue, logits);
  const GuardedOnDevice<std::int32_t> experts(queue, tokens * chosen);
  const GuardedOnDevice<float> weights(queue, tokens * chosen);
  moe_route(queue, on_device.tensor({tokens, count}), normalize, experts.tensor({tokens, chosen}),
            weights.tensor({tokens, chosen}));
  return {experts.values(), weights.values()};
}

/// Sorted by the logits themselves, ties to the lower index; shares in double.
void expect_choice(const Choice& choice, const std::vector<double>& logits, std::int64_t count, std::int64_t chosen,
                   bool normalize) {
  const std::int64_t tokens = static_cast<std::int64_t>(logits.size()) / count;
  for (std::int64_t t = 0; t < tokens; ++t) {
    const double* row = logits.data() + t * count;
    std::vector<std::int32_t> order(at(count));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return row[a] > row[b]; });
    const double most = row[order[0]];
    double total = 0, best = 0;
    for (std::int64_t e = 0; e < count; ++e) total += std::exp(row[e] - most);
    for (std::int64_t i = 0; i < chosen; ++i) best += std::exp(row[order[at(i)]] - most);
    for (std::int64_t i = 0; i < chosen; ++i) {
      ASSERT_EQ(choice.experts[at(t * chosen + i)], order[at(i)]) << "token " << t << ", choice " << i;
      const double p = std::exp(row[order[at(i)]] - most) / (normalize ? best : total);
      expect_near(choice.weights[at(t * chosen + i)], p, p + 1e-30, share_tolerance, i);
    }
  }
}

void expect_route(Queue& queue, std::int64_t tokens, std::int64_t count, std::int64_t chosen) {
  SCOPED_TRACE(std::to_string(tokens) + " x " + std::to_string(count) + ", " + std::to_string(chosen));
  for (const bool normalize : {false, true}) {
    std::vector<float> logits = Random(1).normals(tokens * count, 3);
    for (std::int64_t t = 0; t < tokens; t += 2)  // ties, at the top and in the middle
      for (std::int64_t e = t % 3; e < count; e += 5) logits[at(t * count + e)] = e % 2 ? 1.5f : 9;
    expect_choice(route(queue, logits, count, chosen, normalize), {logits.begin(), logits.end()}, count, chosen,
                  normalize);
  }
}

TEST_F(CudaMoeRouteSmall, EqualsTheReference) {
  expect_route(queue(), 9, 37, 6);  // one more row than a block has
  expect_route(queue(), 1, 1, 1);
  expect_route(queue(), 2, 8, 8);
}

TEST_F(CudaMoeRoute, EqualsTheReference) {
  expect_route(queue(), 19, 512, 10);
  expect_route(queue(), 3, 256, 8);
  expect_route(queue(), 2, 257, 8);
  expect_route(queue(), 2, 1024, 32);
  expect_route(queue(), 2, 513, 1);
}

TEST_F(CudaMoeRoute, EqualsTheCpu) {
  const std::int64_t tokens = 21, count = 512, chosen = 10;
  const std::vector<float> logits = Random(7).normals(tokens * count, 2);
  for (const bool normalize : {false, true}) {
    const Choice choice = route(queue(), logits, count, chosen, normalize);
    std::vector<std::int32_t> experts(at(tokens * chosen));
    std::vector<float> weights(at(tokens * chosen));
    Stream cpu(1);
    kernels::moe_route(cpu, f32_view(logits.data(), {tokens, count}), normalize,
                       {experts.data(), DType::i32, {tokens, chosen}}, f32_view(weights.data(), {tokens, chosen}));
    EXPECT_EQ(choice.experts, experts);
    expect_all_near(
        choice.weights, [&](std::size_t i) { return static_cast<double>(weights[i]); },
        [&](std::size_t i) { return static_cast<double>(weights[i]); }, share_tolerance);
  }
}

TEST_F(CudaMoeRouteSmall, TreatsExtremeLogitsAsSoftmaxDoes) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  // Both zeros are one number; what is minus infinity has no share but keeps its place in the order.
  const std::vector<float> logits = {-0.0f, 0.0f, -0.0f, -infinity, -200, -infinity, -300, 0.0f};
  const Choice choice = route(queue(), logits, 8, 7, true);
  EXPECT_EQ(choice.experts, (std::vector<std::int32_t>{0, 1, 2, 7, 4, 6, 3}));
  for (int i = 0; i < 7; ++i) EXPECT_EQ(choice.weights[at(i)], i < 4 ? 0.25f : 0.0f);
  for (const float value : {nan, infinity, -infinity}) {
    std::vector<float> row(40, value);
    if (value != value) row[3] = 1;  // one number is not enough
    const Choice worthless = route(queue(), row, 40, 3, true);
    EXPECT_EQ(worthless.experts, (std::vector<std::int32_t>{0, 1, 2}));
    for (const float weight : worthless.weights) EXPECT_TRUE(weight != weight);
  }
}

TEST_F(CudaMoeRouteSmall, RowsDependOnThemselvesAlone) {
  const std::int64_t tokens = 11, count = 40, chosen = 5;
  const std::vector<float> logits = Random(3).normals(tokens * count);
  const Choice all = route(queue(), logits, count, chosen, true);
  for (const std::int64_t t : {0, 7, 10}) {
    const Choice one =
        route(queue(), {logits.begin() + t * count, logits.begin() + (t + 1) * count}, count, chosen, true);
    EXPECT_EQ(std::memcmp(one.weights.data(), all.weights.data() + t * chosen, at(chosen) * 4), 0);
    EXPECT_TRUE(std::equal(one.experts.begin(), one.experts.end(), all.experts.begin() + t * chosen));
  }
}

Choice project(Queue& queue, const std::vector<float>& x, const Weights& router, std::int64_t chosen, bool normalize) {
  const std::int64_t tokens = static_cast<std::int64_t>(x.size()) / router.columns;
  const OnDevice<float> dx(queue, x);
  const DeviceBuffer weights_memory(static_cast<std::int64_t>(router.bytes.size()));
  copy_to_device(queue, weights_memory.data(), router.bytes.data(), weights_memory.size_bytes());
  const GuardedOnDevice<std::int32_t> experts(queue, tokens * chosen);
  const GuardedOnDevice<float> weights(queue, tokens * chosen);
  const auto run = [&] {
    moe_route_project(queue, dx.tensor({tokens, router.columns}),
                      {weights_memory.data(), router.type, {router.rows, router.columns}}, normalize,
                      experts.tensor({tokens, chosen}), weights.tensor({tokens, chosen}));
  };
  run();
  const Choice first{experts.values(), weights.values()};
  run();  // the ticket is back at its start
  EXPECT_EQ(first.experts, experts.values());
  expect_same_bits(first.weights, weights.values());
  return first;
}

void expect_project(Queue& queue, DType type, std::int64_t tokens, std::int64_t count, std::int64_t hidden,
                    std::int64_t chosen) {
  SCOPED_TRACE(std::string(name(type)) + " " + std::to_string(tokens) + " x " + std::to_string(count) + " x " +
               std::to_string(hidden));
  const Weights router = random_weights(type, count, hidden, 5);
  const std::vector<float> x = Random(4).normals(tokens * hidden, 2);
  std::vector<double> logits(at(tokens * count), 0.0);
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t e = 0; e < count; ++e)
      for (std::int64_t i = 0; i < hidden; ++i)
        logits[at(t * count + e)] +=
            static_cast<double>(x[at(t * hidden + i)]) * static_cast<double>(router.values[at(e * hidden + i)]);
  const Choice choice = project(queue, x, router, chosen, true);
  expect_choice(choice, logits, count, chosen, true);
  for (std::int64_t t = 0; t < tokens; ++t) {  // a token alone: the same bits
    const Choice one = project(queue, {x.begin() + t * hidden, x.begin() + (t + 1) * hidden}, router, chosen, true);
    EXPECT_EQ(std::memcmp(one.weights.data(), choice.weights.data() + t * chosen, at(chosen) * 4), 0);
  }
}

TEST_F(CudaMoeRouteSmall, ProjectsAndChooses) {
  expect_project(queue(), DType::f32, 3, 9, 24, 3);
  expect_project(queue(), DType::bf16, 2, 8, 40, 2);
  expect_project(queue(), DType::f16, 1, 5, 7, 5);  // rows that are not runs of 16 bytes
}

TEST_F(CudaMoeRoute, ProjectsAndChooses) {
  expect_project(queue(), DType::f32, 5, 130, 1100, 10);  // more than one piece of a row
  expect_project(queue(), DType::bf16, 8, 37, 2056, 6);
  expect_project(queue(), DType::f32, 1, 512, 128, 10);
  expect_project(queue(), DType::bf16, 2, 515, 65, 8);
}

TEST_F(CudaMoeRouteSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 20);
  const auto f32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::f32, shape); };
  const auto i32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::i32, shape); };
  EXPECT_THROW(moe_route(queue(), f32({2, 4}), true, i32({2, 5}), f32({2, 5})), Error);
  EXPECT_THROW(moe_route(queue(), f32({2, 4}), true, i32({3, 2}), f32({3, 2})), Error);
  EXPECT_THROW(moe_route(queue(), f32({2, 4}), true, f32({2, 2}), f32({2, 2})), Error);
  EXPECT_THROW(moe_route(queue(), f32({2, 4}), true, i32({2, 2}), f32({2, 3})), Error);
  EXPECT_THROW(moe_route(queue(), f32({2, 4}), true, i32({2, 0}), f32({2, 0})), Error);
  EXPECT_THROW(moe_route(queue(), f32({2, 1025}), true, i32({2, 2}), f32({2, 2})), Error);
  EXPECT_THROW(moe_route(queue(), f32({2, 64}), true, i32({2, 33}), f32({2, 33})), Error);
  EXPECT_THROW(moe_route_project(queue(), f32({9, 4}), f32({8, 4}), true, i32({9, 2}), f32({9, 2})), Error);
  EXPECT_THROW(moe_route_project(queue(), f32({1, 4}), f32({8, 5}), true, i32({1, 2}), f32({1, 2})), Error);
  EXPECT_THROW(
      moe_route_project(queue(), f32({1, 32}), memory.tensor(DType::q8_0, {8, 32}), true, i32({1, 2}), f32({1, 2})),
      Error);
  moe_route(queue(), f32({0, 4}), true, i32({0, 2}), f32({0, 2}));
  moe_route_project(queue(), f32({0, 4}), f32({8, 4}), true, i32({0, 2}), f32({0, 2}));
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

// moe_experts_prefill on the device, with moe_sort before it and moe_combine behind it.
#include "kernels/cuda/moe_experts_prefill.h"

#include "kernels/cuda/moe_combine.h"
#include "kernels/moe_experts.h"
#include "moe_reference.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaMoeExpertsPrefill : public CudaTest {};
class CudaMoeExpertsPrefillSmall : public CudaTest {};

/// Relative to a result, which is rounded to bf16, and twice the largest product in it: one activated value may stand
/// at the edge of two numbers of bf16 and fall to the other side.
constexpr double prefill_tolerance = bf16_tolerance;
/// The CPU rounds activations to 8 bits instead; relative to the size of the row.
constexpr double cpu_tolerance = 0.08;

double rounded(double value) {
  return static_cast<double>(from_bf16(to_bf16(static_cast<float>(value))));
}

struct Input {
  std::int64_t chosen;
  std::vector<std::uint16_t> x;
  std::vector<std::int32_t> experts;
};

Input random_input(const DeviceExperts& e, std::int64_t tokens, std::int64_t chosen, unsigned seed) {
  Input input{chosen, {}, {}};
  for (const float value : Random(seed).normals(tokens * e.hidden)) input.x.push_back(to_bf16(value));
  Random random(seed + 1);
  for (std::int64_t t = 0; t < tokens; ++t) {
    const auto first = static_cast<std::int64_t>(random.bits() % static_cast<unsigned>(e.count));
    for (std::int64_t i = 0; i < chosen; ++i)  // distinct, in no order
      input.experts.push_back(static_cast<std::int32_t>((first + i * (e.count - 1)) % e.count));
  }
  return input;
}

/// The rows [T * k, H] in the order of the pairs: NaN for those without a place.
std::vector<float> run(Queue& queue, const DeviceExperts& e, const Input& input) {
  const auto pairs = static_cast<std::int64_t>(input.experts.size()), tokens = pairs / input.chosen;
  const OnDevice<std::uint16_t> x(queue, input.x);
  const OnDevice<std::int32_t> experts(queue, input.experts), fault(queue, {0});
  const std::int64_t values = expert_order_values(tokens, input.chosen, e.count);
  const GuardedOnDevice<std::int32_t> memory(queue, values);
  const GuardedOnDevice<std::uint16_t> rows(queue, pairs * e.hidden);
  const ExpertOrder order = expert_order(memory.tensor({values}), tokens, input.chosen, e.count);
  moe_sort(queue, experts.tensor({tokens, input.chosen}), e.count, order, fault.tensor({1}));
  moe_experts_prefill(queue, x.tensor({tokens, e.hidden}), e.gate_tensor(), e.up_tensor(), e.down_tensor(), order,
                      rows.tensor({pairs, e.hidden}));
  const std::vector<std::int32_t> numbers = memory.values();
  const std::int64_t places = (order.places.data - memory.data()) / 4;
  const std::vector<float> by_place = rows.values();
  std::vector<float> result(by_place.size(), std::nanf(""));
  for (std::int64_t pair = 0; pair < pairs; ++pair) {
    const std::int32_t place = numbers[at(places + pair)];
    if (place < 0) continue;
    std::copy_n(by_place.begin() + place * e.hidden, e.hidden, result.begin() + pair * e.hidden);
  }
  return result;
}

/// Every so many of the pairs; all if some experts do not exist.
void expect_reference(Queue& queue, const DeviceExperts& e, const Input& input, std::int64_t every = 1) {
  SCOPED_TRACE(std::string(name(e.gate.host().type)) + " and " + name(e.down.host().type) + ", " +
               std::to_string(input.x.size() / at(e.hidden)) + " tokens, " + std::to_string(e.inner) + " x " +
               std::to_string(e.hidden));
  const std::vector<float> actual = run(queue, e, input);
  const auto pairs = static_cast<std::int64_t>(input.experts.size());
  for (std::int64_t pair = 0; pair < pairs; pair += every) {
    const std::int64_t expert = input.experts[at(pair)], token = pair / input.chosen;
    const std::vector<float> row(actual.begin() + pair * e.hidden, actual.begin() + (pair + 1) * e.hidden);
    if (expert < 0 || expert >= e.count) {
      for (const float value : row) EXPECT_TRUE(value != value);
      continue;
    }
    std::vector<double> activated(at(e.inner)), expected(at(e.hidden), 0.0), largest(at(e.hidden), 0.0);
    for (std::int64_t j = 0; j < e.inner; ++j) {
      double gated = 0, raised = 0;
      for (std::int64_t h = 0; h < e.hidden; ++h) {
        const double value = static_cast<double>(from_bf16(input.x[at(token * e.hidden + h)]));
        gated += value * rounded(e.gate(expert * e.inner + j, h));
        raised += value * rounded(e.up(expert * e.inner + j, h));
      }
      activated[at(j)] = rounded(gated / (1 + std::exp(-gated)) * raised);
    }
    for (std::int64_t h = 0; h < e.hidden; ++h)
      for (std::int64_t j = 0; j < e.inner; ++j) {
        const double product = activated[at(j)] * rounded(e.down(expert * e.hidden + h, j));
        expected[at(h)] += product;
        largest[at(h)] = std::max(largest[at(h)], std::abs(product));
      }
    SCOPED_TRACE("pair " + std::to_string(pair));
    expect_all_near(
        row, [&](std::size_t i) { return expected[i]; },
        [&](std::size_t i) { return std::abs(expected[i]) + 2 * largest[i]; }, prefill_tolerance);
    if (testing::Test::HasFailure()) return;
  }
}

TEST_F(CudaMoeExpertsPrefillSmall, EqualsTheReference) {
  const DeviceExperts quantized(queue(), DType::q8_0, DType::q4_0, 3, 96, 160);  // ragged rows and columns
  expect_reference(queue(), quantized, random_input(quantized, 5, 2, 1));
  const DeviceExperts plain(queue(), DType::bf16, DType::f16, 2, 32, 64);
  for (const std::int64_t tokens :
       {67, 168}) {  // two and three tiles, the last of these full, of one expert, none of the other
    Input one_expert = random_input(plain, tokens, 1, 2);
    one_expert.experts.assign(at(tokens), 1);
    expect_reference(queue(), plain, one_expert);
  }
}

TEST_F(CudaMoeExpertsPrefill, EqualsTheReferenceForEveryType) {
  for (const DType type : weight_types()) {
    const DType down = type == DType::q4_k ? DType::q6_k : type == DType::f32 ? DType::q4_k : type;
    const DeviceExperts e(queue(), type, down, 3, 256, 512);
    expect_reference(queue(), e, random_input(e, 11, 2, 3), 5);
  }
}

TEST_F(CudaMoeExpertsPrefill, EqualsTheReferenceForTheRealShapesAndManyTokens) {
  {
    const DeviceExperts e(queue(), DType::q4_k, DType::q6_k, 2, 512, 2048);
    expect_reference(queue(), e, random_input(e, 9, 1, 4), 4);
  }
  const DeviceExperts small(queue(), DType::q4_1, DType::q8_0, 7, 32, 32);
  expect_reference(queue(), small, random_input(small, 200, 3, 5), 7);
}

TEST_F(CudaMoeExpertsPrefillSmall, LeavesRowsOfExpertsThatDoNotExistAlone) {
  const DeviceExperts e(queue(), DType::q8_0, DType::q8_0, 3, 32, 32);
  Input input = random_input(e, 6, 2, 6);
  input.experts[1] = -1;
  input.experts[8] = 3;
  expect_reference(queue(), e, input);
  input.experts.assign(12, 77);
  for (const float value : run(queue(), e, input)) EXPECT_TRUE(value != value);
}

TEST_F(CudaMoeExpertsPrefillSmall, GivesATokenTheSameBitsInAnyCompany) {
  const DeviceExperts e(queue(), DType::q4_0, DType::q8_0, 3, 32, 32);
  const Input input = random_input(e, 80, 2, 7);
  const std::vector<float> together = run(queue(), e, input);
  for (const std::int64_t t : {0, 41, 79}) {
    const std::vector<float> alone = run(queue(), e,
                                         {2,
                                          {input.x.begin() + t * e.hidden, input.x.begin() + (t + 1) * e.hidden},
                                          {input.experts.begin() + t * 2, input.experts.begin() + (t + 1) * 2}});
    EXPECT_EQ(std::memcmp(alone.data(), together.data() + t * 2 * e.hidden, alone.size() * 4), 0) << "token " << t;
  }
}

TEST_F(CudaMoeExpertsPrefill, WithSortAndCombineEqualsTheCpu) {
  const DeviceExperts e(queue(), DType::q4_k, DType::q6_k, 8, 256, 256);
  const Input input = random_input(e, 40, 3, 8);
  const std::int64_t tokens = 40, pairs = 120;
  const std::vector<float> weights = Random(9).normals(pairs);
  std::vector<float> x, twin(at(tokens * e.hidden));
  for (const std::uint16_t half : input.x) x.push_back(from_bf16(half));
  Stream cpu(1);
  kernels::moe_experts(cpu, f32_view(x.data(), {tokens, e.hidden}),
                       {e.gate.host().bytes.data(), DType::q4_k, {e.count, e.inner, e.hidden}},
                       {e.up.host().bytes.data(), DType::q4_k, {e.count, e.inner, e.hidden}},
                       {e.down.host().bytes.data(), DType::q6_k, {e.count, e.hidden, e.inner}},
                       {input.experts.data(), DType::i32, {tokens, 3}}, f32_view(weights.data(), {tokens, 3}),
                       RowKind::prefill, f32_view(twin.data(), {tokens, e.hidden}));

  const OnDevice<std::uint16_t> dx(queue(), input.x);
  const OnDevice<float> dw(queue(), weights);
  const OnDevice<std::int32_t> experts(queue(), input.experts), fault(queue(), {0});
  const std::int64_t values = expert_order_values(tokens, 3, e.count);
  const GuardedOnDevice<std::int32_t> memory(queue(), values);
  const GuardedOnDevice<std::uint16_t> rows(queue(), pairs * e.hidden);
  const GuardedOnDevice<float> out(queue(), tokens * e.hidden), again(queue(), tokens * e.hidden);
  const ExpertOrder order = expert_order(memory.tensor({values}), tokens, 3, e.count);
  const auto all = [&](Tensor to) {
    moe_sort(queue(), experts.tensor({tokens, 3}), e.count, order, fault.tensor({1}));
    moe_experts_prefill(queue(), dx.tensor({tokens, e.hidden}), e.gate_tensor(), e.up_tensor(), e.down_tensor(), order,
                        rows.tensor({pairs, e.hidden}));
    moe_combine(queue(), rows.tensor({pairs, e.hidden}), order, dw.tensor({tokens, 3}), {}, {}, {}, to);
  };
  all(out.tensor({tokens, e.hidden}));
  const double size = size_of({twin.begin(), twin.end()});
  expect_all_near(
      out.values(), [&](std::size_t i) { return static_cast<double>(twin[i]); }, [&](std::size_t) { return size; },
      cpu_tolerance);
  const Graph graph = queue().capture([&] { all(again.tensor({tokens, e.hidden})); });
  EXPECT_EQ(graph.nodes(), 4);
  queue().launch(graph);
  expect_same_bits(again.values(), out.values());
}

TEST_F(CudaMoeExpertsPrefillSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 20);
  const auto of = [&](DType type, std::initializer_list<std::int64_t> shape) { return memory.tensor(type, shape); };
  const ExpertOrder order = expert_order(of(DType::i32, {1 << 12}), 4, 2, 3);
  const Tensor x = of(DType::bf16, {4, 64}), gate = of(DType::q8_0, {3, 32, 64}), down = of(DType::q8_0, {3, 64, 32}),
               rows = of(DType::bf16, {8, 64});
  EXPECT_THROW(moe_experts_prefill(queue(), of(DType::f32, {4, 64}), gate, gate, down, order, rows), Error);
  EXPECT_THROW(moe_experts_prefill(queue(), x, gate, of(DType::q4_0, {3, 32, 64}), down, order, rows), Error);
  EXPECT_THROW(moe_experts_prefill(queue(), x, gate, gate, of(DType::q8_0, {3, 32, 64}), order, rows), Error);
  EXPECT_THROW(moe_experts_prefill(queue(), x, gate, gate, down, order, of(DType::bf16, {9, 64})), Error);
  EXPECT_THROW(moe_experts_prefill(queue(), of(DType::bf16, {3, 64}), gate, gate, down, order, rows), Error);
  EXPECT_THROW(
      moe_experts_prefill(queue(), x, gate, gate, down, expert_order(of(DType::i32, {1 << 12}), 4, 2, 4), rows), Error);
  const Tensor narrow = of(DType::f32, {3, 16, 64}), narrow_down = of(DType::f32, {3, 64, 16});
  EXPECT_THROW(moe_experts_prefill(queue(), x, narrow, narrow, narrow_down, order, rows), Error);
  const Tensor k_blocks(memory.data(), DType::q4_k, {3, 32, 64});
  EXPECT_THROW(moe_experts_prefill(queue(), x, k_blocks, k_blocks, down, order, rows), Error);
  const Tensor shifted(memory.data() + 2, DType::q8_0, {3, 32, 64});
  EXPECT_THROW(moe_experts_prefill(queue(), x, shifted, shifted, down, order, rows), Error);
  moe_experts_prefill(queue(), of(DType::bf16, {0, 64}), gate, gate, down,
                      expert_order(of(DType::i32, {1 << 12}), 0, 2, 3), of(DType::bf16, {0, 64}));
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

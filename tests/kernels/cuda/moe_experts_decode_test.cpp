// moe_experts_decode on the device.
#include "kernels/cuda/moe_experts_decode.h"

#include <memory>

#include "kernels/moe_experts.h"
#include "moe_reference.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaMoeExpertsDecode : public CudaTest {};
class CudaMoeExpertsDecodeSmall : public CudaTest {};

// Relative to the root of the mean square of the results. Plain weights: sums in f32, silu by the device's exp.
// Quantized: the reference rounds as the kernel does, but where a value stands at the edge of two bytes the two may
// differ by one of 127 parts of it.
constexpr double plain_tolerance = 3e-5;
constexpr double rounded_tolerance = 5e-3;

struct Shared {
  DeviceWeights gate, up, down, router;
  Shared(Queue& queue, DType type, DType down_type, DType router_type, std::int64_t inner, std::int64_t hidden)
      : gate(queue, type, inner, hidden, 11),
        up(queue, type, inner, hidden, 12),
        down(queue, down_type, hidden, inner, 13),
        router(queue, router_type, 1, hidden, 14) {}
  std::int64_t inner() const { return gate.host().rows; }
  SharedExpert expert() const {
    const std::int64_t hidden = gate.host().columns;
    return {gate.tensor({inner(), hidden}), up.tensor({inner(), hidden}), down.tensor({hidden, inner()}),
            router.tensor({1, hidden})};
  }
};

struct Input {
  std::int64_t tokens, chosen;
  std::vector<float> x, residual, weights;
  std::vector<std::int32_t> experts;
};

Input random_input(const DeviceExperts& e, std::int64_t tokens, std::int64_t chosen, unsigned seed) {
  Input input{tokens,
              chosen,
              Random(seed).normals(tokens * e.hidden),
              Random(seed + 1).normals(tokens * e.hidden),
              Random(seed + 2).normals(tokens * chosen),
              {}};
  Random random(seed + 3);
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::vector<std::int32_t> all(at(e.count));
    for (std::int64_t i = 0; i < e.count; ++i) all[at(i)] = static_cast<std::int32_t>(i);
    for (std::int64_t i = 0; i < chosen; ++i) {
      std::swap(all[at(i)], all[at(i + static_cast<std::int64_t>(random.bits() % static_cast<unsigned>(e.count - i)))]);
      input.experts.push_back(all[at(i)]);
    }
  }
  return input;
}

std::vector<float> run(Queue& queue, const DeviceExperts& e, const Shared* shared, const Input& input,
                       std::int32_t expected_fault = 0, bool with_residual = true) {
  const OnDevice<float> x(queue, input.x), residual(queue, input.residual), weights(queue, input.weights);
  const OnDevice<std::int32_t> experts(queue, input.experts), fault(queue, {0});
  const GuardedOnDevice<float> out(queue, input.tokens * e.hidden);
  const auto shape = {input.tokens, e.hidden};
  moe_experts_decode(queue, x.tensor(shape), e.gate_tensor(), e.up_tensor(), e.down_tensor(),
                     experts.tensor({input.tokens, input.chosen}), weights.tensor({input.tokens, input.chosen}),
                     shared ? shared->expert() : SharedExpert{}, with_residual ? residual.tensor(shape) : Tensor{},
                     out.tensor(shape), fault.tensor({1}));
  EXPECT_EQ(fault.values()[0], expected_fault);
  return out.values();
}

std::vector<double> reference(const DeviceExperts& e, const Shared* shared, const Input& input) {
  std::vector<double> result;
  for (std::int64_t t = 0; t < input.tokens; ++t) {
    std::vector<double> x(input.x.begin() + t * e.hidden, input.x.begin() + (t + 1) * e.hidden);
    std::vector<double> out(input.residual.begin() + t * e.hidden, input.residual.begin() + (t + 1) * e.hidden);
    const auto add = [&](const std::vector<double>& row, double share) {
      for (std::int64_t h = 0; h < e.hidden; ++h) out[at(h)] += share * row[at(h)];
    };
    for (std::int64_t i = 0; i < input.chosen; ++i) {
      const std::int32_t expert = input.experts[at(t * input.chosen + i)];
      if (expert < 0 || expert >= e.count) continue;
      add(expert_output(x, e.gate, e.up, e.down, expert, e.inner, round_to_8_bits),
          static_cast<double>(input.weights[at(t * input.chosen + i)]));
    }
    if (shared) {
      const std::vector<double> rounded = round_to_8_bits(x, shared->router.host().type);
      double logit = 0;
      for (std::int64_t h = 0; h < e.hidden; ++h) logit += rounded[at(h)] * shared->router(0, h);
      add(expert_output(x, shared->gate, shared->up, shared->down, 0, shared->inner(), round_to_8_bits),
          1 / (1 + std::exp(-logit)));
    }
    result.insert(result.end(), out.begin(), out.end());
  }
  return result;
}

void expect_reference(Queue& queue, const DeviceExperts& e, const Shared* shared, const Input& input) {
  SCOPED_TRACE(std::string(name(e.gate.host().type)) + " and " + name(e.down.host().type) + ", " +
               std::to_string(input.tokens) + " tokens");
  const std::vector<double> expected = reference(e, shared, input);
  bool quantized = is_quantized(e.gate.host().type) || is_quantized(e.down.host().type);
  if (shared) quantized = quantized || is_quantized(shared->gate.host().type) || is_quantized(shared->down.host().type);
  const double size = size_of(expected);
  expect_all_near(
      run(queue, e, shared, input), [&](std::size_t i) { return expected[i]; }, [&](std::size_t) { return size; },
      quantized ? rounded_tolerance : plain_tolerance);
}

TEST_F(CudaMoeExpertsDecodeSmall, EqualsTheReference) {
  const DeviceExperts plain(queue(), DType::f32, DType::bf16, 5, 7, 12);
  const Shared plain_shared(queue(), DType::f16, DType::f32, DType::f32, 9, 12);
  expect_reference(queue(), plain, &plain_shared, random_input(plain, 3, 2, 1));
  const DeviceExperts quantized(queue(), DType::q8_0, DType::q4_0, 4, 32, 64);
  const Shared quantized_shared(queue(), DType::q4_1, DType::q8_0, DType::bf16, 32, 64);
  expect_reference(queue(), quantized, &quantized_shared, random_input(quantized, 1, 3, 2));
  expect_reference(queue(), quantized, nullptr, random_input(quantized, 2, 2, 3));
}

TEST_F(CudaMoeExpertsDecode, EqualsTheReferenceForEveryType) {
  for (const DType type : weight_types()) {
    const DType down = type == DType::q4_k ? DType::q6_k : type == DType::f32 ? DType::q4_k : type;
    const DeviceExperts e(queue(), type, down, 6, 256, 256);
    const Shared shared(queue(), down, type, type, 256, 256);
    expect_reference(queue(), e, &shared, random_input(e, 2, 3, 5));
  }
}

TEST_F(CudaMoeExpertsDecode, EqualsTheReferenceForTheRealShapesAndOddOnes) {
  {
    const DeviceExperts e(queue(), DType::q4_k, DType::q6_k, 4, 512, 2048);  // the model's, but for the experts' number
    const Shared shared(queue(), DType::q8_0, DType::q8_0, DType::f32, 512, 2048);
    expect_reference(queue(), e, &shared, random_input(e, 1, 2, 7));
  }
  const DeviceExperts odd(queue(), DType::f32, DType::f32, 40, 33, 51);
  expect_reference(queue(), odd, nullptr, random_input(odd, 8, 32, 8));      // all tables full
  const DeviceExperts wide(queue(), DType::q4_0, DType::q4_1, 3, 1120, 96);  // more than one step of a row
  expect_reference(queue(), wide, nullptr, random_input(wide, 5, 2, 9));
}

TEST_F(CudaMoeExpertsDecode, RoundsWhatStandsOutFiner) {
  const DeviceExperts e(queue(), DType::q4_k, DType::q5_k, 3, 256, 512);
  Input input = random_input(e, 2, 2, 10);
  for (const std::int64_t i : {3, 37, 300}) input.x[at(i)] = 60;
  expect_reference(queue(), e, nullptr, input);
}

TEST_F(CudaMoeExpertsDecode, EqualsTheCpu) {
  const DeviceExperts e(queue(), DType::q4_k, DType::q6_k, 8, 256, 512);
  const Input input = random_input(e, 4, 3, 11);
  std::vector<float> out(input.x.size());
  Stream cpu(1);
  const auto shape = {input.tokens, e.hidden};
  kernels::moe_experts(
      cpu, f32_view(input.x.data(), shape), {e.gate.host().bytes.data(), DType::q4_k, {e.count, e.inner, e.hidden}},
      {e.up.host().bytes.data(), DType::q4_k, {e.count, e.inner, e.hidden}},
      {e.down.host().bytes.data(), DType::q6_k, {e.count, e.hidden, e.inner}},
      {input.experts.data(), DType::i32, {input.tokens, input.chosen}},
      f32_view(input.weights.data(), {input.tokens, input.chosen}), RowKind::decode, f32_view(out.data(), shape));
  const double size = size_of({out.begin(), out.end()});
  expect_all_near(
      run(queue(), e, nullptr, input, 0, false), [&](std::size_t i) { return static_cast<double>(out[i]); },
      [&](std::size_t) { return size; }, rounded_tolerance);
}

void expect_alike(Queue& queue, const DeviceExperts& e, const Shared* shared, const Input& input) {
  const std::vector<float> together = run(queue, e, shared, input);
  for (std::int64_t t = 0; t < input.tokens; ++t) {
    const auto row = [&](const auto& values, std::int64_t columns) {
      return std::decay_t<decltype(values)>(values.begin() + t * columns, values.begin() + (t + 1) * columns);
    };
    const std::vector<float> alone = run(queue, e, shared,
                                         {1, input.chosen, row(input.x, e.hidden), row(input.residual, e.hidden),
                                          row(input.weights, input.chosen), row(input.experts, input.chosen)});
    EXPECT_EQ(std::memcmp(alone.data(), together.data() + t * e.hidden, alone.size() * 4), 0) << "token " << t;
  }
}

TEST_F(CudaMoeExpertsDecodeSmall, GivesATokenTheSameBitsInAnyCompany) {
  const DeviceExperts e(queue(), DType::q4_1, DType::q8_0, 3, 32, 32);
  const Shared shared(queue(), DType::q8_0, DType::q4_0, DType::q8_0, 32, 32);
  expect_alike(queue(), e, &shared, random_input(e, 3, 2, 12));
}

TEST_F(CudaMoeExpertsDecode, GivesATokenTheSameBitsInAnyCompany) {
  const DeviceExperts e(queue(), DType::q4_k, DType::q6_k, 6, 256, 512);
  const Shared shared(queue(), DType::q8_0, DType::q5_k, DType::f32, 256, 512);
  for (const std::int64_t tokens : {2, 4, 7}) expect_alike(queue(), e, &shared, random_input(e, tokens, 3, 13));
  // Rounded rows of eight tokens and ten experts that do not fit at once: the launches are cut.
  const DeviceExperts many(queue(), DType::f16, DType::q8_0, 12, 1024, 32);
  expect_alike(queue(), many, nullptr, random_input(many, 8, 10, 14));
  const DeviceExperts plain(queue(), DType::bf16, DType::f16, 6, 64, 72);
  expect_alike(queue(), plain, nullptr, random_input(plain, 8, 4, 15));
}

TEST_F(CudaMoeExpertsDecodeSmall, CountsWhatAnExpertIsNamedTwiceForAndSkipsThoseThatDoNotExist) {
  const DeviceExperts e(queue(), DType::f32, DType::f32, 5, 4, 8);
  Input input = random_input(e, 3, 3, 16);
  input.experts = {2, 4, 2, 2, 2, 2, 0, 4, 1};
  expect_reference(queue(), e, nullptr, input);
  for (const std::int32_t wrong : {-1, 5, 1 << 30, static_cast<std::int32_t>(0x80000000u), 0x7FFFFFFF}) {
    input.experts[1] = wrong;
    const std::vector<double> expected = reference(e, nullptr, input);
    const double size = size_of(expected);
    expect_all_near(
        run(queue(), e, nullptr, input, 1), [&](std::size_t i) { return expected[i]; },
        [&](std::size_t) { return size; }, plain_tolerance);
  }
  input.experts.assign(9, -7);  // none at all: the residual alone
  expect_same_bits(run(queue(), e, nullptr, input, 1), input.residual);
}

TEST_F(CudaMoeExpertsDecodeSmall, WorksInPlaceAndInAGraph) {
  const DeviceExperts e(queue(), DType::q8_0, DType::q8_0, 3, 32, 32);
  const Shared shared(queue(), DType::q8_0, DType::q8_0, DType::f32, 32, 32);
  Input input = random_input(e, 2, 2, 17);
  const std::vector<float> first = run(queue(), e, &shared, input);
  const OnDevice<float> x(queue(), input.x), weights(queue(), input.weights), place(queue(), input.residual);
  const OnDevice<std::int32_t> experts(queue(), input.experts), fault(queue(), {0});
  const Graph graph = queue().capture([&] {
    moe_experts_decode(queue(), x.tensor({2, 32}), e.gate_tensor(), e.up_tensor(), e.down_tensor(),
                       experts.tensor({2, 2}), weights.tensor({2, 2}), shared.expert(), place.tensor({2, 32}),
                       place.tensor({2, 32}), fault.tensor({1}));
  });
  EXPECT_EQ(graph.nodes(), 2);
  queue().launch(graph);
  expect_same_bits(place.values(), first);
  input.experts = {1, 2, 0, 1};  // other experts in the same graph
  copy_to_device(queue(), experts.data(), input.experts.data(), 16);
  copy_to_device(queue(), place.data(), input.residual.data(), 2 * 32 * 4);
  queue().launch(graph);
  expect_same_bits(place.values(), run(queue(), e, &shared, input));
}

TEST_F(CudaMoeExpertsDecodeSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 20);
  const auto f32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::f32, shape); };
  const auto i32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::i32, shape); };
  const auto call = [&](Tensor x, Tensor gate, Tensor up, Tensor down, Tensor experts, Tensor weights, Tensor out,
                        Tensor fault, const SharedExpert& shared = {}) {
    moe_experts_decode(queue(), x, gate, up, down, experts, weights, shared, {}, out, fault);
  };
  const Tensor x = f32({2, 64}), gate = f32({3, 32, 64}), down = f32({3, 64, 32}), experts = i32({2, 2}),
               weights = f32({2, 2}), fault = i32({1});
  EXPECT_THROW(call(f32({9, 64}), gate, gate, down, i32({9, 2}), f32({9, 2}), f32({9, 64}), fault), Error);
  EXPECT_THROW(call(x, gate, gate, down, experts, weights, f32({2, 32}), fault), Error);
  EXPECT_THROW(call(x, gate, f32({3, 31, 64}), down, experts, weights, x, fault), Error);
  EXPECT_THROW(call(x, gate, memory.tensor(DType::bf16, {3, 32, 64}), down, experts, weights, x, fault), Error);
  EXPECT_THROW(call(x, gate, gate, f32({2, 64, 32}), experts, weights, x, fault), Error);
  EXPECT_THROW(call(x, gate, gate, down, i32({2, 33}), f32({2, 33}), x, fault), Error);
  EXPECT_THROW(call(x, gate, gate, down, f32({2, 2}), weights, x, fault), Error);
  EXPECT_THROW(call(x, gate, gate, down, experts, weights, x, i32({2})), Error);
  EXPECT_THROW(call(x, Tensor(memory.data() + 4, DType::f32, {3, 32, 64}), gate, down, experts, weights, x, fault),
               Error);
  Tensor packed = memory.tensor(DType::q8_0, {3, 32, 64});
  packed.packed = true;
  EXPECT_THROW(call(x, packed, packed, down, experts, weights, x, fault), Error);
  const Tensor k_blocks(memory.data(), DType::q4_k, {3, 32, 64});  // rows of a quarter block
  EXPECT_THROW(call(x, k_blocks, k_blocks, down, experts, weights, x, fault), Error);
  EXPECT_THROW(call(x, gate, gate, down, experts, weights, x, fault,
                    {f32({32, 64}), f32({32, 64}), f32({64, 31}), f32({1, 64})}),
               Error);
  EXPECT_THROW(call(x, gate, gate, down, experts, weights, x, fault,
                    {f32({32, 64}), f32({32, 64}), f32({64, 32}), f32({2, 64})}),
               Error);
  const Tensor huge(memory.data(), DType::q8_0, {1, 4096, 32}), huge_down(memory.data(), DType::q8_0, {1, 32, 4096});
  EXPECT_THROW(call(f32({1, 32}), huge, huge, huge_down, i32({1, 32}), f32({1, 32}), f32({1, 32}), fault), Error);
  call(f32({0, 64}), gate, gate, down, i32({0, 2}), f32({0, 2}), f32({0, 64}), fault);  // nothing to do
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

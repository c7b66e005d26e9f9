// moe_combine on the device.
#include "kernels/cuda/moe_combine.h"

#include "moe_reference.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaMoeCombine : public CudaTest {};
class CudaMoeCombineSmall : public CudaTest {};

/// sums of 34 terms in f32, and the sigmoid of the device.
constexpr double combine_tolerance = 4e-6;

std::vector<std::uint16_t> bf16_normals(std::int64_t n, unsigned seed) {
  std::vector<std::uint16_t> result;
  for (const float value : Random(seed).normals(n)) result.push_back(to_bf16(value));
  return result;
}

struct Case {
  std::int64_t tokens, chosen, hidden;
  std::vector<std::uint16_t> rows;
  std::vector<std::int32_t> places;  // a permutation, some of them -1
  std::vector<float> weights, shared, gate, residual;

  Case(std::int64_t t, std::int64_t k, std::int64_t h)
      : tokens(t),
        chosen(k),
        hidden(h),
        rows(bf16_normals(t * k * h, 1)),
        weights(Random(2).normals(t * k)),
        shared(Random(3).normals(t * h)),
        gate(Random(4).normals(t, 3)),
        residual(Random(5).normals(t * h)) {
    for (std::int64_t i = 0; i < t * k; ++i) places.push_back(static_cast<std::int32_t>(i));
    Random random(6);
    for (std::size_t i = places.size(); i > 1; --i) std::swap(places[i - 1], places[random.bits() % i]);
    for (std::size_t i = 3; i < places.size(); i += 7) places[i] = -1;
  }

  ExpertOrder order(const OnDevice<std::int32_t>& on_device) const {
    ExpertOrder result;
    result.places = on_device.tensor({tokens * chosen});
    return result;
  }
};

/// With everything, the shared expert's rows in f32 or bf16, or with the rows alone.
enum class Extras { none, f32, bf16 };

void expect_combined(Queue& queue, const Case& c, Extras extras) {
  SCOPED_TRACE(std::to_string(c.tokens) + " x " + std::to_string(c.chosen) + " x " + std::to_string(c.hidden));
  std::vector<std::uint16_t> shared_bf16;
  for (const float value : c.shared) shared_bf16.push_back(to_bf16(value));
  const OnDevice<std::uint16_t> rows(queue, c.rows), shared_half(queue, shared_bf16);
  const OnDevice<std::int32_t> places(queue, c.places);
  const OnDevice<float> weights(queue, c.weights), shared(queue, c.shared), gate(queue, c.gate),
      place(queue, c.residual);
  const GuardedOnDevice<float> out(queue, c.tokens * c.hidden);
  const auto shape = {c.tokens, c.hidden};
  const auto run = [&](Tensor to, Tensor residual) {
    moe_combine(queue, rows.tensor({c.tokens * c.chosen, c.hidden}), c.order(places),
                weights.tensor({c.tokens, c.chosen}),
                extras == Extras::none  ? Tensor{}
                : extras == Extras::f32 ? shared.tensor(shape)
                                        : shared_half.tensor(shape),
                extras == Extras::none ? Tensor{} : gate.tensor({c.tokens}), residual, to);
  };
  run(out.tensor(shape), extras == Extras::none ? Tensor{} : place.tensor(shape));
  const auto expected = [&](std::size_t i) {
    const std::int64_t t = static_cast<std::int64_t>(i) / c.hidden, h = static_cast<std::int64_t>(i) % c.hidden;
    double sum = 0;
    for (std::int64_t j = 0; j < c.chosen; ++j) {
      const std::int64_t row = c.places[at(t * c.chosen + j)];
      if (row >= 0)
        sum += static_cast<double>(c.weights[at(t * c.chosen + j)]) *
               static_cast<double>(from_bf16(c.rows[at(row * c.hidden + h)]));
    }
    if (extras == Extras::none) return sum;
    const float value = extras == Extras::f32 ? c.shared[i] : from_bf16(shared_bf16[i]);
    return static_cast<double>(c.residual[i]) + sum +
           static_cast<double>(value) / (1 + std::exp(-static_cast<double>(c.gate[at(t)])));
  };
  expect_all_near(
      out.values(), expected, [&](std::size_t) { return std::sqrt(static_cast<double>(c.chosen)) + 2; },
      combine_tolerance);
  if (extras == Extras::none) return;
  run(place.tensor(shape), place.tensor(shape));
  expect_same_bits(place.values(), out.values());
}

TEST_F(CudaMoeCombineSmall, EqualsTheReference) {
  for (const Extras extras : {Extras::none, Extras::f32, Extras::bf16}) {
    expect_combined(queue(), Case(3, 4, 24), extras);
    expect_combined(queue(), Case(1, 1, 8), extras);
  }
}

TEST_F(CudaMoeCombine, EqualsTheReference) {
  for (const Extras extras : {Extras::none, Extras::f32, Extras::bf16}) {
    expect_combined(queue(), Case(2, 10, 2048), extras);
    expect_combined(queue(), Case(3, 32, 2056), extras);  // a second run of columns
  }
}

TEST_F(CudaMoeCombineSmall, AddsInTheOrderOfTheExperts) {
  // 2^24 + 1 - 2^24 is 0 or 1, as the order of the places has it, not that of the choices.
  std::vector<std::uint16_t> values;
  for (const float value : {16777216.0f, 1.0f, -16777216.0f}) values.insert(values.end(), 8, to_bf16(value));
  const OnDevice<std::uint16_t> rows(queue(), values);
  const OnDevice<float> weights(queue(), {1, 1, 1});
  const GuardedOnDevice<float> out(queue(), 8);
  for (const std::vector<std::int32_t>& order : {std::vector<std::int32_t>{0, 1, 2}, {2, 0, 1}, {1, 2, 0}}) {
    const OnDevice<std::int32_t> places(queue(), order);
    ExpertOrder sorted;
    sorted.places = places.tensor({3});
    moe_combine(queue(), rows.tensor({3, 8}), sorted, weights.tensor({1, 3}), {}, {}, {}, out.tensor({1, 8}));
    EXPECT_EQ(out.values(), std::vector<float>(8, 0));
  }
}

TEST_F(CudaMoeCombineSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 16);
  const auto f32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::f32, shape); };
  const auto bf16 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::bf16, shape); };
  ExpertOrder order;
  order.places = memory.tensor(DType::i32, {6});
  EXPECT_THROW(moe_combine(queue(), bf16({6, 12}), order, f32({2, 3}), {}, {}, {}, f32({2, 12})), Error);
  EXPECT_THROW(moe_combine(queue(), bf16({5, 8}), order, f32({2, 3}), {}, {}, {}, f32({2, 8})), Error);
  EXPECT_THROW(moe_combine(queue(), f32({6, 8}), order, f32({2, 3}), {}, {}, {}, f32({2, 8})), Error);
  EXPECT_THROW(moe_combine(queue(), bf16({6, 8}), order, f32({2, 3}), f32({2, 8}), {}, {}, f32({2, 8})), Error);
  EXPECT_THROW(moe_combine(queue(), bf16({6, 8}), order, f32({2, 3}), f32({2, 4}), f32({2}), {}, f32({2, 8})), Error);
  EXPECT_THROW(moe_combine(queue(), bf16({6, 8}), order, f32({2, 3}), {}, {}, f32({1, 8}), f32({2, 8})), Error);
  EXPECT_THROW(
      moe_combine(queue(), Tensor(memory.data() + 2, DType::bf16, {6, 8}), order, f32({2, 3}), {}, {}, {}, f32({2, 8})),
      Error);
  order.places = memory.tensor(DType::i32, {0});
  moe_combine(queue(), bf16({0, 8}), order, f32({0, 3}), {}, {}, {}, f32({0, 8}));  // nothing to do
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

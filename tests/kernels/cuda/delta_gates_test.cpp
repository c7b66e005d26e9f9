#include "kernels/cuda/delta_gates.h"

#include "cuda_test.h"
#include "kernels/delta_gates.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaDeltaGates : public CudaTest {};
class CudaDeltaGatesSmall : public CudaTest {};

void expect_gates(Queue& queue, std::int64_t tokens, std::int64_t heads) {
  const std::int64_t n = tokens * heads;
  std::vector<float> a = Random(1).normals(n, 15), b = Random(2).normals(n, 5);
  const std::vector<float> bias = Random(3).normals(heads);
  std::vector<float> decay = Random(4).normals(heads, 4);
  for (float& x : decay) x = -std::abs(x);
  a[0] = 200;  // softplus without its branch would be infinite
  b[0] = -200;
  if (n > 1) a[1] = -200, b[1] = 200;
  const OnDevice<float> da(queue, a), db(queue, b), dbias(queue, bias), ddecay(queue, decay);
  const GuardedOnDevice<float> g(queue, n), beta(queue, n);
  delta_gates(queue, da.tensor({tokens, heads}), db.tensor({tokens, heads}), ddecay.tensor({heads}),
              dbias.tensor({heads}), g.tensor({tokens, heads}), beta.tensor({tokens, heads}));
  const auto wide = static_cast<std::size_t>(heads);
  const auto gate = [&](std::size_t i) {
    const double x = static_cast<double>(a[i]) + static_cast<double>(bias[i % wide]);
    return static_cast<double>(decay[i % wide]) * (x > 20 ? x : std::log1p(std::exp(x)));
  };
  // The sum a + dt_bias is rounded to f32 (up to 2^-24 of 50), which the exponential of a negative one passes on.
  expect_all_near(
      g.values(), gate, [&](std::size_t i) { return std::abs(gate(i)) + 1e-9; }, 5e-6);
  expect_all_near(
      beta.values(), [&](std::size_t i) { return 1 / (1 + std::exp(-static_cast<double>(b[i]))); },
      [](std::size_t) { return 1.0; }, elementwise_tolerance);

  // In place, and beside the CPU.
  delta_gates(queue, da.tensor({tokens, heads}), db.tensor({tokens, heads}), ddecay.tensor({heads}),
              dbias.tensor({heads}), da.tensor({tokens, heads}), db.tensor({tokens, heads}));
  expect_same_bits(da.values(), g.values());
  expect_same_bits(db.values(), beta.values());
  std::vector<float> twin_g(a.size()), twin_beta(a.size());
  Stream cpu(1);
  kernels::delta_gates(cpu, f32_view(a.data(), {tokens, heads}), f32_view(b.data(), {tokens, heads}),
                       f32_view(decay.data(), {heads}), f32_view(bias.data(), {heads}),
                       f32_view(twin_g.data(), {tokens, heads}), f32_view(twin_beta.data(), {tokens, heads}));
  expect_all_near(
      g.values(), [&](std::size_t i) { return static_cast<double>(twin_g[i]); },
      [&](std::size_t i) { return std::abs(static_cast<double>(twin_g[i])) + 1e-9; }, elementwise_tolerance);
}

TEST_F(CudaDeltaGatesSmall, EqualTheReferenceInPlaceToo) {
  expect_gates(queue(), 1, 1);
  expect_gates(queue(), 9, 5);
}

TEST_F(CudaDeltaGates, EqualTheReferenceInPlaceToo) {
  expect_gates(queue(), 1, 32);
  expect_gates(queue(), 100, 48);
}

TEST_F(CudaDeltaGatesSmall, RefuseWhatDoesNotFit) {
  const DeviceBuffer memory(1024);
  const auto f32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::f32, shape); };
  const Tensor x = f32({3, 4}), w = f32({4});
  EXPECT_THROW(delta_gates(queue(), x, f32({3, 5}), w, w, x, x), Error);
  EXPECT_THROW(delta_gates(queue(), x, x, f32({5}), w, x, x), Error);
  EXPECT_THROW(delta_gates(queue(), x, x, w, f32({3}), x, x), Error);
  EXPECT_THROW(delta_gates(queue(), x, x, w, w, memory.tensor(DType::bf16, {3, 4}), x), Error);
  delta_gates(queue(), f32({0, 4}), f32({0, 4}), w, w, f32({0, 4}), f32({0, 4}));  // no tokens: nothing to do
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

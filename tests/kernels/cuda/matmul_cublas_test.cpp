#include "kernels/cuda/matmul_cublas.h"

#include "kernels/cuda/matmul.h"
#include "products_test.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaMatmulByCublas : public CudaTest {};
class CudaMatmulByCublasSmall : public CudaTest {};

/// Both multiply the same bf16 values exactly and differ in their sums in f32 (matmul_test.cpp).
constexpr double sum_tolerance = 1e-4;

/// Against matmul, whose own test has the reference in double.
void expect_as_matmul(Queue& queue, const std::vector<DType>& types, std::int64_t tokens, std::int64_t k,
                      DType x_type) {
  SCOPED_TRACE(std::to_string(tokens) + " x " + std::to_string(k));
  Cublas cublas(queue);
  const std::vector<float> x = Random(7).normals(tokens * k), residual = Random(8).normals(tokens * 64);
  std::vector<std::uint16_t> halves;
  for (const float value : x) halves.push_back(to_bf16(value));
  const OnDevice<float> dx(queue, x), apart(queue, residual);
  const OnDevice<std::uint16_t> dx_bf16(queue, halves);
  const Tensor activations = x_type == DType::f32 ? dx.tensor({tokens, k}) : dx_bf16.tensor({tokens, k});
  std::vector<DeviceWeights> weights;
  std::vector<std::unique_ptr<GuardedOnDevice<float>>> outputs;
  std::vector<Product> ours, theirs;
  for (std::size_t i = 0; i < types.size(); ++i) {
    const std::int64_t n = 5 + 17 * static_cast<std::int64_t>(i % 3);
    weights.emplace_back(queue, random_weights(types[i], n, k, static_cast<unsigned>(i)));
    for (std::vector<Product>* list : {&ours, &theirs}) {
      outputs.push_back(std::make_unique<GuardedOnDevice<float>>(queue, tokens * n));
      const Tensor out = outputs.back()->tensor({tokens, n});
      ConstTensor added;
      if (i % 3 == 1) added = apart.tensor({tokens, n});
      if (i % 3 == 2) {  // in place
        copy_on_device(queue, out.data, apart.data(), tokens * n * 4);
        added = out;
      }
      list->push_back({weights.back().tensor(), out, added});
    }
  }
  matmul(queue, activations, ours);
  matmul_by_cublas(cublas, activations, theirs);
  for (std::size_t i = 0; i < types.size(); ++i) {
    SCOPED_TRACE(name(types[i]));
    const std::vector<float> expected = outputs[2 * i]->values();
    expect_all_near(
        outputs[2 * i + 1]->values(), [&](std::size_t at) { return static_cast<double>(expected[at]); },
        [&](std::size_t) { return std::sqrt(static_cast<double>(k)); }, sum_tolerance);
  }
}

TEST_F(CudaMatmulByCublasSmall, EqualsMatmul) {
  expect_as_matmul(queue(), {DType::q4_0, DType::bf16, DType::f32}, 3, 64, DType::f32);
  expect_as_matmul(queue(), {DType::q8_0}, 2, 96, DType::bf16);
}

TEST_F(CudaMatmulByCublas, EqualsMatmulForEveryType) {
  expect_as_matmul(
      queue(), {DType::q4_k, DType::q5_k, DType::q6_k, DType::q8_0, DType::q4_0, DType::q4_1, DType::bf16, DType::f16},
      37, 512, DType::f32);
  expect_as_matmul(queue(), {DType::q4_k, DType::f32, DType::bf16}, 70, 256, DType::bf16);
  expect_as_matmul(queue(), {DType::bf16, DType::f32, DType::f16}, 3, 77, DType::f32);  // all of it by matmul
}

TEST_F(CudaMatmulByCublas, TakesMoreRowsThanAreDequantizedAtATime) {
  const std::int64_t n = cublas_weight_rows + 3, k = 32;
  Cublas cublas(queue());
  const DeviceWeights w(queue(), random_weights(DType::q4_1, n, k, 1));
  const OnDevice<float> x(queue(), Random(2).normals(k));
  const GuardedOnDevice<float> ours(queue(), n), theirs(queue(), n);
  matmul(queue(), x.tensor({1, k}), w.tensor(), ours.tensor({1, n}));
  const Product product{w.tensor(), theirs.tensor({1, n}), {}};
  matmul_by_cublas(cublas, x.tensor({1, k}), {&product, 1});
  const std::vector<float> expected = ours.values();
  expect_all_near(
      theirs.values(), [&](std::size_t at) { return static_cast<double>(expected[at]); },
      [&](std::size_t) { return std::sqrt(static_cast<double>(k)); }, sum_tolerance);
}

TEST_F(CudaMatmulByCublasSmall, CanBeReplayedWithinItsWorkspace) {
  const std::int64_t tokens = 2, k = 32, n = 3;
  Cublas cublas(queue());
  const DeviceWeights w(queue(), random_weights(DType::q8_0, n, k, 1));
  const std::vector<float> first = Random(2).normals(tokens * k), second = Random(3).normals(tokens * k);
  const OnDevice<float> x(queue(), first);
  const GuardedOnDevice<float> out(queue(), tokens * n), again(queue(), tokens * n);
  const Product product{w.tensor(), out.tensor({tokens, n}), {}}, repeated{w.tensor(), again.tensor({tokens, n}), {}};
  queue().reserve_workspace(matmul_by_cublas_workspace_bytes(tokens, k));
  const Graph graph = queue().capture([&] { matmul_by_cublas(cublas, x.tensor({tokens, k}), {&product, 1}); });
  copy_to_device(queue(), x.data(), second.data(), tokens * k * 4);
  queue().launch(graph);
  matmul_by_cublas(cublas, x.tensor({tokens, k}), {&repeated, 1});
  expect_same_bits(out.values(), again.values());
}

TEST_F(CudaMatmulByCublasSmall, RefusesWhatDoesNotFit) {
  Cublas cublas(queue());
  const DeviceBuffer memory(1 << 16);
  const Tensor q4 = memory.tensor(DType::q4_0, {2, 32}), x = memory.tensor(DType::f32, {1, 32});
  const Product fits{q4, memory.tensor(DType::f32, {1, 2}), {}}, short_out{q4, memory.tensor(DType::f32, {1, 1}), {}};
  EXPECT_THROW(matmul_by_cublas(cublas, x, {&short_out, 1}), Error);
  EXPECT_THROW(matmul_by_cublas(cublas, memory.tensor(DType::f16, {1, 32}), {&fits, 1}), Error);
  EXPECT_THROW(matmul_by_cublas(cublas, memory.tensor(DType::f32, {1, 31}), {&fits, 1}), Error);
  const Product none{q4, memory.tensor(DType::f32, {0, 2}), {}};
  matmul_by_cublas(cublas, memory.tensor(DType::f32, {0, 32}), {&none, 1});  // no rows: nothing to do
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

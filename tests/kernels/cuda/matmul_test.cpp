// Against products in double of what the kernel says it multiplies: x and quantized weights rounded to bf16 (the
// weights by embed_rows, whose own test compares them with gguf-py's), f32 and f16 weights as they are.
#include "kernels/cuda/matmul.h"

#include "kernels/cuda/embed_rows.h"
#include "kernels/matmul.h"
#include "products_test.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaMatmul : public CudaTest {};
class CudaMatmulSmall : public CudaTest {};

/// Sums in f32 of up to 2,048 exact products: tensor cores cut what they align, up to 2^-23 of the sum so far at each
/// of 128 steps. An element that is wrong or missing is 2e-2 of the size.
constexpr double tensor_core_tolerance = 5e-5;
/// Against the CPU, which keeps f32 weights and rounds x to 8 bits for quantized ones: both roundings, 2^-9 and 2^-8 of
/// random terms, five deviations out.
constexpr double other_rounding_tolerance = 3e-2;

bool keeps_low_part(DType type) {
  return type == DType::f32 || type == DType::f16;
}

std::vector<float> run(Queue& queue, const std::vector<float>& x, const Weights& w) {
  const std::int64_t tokens = static_cast<std::int64_t>(x.size()) / w.columns;
  const DeviceWeights weights(queue, w);
  const OnDevice<float> dx(queue, x);
  const GuardedOnDevice<float> out(queue, tokens * w.rows);
  matmul(queue, dx.tensor({tokens, w.columns}), weights.tensor(), out.tensor({tokens, w.rows}));
  return out.values();
}

std::vector<std::uint16_t> bf16_of(const std::vector<float>& x) {
  std::vector<std::uint16_t> result;
  for (const float value : x) result.push_back(to_bf16(value));
  return result;
}

std::vector<float> run_on_bf16(Queue& queue, const std::vector<float>& x, const Weights& w) {
  const std::int64_t tokens = static_cast<std::int64_t>(x.size()) / w.columns;
  const DeviceWeights weights(queue, w);
  const OnDevice<std::uint16_t> dx(queue, bf16_of(x));
  const GuardedOnDevice<float> out(queue, tokens * w.rows);
  matmul(queue, dx.tensor({tokens, w.columns}), weights.tensor(), out.tensor({tokens, w.rows}));
  return out.values();
}

std::vector<float> rounded_to_bf16(std::vector<float> x) {
  for (float& value : x) value = from_bf16(to_bf16(value));
  return x;
}

std::vector<float> weights_as_multiplied(Queue& queue, const Weights& w) {
  if (!is_quantized(w.type)) return w.values;
  std::vector<std::int32_t> ids;
  for (std::int64_t row = 0; row < w.rows; ++row) ids.push_back(static_cast<std::int32_t>(row));
  const DeviceWeights table(queue, w);
  const OnDevice<std::int32_t> device_ids(queue, ids), bad(queue, {0});
  const GuardedOnDevice<std::uint16_t> rows(queue, w.rows * w.columns);
  embed_rows(queue, table.tensor(), device_ids.tensor({w.rows}), rows.tensor({w.rows, w.columns}), bad.tensor({1}));
  return rows.values();
}

void check(Queue& queue, DType type, std::int64_t tokens, std::int64_t n, std::int64_t k) {
  SCOPED_TRACE(std::string(name(type)) + " " + std::to_string(tokens) + " x " + std::to_string(n) + " x " +
               std::to_string(k));
  const Weights w = random_weights(type, n, k, static_cast<unsigned>(n + k));
  const std::vector<float> x = random_activations(tokens, k, 7), multiplied = weights_as_multiplied(queue, w);
  const std::vector<float> rounded = rounded_to_bf16(x);
  expect_product(run(queue, x, w), reference_product(keeps_low_part(type) ? x : rounded, multiplied, k),
                 tensor_core_tolerance);
  const std::vector<float> on_bf16 = run_on_bf16(queue, x, w);
  if (keeps_low_part(type))
    expect_product(on_bf16, reference_product(rounded, multiplied, k), tensor_core_tolerance);
  else
    expect_same_bits(on_bf16, run(queue, rounded, w));
}

TEST_F(CudaMatmulSmall, EqualsTheReferenceForEveryType) {
  for (const DType type : weight_types()) {
    const std::int64_t unit = block_values(type);
    check(queue(), type, 3, 5, unit == 1 ? 37 : unit);
  }
  check(queue(), DType::q4_0, 2, 3, 256);     // all stages of the pipeline, twice
  check(queue(), DType::q4_k, 66, 130, 256);  // large tiles, more rows than one holds
}

TEST_F(CudaMatmul, EqualsTheReferenceForEveryTypeAndOddSizes) {
  for (const DType type : weight_types()) {
    const std::int64_t unit = block_values(type);
    check(queue(), type, 1, 1, unit);
    check(queue(), type, 33, 129, unit == 256 ? 256 : 3 * unit);
    check(queue(), type, 131, 38, unit == 1 ? 77 : unit == 32 ? 160 : 256);
  }
}

TEST_F(CudaMatmul, EqualsTheReferenceAtTheSizesOfTheModels) {
  check(queue(), DType::q4_k, 70, 64, 2048);  // Qwen3-Next
  check(queue(), DType::q6_k, 9, 64, 4096);
  check(queue(), DType::q8_0, 9, 140, 2048);
  check(queue(), DType::f32, 65, 64, 2048);   // router
  check(queue(), DType::q5_k, 9, 32, 512);    // shared expert
  check(queue(), DType::q4_1, 9, 192, 1536);  // SmolLM2-135M
  check(queue(), DType::q8_0, 9, 192, 576);
}

TEST_F(CudaMatmul, IsNearTheCpu) {
  for (const DType type : weight_types()) {
    SCOPED_TRACE(name(type));
    const std::int64_t n = 24, k = 512, tokens = 40;
    const Weights w = random_weights(type, n, k, 3);
    const std::vector<float> x = Random(5).normals(tokens * k);
    std::vector<float> twin(static_cast<std::size_t>(tokens * n));
    Stream cpu(1);
    kernels::matmul(cpu, f32_view(x.data(), {tokens, k}), w.tensor(), f32_view(twin.data(), {tokens, n}));
    ReferenceProduct expected = reference_product(x, w.values, k);
    expected.sums.assign(twin.begin(), twin.end());
    expect_product(run(queue(), x, w), expected,
                   keeps_low_part(type) ? tensor_core_tolerance : other_rounding_tolerance);
  }
}

/// The rows of x in pieces of these sizes, one call each.
std::vector<float> run_in_pieces(Queue& queue, const std::vector<float>& x, const Weights& w,
                                 const std::vector<std::int64_t>& pieces) {
  std::vector<float> result;
  auto at = x.begin();
  for (const std::int64_t piece : pieces) {
    const std::vector<float> part = run(queue, {at, at + piece * w.columns}, w);
    result.insert(result.end(), part.begin(), part.end());
    at += piece * w.columns;
  }
  return result;
}

TEST_F(CudaMatmul, GivesARowTheSameBitsHoweverAPrefillIsCut) {
  for (const DType type : weight_types()) {
    SCOPED_TRACE(name(type));
    const std::int64_t k = keeps_low_part(type) ? 128 : 256, n = 40, rows = 200;
    const Weights w = random_weights(type, n, k, 3);
    const std::vector<float> x = random_activations(rows, k, 5);
    const std::vector<float> together = run(queue(), x, w);
    expect_same_bits(run_in_pieces(queue(), x, w, {64, 64, 64, 8}), together);
    expect_same_bits(run_in_pieces(queue(), x, w, {128, 72}), together);
    expect_same_bits(run_in_pieces(queue(), x, w, {1, 65, 33, 101}), together);
  }
}

TEST_F(CudaMatmulSmall, GivesARowTheSameBitsInBothTiles) {
  const std::int64_t k = 96, n = 3, rows = 67;
  const Weights w = random_weights(DType::q4_1, n, k, 3);
  const std::vector<float> x = random_activations(rows, k, 5);
  expect_same_bits(run_in_pieces(queue(), x, w, {2, 64, 1}), run(queue(), x, w));
}

TEST_F(CudaMatmul, GivesSeveralProductsTheBitsOfEachAlone) {
  const std::int64_t k = 512, tokens = 37;
  const std::vector<DType> types = {DType::q4_k, DType::q6_k, DType::f32,  DType::q4_k,
                                    DType::bf16, DType::q4_k, DType::q5_k, DType::f16};
  const std::vector<float> x = random_activations(tokens, k, 9);
  const OnDevice<float> dx(queue(), x);
  const std::vector<float> residual = Random(11).normals(tokens * 200);
  const OnDevice<float> apart(queue(), residual);
  std::vector<Weights> weights;
  std::vector<DeviceWeights> on_device;
  std::vector<std::unique_ptr<GuardedOnDevice<float>>> outputs;
  std::vector<Product> products;
  for (std::size_t i = 0; i < types.size(); ++i) {
    const std::int64_t n = i == 3 ? 150 : 3 + 13 * static_cast<std::int64_t>(i % 4);
    weights.push_back(random_weights(types[i], n, k, static_cast<unsigned>(i)));
    on_device.emplace_back(queue(), weights.back());
    outputs.push_back(std::make_unique<GuardedOnDevice<float>>(queue(), tokens * n));
    const Tensor out = outputs.back()->tensor({tokens, n});
    ConstTensor added;
    if (i % 3 == 1) added = apart.tensor({tokens, n});
    if (i % 3 == 2) {  // in place
      copy_on_device(queue(), out.data, apart.data(), tokens * n * 4);
      added = out;
    }
    products.push_back({on_device.back().tensor(), out, added});
  }
  matmul(queue(), dx.tensor({tokens, k}), products);
  for (std::size_t i = 0; i < types.size(); ++i) {
    SCOPED_TRACE(std::to_string(i) + " " + name(types[i]));
    std::vector<float> alone = run(queue(), x, weights[i]);
    if (i % 3 != 0)
      for (std::size_t j = 0; j < alone.size(); ++j) alone[j] += residual[j];
    expect_same_bits(outputs[i]->values(), alone);
  }
}

TEST_F(CudaMatmulSmall, KeepsWhatIsNotANumberInItsRow) {
  const Weights w = random_weights(DType::q8_0, 4, 64, 1);
  std::vector<float> x = Random(1).normals(3 * 64);
  x[64 + 3] = std::nanf("");
  const std::vector<float> out = run(queue(), x, w);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(std::isfinite(out[i]));
    EXPECT_TRUE(std::isnan(out[4 + i]));
    EXPECT_TRUE(std::isfinite(out[8 + i]));
  }
}

TEST_F(CudaMatmulSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 16);
  const auto f32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::f32, shape); };
  const Tensor q4 = memory.tensor(DType::q4_0, {2, 32});
  EXPECT_THROW(matmul(queue(), f32({1, 31}), q4, f32({1, 2})), Error);
  EXPECT_THROW(matmul(queue(), f32({1, 32}), q4, f32({1, 3})), Error);
  EXPECT_THROW(matmul(queue(), f32({1, 32}), q4, f32({2, 2})), Error);
  EXPECT_THROW(matmul(queue(), f32({1, 32}), q4, memory.tensor(DType::bf16, {1, 2})), Error);
  EXPECT_THROW(matmul(queue(), memory.tensor(DType::f16, {1, 32}), q4, f32({1, 2})), Error);
  EXPECT_THROW(matmul(queue(), f32({1, 32}), memory.tensor(DType::i32, {2, 32}), f32({1, 2})), Error);
  EXPECT_THROW(matmul(queue(), f32({1, 32}), Tensor(memory.data() + 2, DType::q4_0, {2, 32}), f32({1, 2})), Error);
  EXPECT_THROW(matmul(queue(), Tensor(memory.data() + 4, DType::f32, {1, 32}), q4, f32({1, 2})), Error);
  EXPECT_THROW(matmul(queue(), f32({1, 32}), q4, Tensor(memory.data() + 4, DType::f32, {1, 2})), Error);
  Tensor packed = q4;
  packed.packed = true;
  EXPECT_THROW(matmul(queue(), f32({1, 32}), packed, f32({1, 2})), Error);
  const Product wrong_residual{q4, f32({1, 2}), f32({2, 1})};
  EXPECT_THROW(matmul(queue(), f32({1, 32}), {&wrong_residual, 1}), Error);
  const std::vector<Product> nine(9, {q4, f32({1, 2}), {}});
  EXPECT_THROW(matmul(queue(), f32({1, 32}), nine), Error);
  matmul(queue(), f32({0, 32}), q4, f32({0, 2}));  // no rows, no products: nothing to do
  matmul(queue(), f32({1, 32}), std::span<const Product>{});
}

TEST_F(CudaMatmulSmall, CanBeReplayedWithinItsWorkspace) {
  const std::int64_t tokens = 2, columns = 96;
  const Weights w = random_weights(DType::f16, 3, columns, 1);
  const std::vector<float> first = random_activations(tokens, columns, 2),
                           second = random_activations(tokens, columns, 3);
  const DeviceWeights weights(queue(), w);
  const OnDevice<float> x(queue(), first);
  const GuardedOnDevice<float> out(queue(), tokens * 3);
  queue().reserve_workspace(matmul_workspace_bytes(tokens, columns));
  const Graph graph = queue().capture([&] {
    matmul(queue(), x.tensor({tokens, columns}), weights.tensor(), out.tensor({tokens, 3}));
  });
  EXPECT_EQ(graph.nodes(), 2);
  copy_to_device(queue(), x.data(), second.data(), tokens * columns * 4);
  queue().launch(graph);
  expect_same_bits(out.values(), run(queue(), second, w));
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

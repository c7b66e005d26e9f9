// Quantized weights are compared with the dequantized weights times the rounded activations in double, so an error in a
// layout shows at once; the rounding itself is repeated here.
#include "kernels/cuda/matvec.h"

#include <fstream>
#include <limits>

#include "kernels/matvec.h"
#include "products_test.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaMatvec : public CudaTest {};
class CudaMatvecSmall : public CudaTest {};

/// Integers are exact; what remains are the scales' products and the f32 sum over the groups.
constexpr double quantized_tolerance = 2e-5;

std::vector<float> run(Queue& queue, const std::vector<float>& x, const Weights& w) {
  const std::int64_t tokens = static_cast<std::int64_t>(x.size()) / w.columns;
  const DeviceWeights weights(queue, w);
  const OnDevice<float> dx(queue, x);
  const GuardedOnDevice<float> out(queue, tokens * w.rows);
  matvec(queue, dx.tensor({tokens, w.columns}), weights.tensor(), out.tensor({tokens, w.rows}));
  return out.values();
}

ReferenceProduct expected_product(const std::vector<float>& x, const Weights& w) {
  if (!is_quantized(w.type)) return reference_product(x, w.values, w.columns);
  return reference_product(rounded_activations(x, w.columns, w.type == DType::q8_0), w.values, w.columns);
}

void check(Queue& queue, DType type, std::int64_t tokens, std::int64_t n, std::int64_t k) {
  SCOPED_TRACE(std::string(name(type)) + " " + std::to_string(tokens) + " x " + std::to_string(n) + " x " +
               std::to_string(k));
  const Weights w = random_weights(type, n, k, static_cast<unsigned>(n + k));
  const std::vector<float> x = random_activations(tokens, k, 7);
  expect_product(run(queue, x, w), expected_product(x, w), is_quantized(type) ? quantized_tolerance : f32_tolerance);
}

TEST_F(CudaMatvecSmall, EqualsTheReferenceForEveryType) {
  for (const DType type : weight_types()) {
    const std::int64_t unit = block_values(type);
    check(queue(), type, 1, 9, std::max<std::int64_t>(unit, 32));
    check(queue(), type, 3, 2, unit == 1 ? 3 : 2 * unit);
  }
}

TEST_F(CudaMatvec, EqualsTheReferenceForEveryTypeAndOddSizes) {
  for (const DType type : weight_types()) {
    const std::int64_t unit = block_values(type);
    check(queue(), type, 1, 1, unit);
    check(queue(), type, 1, 37, 3 * unit);
    check(queue(), type, 1, 5, unit == 1 ? 2061 : (2304 / unit) * unit);
    check(queue(), type, 2, 19, unit == 1 ? 100 : 9 * unit);
    check(queue(), type, 3, 37, 3 * unit);
    check(queue(), type, 5, 3, unit == 1 ? 577 : 2 * unit);
    check(queue(), type, 8, 5, unit == 1 ? 2061 : (2304 / unit) * unit);
  }
}

TEST_F(CudaMatvec, EqualsTheReferenceAtTheSizesOfTheModels) {
  for (const DType type : {DType::q4_k, DType::q5_k, DType::q6_k, DType::q8_0, DType::bf16}) {
    check(queue(), type, 1, 40, 2048);  // Qwen3-Next: projections of the residual stream
    check(queue(), type, 1, 18, 4096);  // and back to it
    check(queue(), type, 4, 18, 512);   // the shared expert
    check(queue(), type, 8, 3, 4096);   // rounded rows in the workspace
  }
  check(queue(), DType::f32, 3, 20, 2048);   // router
  check(queue(), DType::q4_1, 1, 20, 1536);  // SmolLM2-135M
  check(queue(), DType::q8_0, 1, 16, 576);
  check(queue(), DType::q6_k, 1, 4, 18944 / 256 * 256);
  check(queue(), DType::q4_k, 1, 2, 20480);  // one row that does not fit into shared memory
}

TEST_F(CudaMatvec, GivesEveryBlockItsTiles) {
  check(queue(), DType::q8_0, 1, 1100, 544);  // more tiles than blocks at once, on the emulated device
  check(queue(), DType::bf16, 2, 530, 264);
}

TEST_F(CudaMatvec, EqualsTheCpu) {
  for (const DType type : weight_types()) {
    SCOPED_TRACE(name(type));
    const std::int64_t n = 24, k = 1024, tokens = 4;
    const Weights w = random_weights(type, n, k, 3);
    const std::vector<float> x = random_activations(tokens, k, 5);
    std::vector<float> twin(static_cast<std::size_t>(tokens * n));
    Stream cpu(1);
    kernels::matvec(cpu, f32_view(x.data(), {tokens, k}), w.tensor(), f32_view(twin.data(), {tokens, n}));
    ReferenceProduct expected = reference_product(x, w.values, k);
    expected.sums.assign(twin.begin(), twin.end());
    expect_product(run(queue(), x, w), expected, is_quantized(type) ? quantized_tolerance : f32_tolerance);
  }
}

// gguf-py's own blocks and values (tests/reference/quant_blocks.py): a one in x picks that value of each row.
TEST_F(CudaMatvec, ReadsEveryValueOfGgufPysBlocksInItsPlace) {
  constexpr std::int64_t columns = 512, tokens = 8;
  std::ifstream file(LECTERN_SOURCE_DIR "/tests/data/kernels/quant_blocks.bin", std::ios::binary);
  for (const DType type :
       {DType::q4_0, DType::q4_1, DType::q8_0, DType::q4_k, DType::q5_k, DType::q6_k, DType::f16, DType::bf16}) {
    SCOPED_TRACE(name(type));
    Weights golden;
    golden.type = type;
    golden.rows = 2;
    golden.columns = columns;
    golden.bytes.resize(static_cast<std::size_t>(2 * row_bytes(type, columns)));
    golden.values.resize(2 * columns);
    file.read(reinterpret_cast<char*>(golden.bytes.data()), static_cast<std::streamsize>(golden.bytes.size()));
    file.read(reinterpret_cast<char*>(golden.values.data()), 2 * columns * 4);
    ASSERT_TRUE(file.good());
    for (std::int64_t first = 0; first < columns; first += tokens * 3) {
      std::vector<float> x(tokens * columns, 0.0f);
      const auto column_of = [&](std::int64_t t) { return std::min(first + 3 * t, columns - 1); };
      for (std::int64_t t = 0; t < tokens; ++t) x[static_cast<std::size_t>(t * columns + column_of(t))] = 1.0f;
      const std::vector<float> out = run(queue(), x, golden);
      for (std::int64_t t = 0; t < tokens; ++t)
        for (std::int64_t row = 0; row < 2; ++row) {
          const double expected =
              static_cast<double>(golden.values[static_cast<std::size_t>(row * columns + column_of(t))]);
          expect_near(out[static_cast<std::size_t>(t * 2 + row)], expected, std::abs(expected) + 1, 1e-6, column_of(t));
        }
    }
  }
}

/// Products of all types at once, with and without residuals.
void expect_several(Queue& queue, std::int64_t tokens, const std::vector<DType>& types, std::int64_t k) {
  const std::vector<float> x = random_activations(tokens, k, 9);
  const OnDevice<float> dx(queue, x);
  std::vector<Weights> weights;
  std::vector<DeviceWeights> on_device;
  std::vector<std::unique_ptr<GuardedOnDevice<float>>> outputs;
  std::vector<Product> products;
  const std::vector<float> residual = Random(11).normals(tokens * 64);
  const OnDevice<float> apart(queue, residual);
  on_device.reserve(types.size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    const std::int64_t n = 3 + 13 * static_cast<std::int64_t>(i % 4);
    weights.push_back(random_weights(types[i], n, k, static_cast<unsigned>(i)));
    on_device.emplace_back(queue, weights.back());
    outputs.push_back(std::make_unique<GuardedOnDevice<float>>(queue, tokens * n));
    const Tensor out = outputs.back()->tensor({tokens, n});
    ConstTensor added;
    if (i % 3 == 1) added = apart.tensor({tokens, n});
    if (i % 3 == 2) {  // in place
      copy_on_device(queue, out.data, apart.data(), tokens * n * 4);
      added = out;
    }
    products.push_back({on_device.back().tensor(), out, added});
  }
  matvec(queue, dx.tensor({tokens, k}), products);
  for (std::size_t i = 0; i < types.size(); ++i) {
    SCOPED_TRACE(std::to_string(i) + " " + name(types[i]));
    std::vector<float> alone = run(queue, x, weights[i]);
    if (i % 3 != 0)
      for (std::size_t j = 0; j < alone.size(); ++j) alone[j] = residual[j] + alone[j];
    expect_same_bits(outputs[i]->values(), alone);
  }
}

TEST_F(CudaMatvecSmall, GivesSeveralProductsTheBitsOfEachAlone) {
  expect_several(queue(), 2, {DType::q4_0, DType::f32, DType::bf16}, 64);
}

TEST_F(CudaMatvec, GivesSeveralProductsTheBitsOfEachAlone) {
  const std::vector<DType> types = {DType::q4_k, DType::q6_k, DType::f32,  DType::q4_k,
                                    DType::bf16, DType::q8_0, DType::q5_k, DType::q4_1};
  expect_several(queue(), 1, types, 768);
  expect_several(queue(), 3, types, 512);
  expect_several(queue(), 8, types, 2560);  // rounded rows in the workspace
  expect_several(queue(), 1, {DType::f16, DType::f32}, 99);
}

TEST_F(CudaMatvec, GivesEachOfEightRowsTheBitsOfThatRowAlone) {
  for (const DType type : weight_types()) {
    SCOPED_TRACE(name(type));
    const std::int64_t k = 2560, n = 35;  // eight rows are rounded in a kernel of their own, one in the product's
    const Weights w = random_weights(type, n, k, 3);
    const std::vector<float> x = random_activations(8, k, 5);
    std::vector<std::vector<float>> alone;
    for (std::int64_t t = 0; t < 8; ++t) alone.push_back(run(queue(), {x.begin() + t * k, x.begin() + (t + 1) * k}, w));
    for (const std::int64_t rows : {2, 3, 4, 5, 8}) {
      const std::vector<float> together = run(queue(), {x.begin(), x.begin() + rows * k}, w);
      for (std::int64_t t = 0; t < rows; ++t)
        expect_same_bits({together.begin() + t * n, together.begin() + (t + 1) * n},
                         alone[static_cast<std::size_t>(t)]);
    }
    // One row a warp, and two: the same rows of weights within a taller matrix.
    const Weights tall = random_weights(type, 270, k / 5, 4);
    Weights top = tall;
    top.rows = 9;
    top.bytes.resize(static_cast<std::size_t>(9 * row_bytes(type, k / 5)));
    const std::vector<float> one(x.begin(), x.begin() + k / 5), all = run(queue(), one, tall);
    expect_same_bits(run(queue(), one, top), {all.begin(), all.begin() + 9});
  }
}

TEST_F(CudaMatvecSmall, TakesZerosHugeValuesAndWhatIsNotFinite) {
  const Weights w = random_weights(DType::q4_1, 4, 64, 1);
  std::vector<float> x(5 * 64, 0.0f);
  for (std::size_t i = 64; i < 128; ++i) x[i] = 1e30f;
  x[2 * 64 + 3] = std::numeric_limits<float>::quiet_NaN();
  x[3 * 64 + 40] = std::numeric_limits<float>::infinity();
  for (std::size_t i = 4 * 64; i < 5 * 64; ++i) x[i] = 1e-42f;
  const std::vector<float> out = run(queue(), x, w);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(out[i], 0.0f);
    EXPECT_TRUE(std::isfinite(out[4 + i]));
    EXPECT_TRUE(std::isnan(out[8 + i]));
    EXPECT_TRUE(std::isnan(out[12 + i]));
    EXPECT_NEAR(out[16 + i], 0.0f, 1e-30f);
  }
}

TEST_F(CudaMatvecSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 16);
  const auto f32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::f32, shape); };
  const Tensor q4 = memory.tensor(DType::q4_0, {2, 32});
  EXPECT_THROW(matvec(queue(), f32({9, 32}), q4, f32({9, 2})), Error);  // too many rows
  EXPECT_THROW(matvec(queue(), f32({1, 31}), q4, f32({1, 2})), Error);
  EXPECT_THROW(matvec(queue(), f32({1, 32}), q4, f32({1, 3})), Error);
  EXPECT_THROW(matvec(queue(), f32({1, 32}), q4, f32({2, 2})), Error);
  EXPECT_THROW(matvec(queue(), f32({1, 32}), q4, memory.tensor(DType::bf16, {1, 2})), Error);
  EXPECT_THROW(matvec(queue(), memory.tensor(DType::bf16, {1, 32}), q4, f32({1, 2})), Error);
  EXPECT_THROW(matvec(queue(), f32({1, 32}), memory.tensor(DType::i32, {2, 32}), f32({1, 2})), Error);
  EXPECT_THROW(matvec(queue(), f32({1, 32}), Tensor(memory.data() + 2, DType::q4_0, {2, 32}), f32({1, 2})), Error);
  EXPECT_THROW(matvec(queue(), Tensor(memory.data() + 4, DType::f32, {1, 32}), q4, f32({1, 2})), Error);
  Tensor half_block = q4, packed = q4;
  half_block.shape[1] = 16;
  packed.packed = true;
  EXPECT_THROW(matvec(queue(), f32({1, 16}), half_block, f32({1, 2})), Error);
  EXPECT_THROW(matvec(queue(), f32({1, 32}), packed, f32({1, 2})), Error);
  const Product wrong_residual{q4, f32({1, 2}), f32({2, 1})};
  EXPECT_THROW(matvec(queue(), f32({1, 32}), {&wrong_residual, 1}), Error);
  const std::vector<Product> nine(9, {q4, f32({1, 2}), {}});
  EXPECT_THROW(matvec(queue(), f32({1, 32}), nine), Error);
  matvec(queue(), f32({0, 32}), q4, f32({0, 2}));  // no rows, no products: nothing to do
  matvec(queue(), f32({1, 32}), std::span<const Product>{});
}

TEST_F(CudaMatvecSmall, CanBeReplayed) {
  struct Case {
    std::int64_t tokens, columns, nodes;
  };
  for (const Case& c : {Case{1, 64, 1}, Case{8, 2560, 2}}) {
    const Weights w = random_weights(DType::q4_0, 3, c.columns, 1);
    const std::vector<float> first = random_activations(c.tokens, c.columns, 2),
                             second = random_activations(c.tokens, c.columns, 3);
    const DeviceWeights weights(queue(), w);
    const OnDevice<float> x(queue(), first);
    const GuardedOnDevice<float> out(queue(), c.tokens * 3);
    const auto product = [&] {
      matvec(queue(), x.tensor({c.tokens, c.columns}), weights.tensor(), out.tensor({c.tokens, 3}));
    };
    product();  // the workspace grows
    const Graph graph = queue().capture(product);
    EXPECT_EQ(graph.nodes(), c.nodes);
    copy_to_device(queue(), x.data(), second.data(), c.tokens * c.columns * 4);
    queue().launch(graph);
    expect_same_bits(out.values(), run(queue(), second, w));
  }
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

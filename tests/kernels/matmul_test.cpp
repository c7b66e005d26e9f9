// matmul and matvec: same contract, different arithmetic. Quantized weights are compared with the dequantized weights
// times the rounded activations in double, so an error in a layout shows at once; the rounding itself is repeated here.
#include "kernels/matmul.h"

#include <algorithm>

#include "kernel_test.h"
#include "kernels/cpu/inner_loops.h"
#include "kernels/error.h"
#include "kernels/matvec.h"

namespace lectern::kernels::test {
namespace {

enum class Product { matmul, matvec };

/// Random activations with values that stand out: in some rows many, in some none.
std::vector<float> random_activations(std::int64_t rows, std::int64_t columns, unsigned seed) {
  std::vector<float> x = Random(seed).normals(rows * columns);
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = 5; i < columns && row % 4 != 3; i += 71 + 40 * (row % 3))
      x[static_cast<std::size_t>(row * columns + i)] *= 30.0f;
  return x;
}

/// To 15 bits all values, or those of blocks that stand out.
enum class Refined { all, standing_out };

std::vector<double> rounded_activations(const std::vector<float>& x, std::int64_t columns, Refined refined) {
  std::vector<double> result(x.size());
  const auto row_size = static_cast<std::size_t>(columns);
  for (std::size_t row = 0; row < x.size(); row += row_size) {
    double mean = 0;
    for (std::size_t i = row; i < row + row_size; ++i) mean += std::abs(x[i]) / static_cast<double>(columns);
    for (std::size_t block = row; block < row + row_size; block += 32) {
      float largest = 0;
      for (std::size_t i = block; i < block + 32; ++i) largest = std::max(largest, std::abs(x[i]));
      const double parts = refined == Refined::all || static_cast<double>(largest) > 8 * mean ? 128 : 1;
      const double inverse = static_cast<double>(127.0f / largest);
      for (std::size_t i = block; i < block + 32; ++i)
        result[i] =
            std::nearbyint(static_cast<double>(x[i]) * inverse * parts) / parts * static_cast<double>(largest / 127.0f);
    }
  }
  return result;
}

std::vector<float> run(Stream& stream, Product product, const std::vector<float>& x, const Weights& w) {
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / w.columns;
  Guarded out(rows * w.rows);
  const ConstTensor in = f32_view(x.data(), {rows, w.columns});
  const Tensor result = f32_view(out.data(), {rows, w.rows});
  if (product == Product::matmul)
    matmul(stream, in, w.tensor(), result);
  else
    matvec(stream, in, w.tensor(), result);
  return out.values();
}

void check(Stream& stream, Product product, DType type, std::int64_t rows, std::int64_t n, std::int64_t k) {
  SCOPED_TRACE(std::string(name(type)) + " " + std::to_string(rows) + " x " + std::to_string(n) + " x " +
               std::to_string(k));
  const Weights w = random_weights(type, n, k, static_cast<unsigned>(n + k));
  const std::vector<float> x = random_activations(rows, k, 7);
  const bool all_refined = type == DType::q8_0 && (product == Product::matvec || stream.loops().panel_i16);
  const std::vector<double> meant = is_quantized(type)
                                        ? rounded_activations(x, k, all_refined ? Refined::all : Refined::standing_out)
                                        : std::vector<double>(x.begin(), x.end());
  const std::vector<float> out = run(stream, product, x, w);
  for (std::int64_t t = 0; t < rows; ++t) {
    for (std::int64_t row = 0; row < n; ++row) {
      double sum = 0, size = 0;
      for (std::int64_t i = 0; i < k; ++i) {
        const double term = meant[static_cast<std::size_t>(t * k + i)] *
                            static_cast<double>(w.values[static_cast<std::size_t>(row * k + i)]);
        sum += term;
        size += term * term;
      }
      // The size of the sum of k random terms, with its largest terms: an error in one value would be seen.
      expect_near(out[static_cast<std::size_t>(t * n + row)], sum, std::sqrt(size) + 1e-3,
                  is_quantized(type) ? 2e-5 : f32_tolerance, t * n + row);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(Matmul, EqualsTheReferenceForEveryTypeAndOddSizes) {
  on_every_path([](Stream& stream) {
    for (const DType type : weight_types()) {
      const std::int64_t unit = block_values(type);
      check(stream, Product::matmul, type, 1, 1, unit);
      check(stream, Product::matmul, type, 13, 37, 3 * unit);
      check(stream, Product::matmul, type, 5, 16, unit == 1 ? 577 : 2 * unit);
    }
  });
}

TEST(Matvec, EqualsTheReferenceForEveryTypeAndOddSizes) {
  on_every_path([](Stream& stream) {
    for (const DType type : weight_types()) {
      const std::int64_t unit = block_values(type);
      check(stream, Product::matvec, type, 1, 1, unit);
      check(stream, Product::matvec, type, 3, 37, 3 * unit);
      check(stream, Product::matvec, type, 8, 5, unit == 1 ? 2061 : (2304 / unit) * unit);
    }
  });
}

TEST(Matmul, EqualsTheReferenceAtTheSizesOfTheModels) {
  Stream stream(2);
  check(stream, Product::matmul, DType::q4_1, 9, 576, 576);  // SmolLM2-135M
  check(stream, Product::matmul, DType::q4_1, 9, 192, 1536);
  check(stream, Product::matmul, DType::q4_k, 9, 64, 2048);  // Qwen3-Next
  check(stream, Product::matmul, DType::q6_k, 9, 64, 2048);
  check(stream, Product::matvec, DType::q8_0, 1, 1024, 576);
  check(stream, Product::matvec, DType::q4_1, 1, 192, 1536);
  check(stream, Product::matvec, DType::q6_k, 1, 64, 18944 / 256 * 256);
}

TEST(Matmul, GivesARowTheSameBitsInAnyCompanyAndOnAnyNumberOfThreads) {
  for (const CpuPath path : paths()) {
    SCOPED_TRACE(name(path));
    Stream one(1, path), three(3, path);
    for (const DType type : weight_types()) {
      SCOPED_TRACE(name(type));
      const std::int64_t k = 768, n = 83, rows = 31;
      const Weights w = random_weights(type, n, k, 3);
      const std::vector<float> x = random_activations(rows, k, 5);
      const std::vector<float> together = run(three, Product::matmul, x, w);
      expect_same_bits(run(one, Product::matmul, x, w), together);
      for (const std::int64_t piece : {1, 2, 3, 7, 8, 12}) {
        std::vector<float> parts;
        for (std::int64_t t = 0; t < rows; t += piece) {
          const std::int64_t last = std::min(rows, t + piece);
          const std::vector<float> part = run(three, Product::matmul, {x.begin() + t * k, x.begin() + last * k}, w);
          parts.insert(parts.end(), part.begin(), part.end());
        }
        expect_same_bits(parts, together);
      }
    }
  }
}

TEST(Matvec, GivesEachOfEightRowsTheBitsOfThatRowAlone) {
  for (const CpuPath path : paths()) {
    SCOPED_TRACE(name(path));
    Stream one(1, path), three(3, path);
    for (const DType type : weight_types()) {
      SCOPED_TRACE(name(type));
      const std::int64_t k = 2304, n = 83;
      const Weights w = random_weights(type, n, k, 3);
      for (std::int64_t rows = 1; rows <= 8; ++rows) {
        const std::vector<float> x = random_activations(rows, k, 5);
        const std::vector<float> together = run(three, Product::matvec, x, w);
        std::vector<float> alone;
        for (std::int64_t t = 0; t < rows; ++t) {
          const std::vector<float> part = run(one, Product::matvec, {x.begin() + t * k, x.begin() + (t + 1) * k}, w);
          alone.insert(alone.end(), part.begin(), part.end());
        }
        expect_same_bits(alone, together);
      }
    }
  }
}

TEST(Matmul, TakesZerosAndHugeValues) {
  on_every_path([](Stream& stream) {
    const Weights w = random_weights(DType::q4_1, 20, 64, 1);
    std::vector<float> x(3 * 64, 0.0f);
    for (std::size_t i = 64; i < 128; ++i) x[i] = 1e30f;
    const std::vector<float> out = run(stream, Product::matmul, x, w);
    for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(out[i], 0.0f);
    for (std::size_t i = 20; i < 40; ++i) EXPECT_TRUE(std::isfinite(out[i]));
    EXPECT_EQ(run(stream, Product::matvec, x, w)[45], 0.0f);
  });
}

TEST(Matmul, NamesTheShapesThatDoNotFit) {
  Stream stream(1);
  const std::vector<float> x(6), w(8);
  std::vector<float> out(8);
  try {
    matmul(stream, f32_view(x.data(), {2, 3}), f32_view(w.data(), {2, 4}), f32_view(out.data(), {2, 2}));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "matmul: x F32 [2, 3], w F32 [2, 4], out F32 [2, 2]: expected x [T, K], w [N, K], out [T, N]");
  }
  EXPECT_THROW(
      matvec(stream, f32_view(x.data(), {6, 1}), {w.data(), DType::q4_0, {8, 1}}, f32_view(out.data(), {6, 8})), Error);
  const std::vector<float> nine(9);
  std::vector<float> nine_out(9);
  EXPECT_THROW(
      matvec(stream, f32_view(nine.data(), {9, 1}), f32_view(w.data(), {1, 1}), f32_view(nine_out.data(), {9, 1})),
      Error);
}

}  // namespace
}  // namespace lectern::kernels::test

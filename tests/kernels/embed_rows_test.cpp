// Dequantizing rows: against gguf-py's own results (tests/reference/quant_blocks.py), and through embed_rows.
#include "kernels/embed_rows.h"

#include <fstream>

#include "kernel_test.h"
#include "kernels/error.h"
#include "kernels/matmul.h"
#include "kernels/matvec.h"

namespace lectern::kernels::test {
namespace {

constexpr std::int64_t golden_rows = 2, golden_columns = 512;

std::vector<Weights> goldens() {
  std::ifstream file(LECTERN_SOURCE_DIR "/tests/data/kernels/quant_blocks.bin", std::ios::binary);
  std::vector<Weights> result;
  for (const DType type :
       {DType::q4_0, DType::q4_1, DType::q8_0, DType::q4_k, DType::q5_k, DType::q6_k, DType::f16, DType::bf16}) {
    Weights w;
    w.type = type;
    w.rows = golden_rows;
    w.columns = golden_columns;
    w.bytes.resize(static_cast<std::size_t>(golden_rows * row_bytes(type, golden_columns)));
    w.values.resize(static_cast<std::size_t>(golden_rows * golden_columns));
    file.read(reinterpret_cast<char*>(w.bytes.data()), static_cast<std::streamsize>(w.bytes.size()));
    file.read(reinterpret_cast<char*>(w.values.data()), static_cast<std::streamsize>(w.values.size() * 4));
    EXPECT_TRUE(file.good()) << name(type);
    result.push_back(std::move(w));
  }
  return result;
}

TEST(EmbedRows, DequantizesEveryTypeAsGgufPyDoes) {
  on_every_path([](Stream& stream) {
    for (const Weights& golden : goldens()) {
      SCOPED_TRACE(name(golden.type));
      Guarded out(3 * golden_columns);
      embed_rows(stream, golden.tensor(), std::vector<std::int32_t>{1, 0, 1},
                 f32_view(out.data(), {3, golden_columns}));
      for (std::int64_t i = 0; i < 3 * golden_columns; ++i) {
        const std::int64_t row = i / golden_columns == 1 ? 0 : 1;
        const float expected = golden.values[static_cast<std::size_t>(row * golden_columns + i % golden_columns)];
        expect_near(out[i], static_cast<double>(expected), std::abs(static_cast<double>(expected)) + 1e-3, 2.5e-7, i);
      }
    }
  });
}

TEST(Matmul, ReadsEveryValueOfGgufPysBlocksInItsPlace) {
  on_every_path([](Stream& stream) {
    for (const Weights& golden : goldens()) {
      SCOPED_TRACE(name(golden.type));
      for (std::int64_t column = 0; column < golden_columns; column += 7) {
        std::vector<float> x(golden_columns, 0.0f);  // a one at `column` picks that value of each row
        x[static_cast<std::size_t>(column)] = 1.0f;
        Guarded out(golden_rows), vector_out(golden_rows);
        matmul(stream, f32_view(x.data(), {1, golden_columns}), golden.tensor(),
               f32_view(out.data(), {1, golden_rows}));
        matvec(stream, f32_view(x.data(), {1, golden_columns}), golden.tensor(),
               f32_view(vector_out.data(), {1, golden_rows}));
        for (std::int64_t row = 0; row < golden_rows; ++row) {
          const double expected =
              static_cast<double>(golden.values[static_cast<std::size_t>(row * golden_columns + column)]);
          expect_near(out[row], expected, std::abs(expected) + 1, 1e-6, column);
          expect_near(vector_out[row], expected, std::abs(expected) + 1, 1e-6, column);
        }
      }
    }
  });
}

TEST(EmbedRows, RefusesIdsOutsideTheVocabulary) {
  Stream stream(1);
  const std::vector<float> table(6);
  std::vector<float> out(3);
  for (const std::int32_t id : {-1, 2, 1 << 30}) {
    try {
      embed_rows(stream, f32_view(table.data(), {2, 3}), std::vector<std::int32_t>{id}, f32_view(out.data(), {1, 3}));
      FAIL() << "accepted " << id;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_request);
    }
  }
}

TEST(HalfPrecision, IsReadOverItsWholeRange) {
  EXPECT_EQ(cpu::half_to_float(0x0000), 0.0f);
  EXPECT_TRUE(std::signbit(cpu::half_to_float(0x8000)));
  EXPECT_EQ(cpu::half_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(cpu::half_to_float(0x83ff), -1023 * 0x1p-24f);
  EXPECT_EQ(cpu::half_to_float(0x0400), 0x1p-14f);
  EXPECT_EQ(cpu::half_to_float(0x3c00), 1.0f);
  EXPECT_EQ(cpu::half_to_float(0x7bff), 65504.0f);
  EXPECT_TRUE(std::isinf(cpu::half_to_float(0x7c00)));
  EXPECT_TRUE(std::isnan(cpu::half_to_float(0x7e00)));
  // The paths read the same numbers.
  on_every_path([](Stream& stream) {
    const std::vector<std::uint16_t> halves = {0x0001, 0x83ff, 0x0400, 0x3c00, 0xbc01, 0x7bff, 0x3555};
    for (const std::uint16_t half : halves) {
      const float one = 1.0f;
      float out = 0;
      matvec(stream, f32_view(&one, {1, 1}), {&half, DType::f16, {1, 1}}, f32_view(&out, {1, 1}));
      EXPECT_EQ(out, cpu::half_to_float(half));
    }
  });
}

}  // namespace
}  // namespace lectern::kernels::test

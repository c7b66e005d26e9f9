// Packed rows are the same numbers in another order: every operation that takes weights must give the bits that it
// gives for rows as they stand in a file. (matvec with Q8_0 adds in another order: the same to a few last bits.)
#include "kernels/cpu/packed_rows.h"

#include <algorithm>
#include <cstring>

#include "kernel_test.h"
#include "kernels/embed_rows.h"
#include "kernels/error.h"
#include "kernels/matmul.h"
#include "kernels/matvec.h"
#include "kernels/moe_experts.h"

namespace lectern::kernels::test {
namespace {

const std::vector<DType>& packable_types() {
  static const std::vector<DType> types = {DType::q4_0, DType::q4_1, DType::q8_0,
                                           DType::q4_k, DType::q5_k, DType::q6_k};
  return types;
}

/// The packed form of a tensor and the memory it is in, with guards behind.
struct Packed {
  std::vector<std::byte> bytes;
  ConstTensor tensor;
  Packed(Stream& stream, const ConstTensor& w) : bytes(static_cast<std::size_t>(w.size_bytes()) + 64, std::byte{0xA5}) {
    tensor = cpu::pack(stream, w, bytes.data());
  }
  bool guards_hold() const {
    return std::all_of(bytes.end() - 64, bytes.end(), [](std::byte b) { return b == std::byte{0xA5}; });
  }
};

/// Values that stand out in some rows, so that some groups are refined.
std::vector<float> activations(std::int64_t rows, std::int64_t columns) {
  std::vector<float> x = Random(7).normals(rows * columns);
  for (std::size_t i = 5; i < x.size(); i += 331) x[i] *= 30.0f;
  return x;
}

TEST(PackedRows, HoldTheBytesOfEveryRow) {
  Stream stream(2);
  for (const DType type : packable_types()) {
    SCOPED_TRACE(name(type));
    const std::int64_t columns = 3 * 256;
    const Weights w = random_weights(type, 48, columns, 5);
    const Packed packed(stream, w.tensor());
    EXPECT_TRUE(packed.guards_hold());
    EXPECT_TRUE(packed.tensor.packed);
    EXPECT_EQ(packed.tensor.size_bytes(), w.tensor().size_bytes());
    EXPECT_NE(std::memcmp(packed.bytes.data(), w.bytes.data(), w.bytes.size()), 0) << "nothing was packed";
    const auto row_size = static_cast<std::size_t>(row_bytes(type, columns));
    for (std::int64_t row = 0; row < 48; ++row) {
      std::vector<std::byte> bytes(row_size + 8, std::byte{0x5A});
      cpu::unpack_row(packed.tensor, row, bytes.data());
      EXPECT_EQ(std::memcmp(bytes.data(), w.bytes.data() + static_cast<std::size_t>(row) * row_size, row_size), 0);
      EXPECT_EQ(bytes[row_size], std::byte{0x5A});
    }
  }
}

TEST(PackedRows, AreForQuantizedMatricesOfWholePacks) {
  const Weights odd = random_weights(DType::q4_k, 17, 256, 1), plain = random_weights(DType::bf16, 16, 256, 1);
  const Weights whole = random_weights(DType::q4_k, 32, 256, 1);
  EXPECT_FALSE(cpu::can_pack(odd.tensor()));
  EXPECT_FALSE(cpu::can_pack(plain.tensor()));
  EXPECT_TRUE(cpu::can_pack(whole.tensor()));
  Stream stream(1);
  EXPECT_FALSE(cpu::can_pack(Packed(stream, whole.tensor()).tensor)) << "packed twice";
}

TEST(PackedRows, GiveMatmulAndEmbedRowsTheBitsOfPlainRows) {
  on_every_path([](Stream& stream) {
    for (const DType type : packable_types()) {
      for (const std::int64_t columns : {block_values(type), std::int64_t{1280}}) {
        SCOPED_TRACE(std::string(name(type)) + " of " + std::to_string(columns));
        const std::int64_t n = 80, rows = 13;
        const Weights w = random_weights(type, n, columns, 3);
        const Packed packed(stream, w.tensor());
        const std::vector<float> x = activations(rows, columns);
        Guarded plain_out(rows * n), packed_out(rows * n);
        matmul(stream, f32_view(x.data(), {rows, columns}), w.tensor(), f32_view(plain_out.data(), {rows, n}));
        matmul(stream, f32_view(x.data(), {rows, columns}), packed.tensor, f32_view(packed_out.data(), {rows, n}));
        expect_same_bits(packed_out.values(), plain_out.values());

        const std::vector<std::int32_t> ids = {79, 0, 15, 16, 40};
        Guarded plain_rows(5 * columns), packed_rows(5 * columns);
        embed_rows(stream, w.tensor(), ids, f32_view(plain_rows.data(), {5, columns}));
        embed_rows(stream, packed.tensor, ids, f32_view(packed_rows.data(), {5, columns}));
        expect_same_bits(packed_rows.values(), plain_rows.values());
      }
    }
  });
}

TEST(PackedRows, GiveMatvecTheBitsOfPlainRowsInAnyCompanyAndOnAnyNumberOfThreads) {
  for (const CpuPath path : paths()) {
    SCOPED_TRACE(name(path));
    Stream one(1, path), three(3, path);
    for (const DType type : packable_types()) {
      SCOPED_TRACE(name(type));
      const std::int64_t columns = 2304, n = 208;
      const Weights w = random_weights(type, n, columns, 3);
      const Packed packed(three, w.tensor());
      for (const std::int64_t rows : {1, 2, 3, 8}) {
        const std::vector<float> x = activations(rows, columns);
        const auto run = [&](Stream& stream, const ConstTensor& weights) {
          Guarded out(rows * n);
          matvec(stream, f32_view(x.data(), {rows, columns}), weights, f32_view(out.data(), {rows, n}));
          return out.values();
        };
        const std::vector<float> expected = run(one, w.tensor()), actual = run(three, packed.tensor);
        expect_same_bits(run(one, packed.tensor), actual);
        if (type == DType::q8_0) {
          for (std::size_t i = 0; i < actual.size(); ++i)
            expect_near(actual[i], static_cast<double>(expected[i]), std::abs(static_cast<double>(expected[i])) + 100,
                        1e-6, static_cast<std::int64_t>(i));
        } else {
          expect_same_bits(actual, expected);
        }
      }
    }
  }
}

TEST(PackedRows, GiveExpertsTheBitsOfPlainRows) {
  on_every_path([](Stream& stream) {
    const std::int64_t count = 3, inner = 256, hidden = 512, tokens = 5;
    const Weights gate = random_weights(DType::q4_k, count * inner, hidden, 1),
                  up = random_weights(DType::q5_k, count * inner, hidden, 2),
                  down = random_weights(DType::q6_k, count * hidden, inner, 3);
    const auto stack = [&](const Weights& w, std::int64_t rows) {
      return ConstTensor(w.bytes.data(), w.type, {count, rows, w.columns});
    };
    const ConstTensor plain[] = {stack(gate, inner), stack(up, inner), stack(down, hidden)};
    const Packed packed[] = {{stream, plain[0]}, {stream, plain[1]}, {stream, plain[2]}};
    const std::vector<float> x = activations(tokens, hidden), weights = Random(5).normals(tokens * 2);
    const std::vector<std::int32_t> ids = {0, 2, 1, 2, 2, 0, 1, 0, 2, 1};
    for (const RowKind kind : {RowKind::prefill, RowKind::decode}) {
      const auto run = [&](const ConstTensor& g, const ConstTensor& u, const ConstTensor& d) {
        Guarded out(tokens * hidden);
        moe_experts(stream, f32_view(x.data(), {tokens, hidden}), g, u, d, {ids.data(), DType::i32, {tokens, 2}},
                    f32_view(weights.data(), {tokens, 2}), kind, f32_view(out.data(), {tokens, hidden}));
        return out.values();
      };
      expect_same_bits(run(packed[0].tensor, packed[1].tensor, packed[2].tensor), run(plain[0], plain[1], plain[2]));
    }
  });
}

}  // namespace
}  // namespace lectern::kernels::test

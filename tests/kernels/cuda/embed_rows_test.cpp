// Rows of tables of every type; with them, what dequantize.cuh makes of blocks in order.
#include "kernels/cuda/embed_rows.h"

#include <fstream>

#include "cuda_test.h"
#include "kernels/embed_rows.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaEmbedRows : public CudaTest {};
class CudaEmbedRowsSmall : public CudaTest {};

/// The table's bytes on the device.
class DeviceTable {
 public:
  DeviceTable(Queue& queue, const Weights& w) : w_(w), buffer_(static_cast<std::int64_t>(w.bytes.size())) {
    copy_to_device(queue, buffer_.data(), w.bytes.data(), buffer_.size_bytes());
  }
  ConstTensor tensor() const { return {buffer_.data(), w_.type, {w_.rows, w_.columns}}; }

 private:
  const Weights& w_;
  DeviceBuffer buffer_;
};

template <class T>
std::vector<float> embedded(Queue& queue, const Weights& table, const std::vector<std::int32_t>& ids,
                            int* bad = nullptr) {
  const DeviceTable on_device(queue, table);
  const OnDevice<std::int32_t> device_ids(queue, ids), bad_ids(queue, {0});
  const auto tokens = static_cast<std::int64_t>(ids.size());
  const GuardedOnDevice<T> out(queue, tokens * table.columns);
  embed_rows(queue, on_device.tensor(), device_ids.tensor({tokens}), out.tensor({tokens, table.columns}),
             bad_ids.tensor({1}));
  const int found = bad_ids.values()[0];
  if (bad == nullptr)
    EXPECT_EQ(found, 0);
  else
    *bad = found;
  return out.values();
}

/// Against the values that the weights mean: f32 by two roundings at most, bf16 by its own.
template <class T>
void expect_rows(Queue& queue, const Weights& table, const std::vector<std::int32_t>& ids) {
  SCOPED_TRACE(std::string(name(table.type)) + " " + std::to_string(table.columns));
  const auto columns = static_cast<std::size_t>(table.columns);
  const auto expected = [&](std::size_t i) {
    return static_cast<double>(table.values[static_cast<std::size_t>(ids[i / columns]) * columns + i % columns]);
  };
  const double tolerance = std::is_same_v<T, float> ? 2.5e-7 : bf16_tolerance;
  expect_all_near(
      embedded<T>(queue, table, ids), expected, [&](std::size_t i) { return std::abs(expected(i)) + 1e-3; }, tolerance);
}

TEST_F(CudaEmbedRowsSmall, DequantizesEveryType) {
  for (const DType type : weight_types()) {
    const Weights table = random_weights(type, 3, is_quantized(type) ? block_values(type) : 32, 1);
    expect_rows<float>(queue(), table, {2, 0, 2});
    expect_rows<std::uint16_t>(queue(), table, {1});
  }
  expect_rows<float>(queue(), random_weights(DType::f16, 3, 33, 1), {2, 1});
}

// gguf-py's own blocks and values (tests/reference/quant_blocks.py).
TEST_F(CudaEmbedRows, DequantizesEveryTypeAsGgufPyDoes) {
  std::ifstream file(LECTERN_SOURCE_DIR "/tests/data/kernels/quant_blocks.bin", std::ios::binary);
  for (const DType type :
       {DType::q4_0, DType::q4_1, DType::q8_0, DType::q4_k, DType::q5_k, DType::q6_k, DType::f16, DType::bf16}) {
    Weights golden;
    golden.type = type;
    golden.rows = 2;
    golden.columns = 512;
    golden.bytes.resize(static_cast<std::size_t>(2 * row_bytes(type, 512)));
    golden.values.resize(1024);
    file.read(reinterpret_cast<char*>(golden.bytes.data()), static_cast<std::streamsize>(golden.bytes.size()));
    file.read(reinterpret_cast<char*>(golden.values.data()), 4096);
    ASSERT_TRUE(file.good()) << name(type);
    expect_rows<float>(queue(), golden, {1, 0, 1});
    expect_rows<std::uint16_t>(queue(), golden, {0, 1});
  }
}

TEST_F(CudaEmbedRows, EqualsTheReferenceAtOddAndRealSizes) {
  for (const DType type : weight_types()) {
    const std::int64_t unit = block_values(type);
    expect_rows<float>(queue(), random_weights(type, 5, unit == 1 ? 77 : 3 * unit, 2), {4, 1, 0});
    expect_rows<std::uint16_t>(queue(), random_weights(type, 5, unit == 1 ? 1 : 5 * unit, 2), {3, 4});
    expect_rows<float>(queue(), random_weights(type, 3, 2048, 3), {2, 0});
    expect_rows<std::uint16_t>(queue(), random_weights(type, 2, 5120, 3), {1});  // more parts than a block has threads
  }
}

TEST_F(CudaEmbedRows, EqualsTheCpu) {
  const std::vector<std::int32_t> ids = {3, 3, 0, 1};
  for (const DType type : weight_types()) {
    const Weights table = random_weights(type, 4, 512, 4);
    std::vector<float> twin(4 * 512);
    Stream cpu(1);
    kernels::embed_rows(cpu, table.tensor(), ids, f32_view(twin.data(), {4, 512}));
    expect_all_near(
        embedded<float>(queue(), table, ids), [&](std::size_t i) { return static_cast<double>(twin[i]); },
        [&](std::size_t i) { return std::abs(static_cast<double>(twin[i])) + 1e-3; }, 2.5e-7);
  }
}

TEST_F(CudaEmbedRowsSmall, ReadsNothingForIdsOutsideTheTable) {
  for (const std::int64_t columns : {33, 64}) {
    const Weights table = random_weights(DType::bf16, 3, columns, 1);
    for (const std::int32_t bad : {-1, 3, 1 << 30}) {
      int found = 0;
      const std::vector<float> out = embedded<float>(queue(), table, {1, bad, 2}, &found);
      EXPECT_EQ(found, 1);
      const auto wide = static_cast<std::size_t>(columns);
      for (std::size_t i = 0; i < wide; ++i) {
        EXPECT_EQ(out[i], table.values[wide + i]);
        EXPECT_TRUE(std::isnan(out[wide + i]));
        EXPECT_EQ(out[2 * wide + i], table.values[2 * wide + i]);
      }
    }
  }
}

TEST_F(CudaEmbedRowsSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 14);
  const Tensor table = memory.tensor(DType::q4_k, {2, 256}), ids = memory.tensor(DType::i32, {3}),
               out = memory.tensor(DType::f32, {3, 256}), bad = memory.tensor(DType::i32, {1});
  EXPECT_THROW(embed_rows(queue(), memory.tensor(DType::i32, {2, 256}), ids, out, bad), Error);
  EXPECT_THROW(embed_rows(queue(), table, memory.tensor(DType::f32, {3}), out, bad), Error);
  EXPECT_THROW(embed_rows(queue(), table, ids, memory.tensor(DType::f32, {2, 256}), bad), Error);
  EXPECT_THROW(embed_rows(queue(), table, ids, memory.tensor(DType::f16, {3, 256}), bad), Error);
  EXPECT_THROW(embed_rows(queue(), table, ids, memory.tensor(DType::f32, {3, 128}), bad), Error);
  EXPECT_THROW(embed_rows(queue(), table, ids, out, memory.tensor(DType::f32, {1})), Error);
  EXPECT_THROW(embed_rows(queue(), Tensor(memory.data() + 4, DType::q4_k, {2, 256}), ids, out, bad), Error);
  embed_rows(queue(), table, memory.tensor(DType::i32, {0}), memory.tensor(DType::f32, {0, 256}), bad);  // no tokens
  check_ids(std::vector<std::int32_t>{0, 1}, 2);
  for (const std::int32_t id : {-1, 2}) {
    try {
      check_ids(std::vector<std::int32_t>{0, id}, 2);
      FAIL() << "accepted " << id;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_request);
    }
  }
}

TEST_F(CudaEmbedRowsSmall, ReadsTheIdsWhenReplayed) {
  const Weights table = random_weights(DType::q8_0, 4, 32, 5);
  const DeviceTable on_device(queue(), table);
  const OnDevice<std::int32_t> ids(queue(), {0}), bad(queue(), {0});
  const GuardedOnDevice<float> out(queue(), 32);
  const Graph graph = queue().capture([&] {
    embed_rows(queue(), on_device.tensor(), ids.tensor({1}), out.tensor({1, 32}), bad.tensor({1}));
  });
  const std::int32_t id = 3;
  copy_to_device(queue(), ids.data(), &id, 4);
  queue().launch(graph);
  const std::vector<float> values = out.values();
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(values[i], table.values[3 * 32 + i]);
}

}  // namespace
}  // namespace lectern::kernels::cuda::test

#include "inference/npy_file.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/error.h"
#include "tests/inference/gguf_samples.h"

namespace lectern::inference {
namespace {

using samples::error_of;

TEST(NpyFile, ReadsBackWhatItWrote) {
  const auto path = samples::temporary("a.npy");
  const std::vector<std::int64_t> shape = {2, 3};
  const std::vector<float> values = {1, -2, 3.5F, 0, 1e30F, -0.0F};
  write_npy(path, shape, values);
  const NpyArray array = read_npy(path);
  EXPECT_EQ(array.shape, shape);
  EXPECT_EQ(array.values, values);
  const std::vector<std::byte> bytes = samples::bytes_of(path);
  EXPECT_EQ((bytes.size() - 24) % 64, 0U);  // NumPy maps files: data starts on a multiple of 64

  const std::vector<std::int64_t> line = {6};
  write_npy(path, line, values);
  EXPECT_EQ(read_npy(path).shape, line);
  std::filesystem::remove(path);
}

TEST(NpyFile, WritesRowByRowWhatItWritesAtOnce) {
  const auto whole = samples::temporary("whole.npy");
  const auto rows = samples::temporary("rows.npy");
  const std::vector<std::int64_t> shape = {3, 2};
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  write_npy(whole, shape, values);
  NpyWriter writer(rows, 3, 2);
  writer.write(std::span(values).first(2));
  EXPECT_NE(error_of([&] { writer.close(); }).find("fewer rows"), std::string::npos);
  writer.write(std::span(values).subspan(2));
  EXPECT_NE(error_of([&] { NpyWriter(rows.string() + ".more", 1, 1).write(values); }).find("more rows"),
            std::string::npos);
  writer.close();
  EXPECT_EQ(samples::bytes_of(whole), samples::bytes_of(rows));
  for (const auto& path : {whole, rows, std::filesystem::path(rows.string() + ".more")}) std::filesystem::remove(path);
}

TEST(NpyFile, ReadsWhatNumPyWrote) {
  const NpyArray array = read_npy(std::filesystem::path(LECTERN_SOURCE_DIR) / "tests/data/models/llama-gqa.5.npy");
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{5, 288}));
}

TEST(NpyFile, RefusesDamagedFiles) {
  const auto path = samples::temporary("bad.npy");
  const std::vector<std::int64_t> shape = {2, 2};
  const std::vector<float> values = {1, 2, 3, 4};
  write_npy(path, shape, values);
  const std::vector<std::byte> good = samples::bytes_of(path);
  const auto store = [&](std::string text) { std::ofstream(path, std::ios::binary) << text; };
  const std::string text(reinterpret_cast<const char*>(good.data()), good.size());
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return changed;
  };
  for (std::size_t size = 0; size < text.size(); ++size) {
    store(text.substr(0, size));
    ASSERT_TRUE(error_of([&] { read_npy(path); }).starts_with(path.string() + ": ")) << size;
  }
  store(replaced("<f4", "<f8"));
  EXPECT_NE(error_of([&] { read_npy(path); }).find("float32"), std::string::npos);
  store(replaced("False", "True "));
  EXPECT_NE(error_of([&] { read_npy(path); }).find("C order"), std::string::npos);
  store(replaced("(2, 2, )", "(9999999999999999999999, )"));
  EXPECT_NE(error_of([&] { read_npy(path); }).find("larger than the file"), std::string::npos);
  EXPECT_NE(error_of([&] { read_npy("/nonexistent.npy"); }).find("cannot be opened"), std::string::npos);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace lectern::inference

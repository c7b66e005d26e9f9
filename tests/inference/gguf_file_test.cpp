#include "inference/gguf_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "inference/model_inspect.h"
#include "kernels/error.h"
#include "tests/inference/gguf_samples.h"

namespace lectern::inference {
namespace {

using kernels::DType;
using samples::error_of;

/// A file written byte by byte, for headers that no writer would write.
struct Raw {
  std::string text;
  template <class T>
  Raw& add(T value) {
    text.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Raw& name(const std::string& value) {
    add(static_cast<std::uint64_t>(value.size()));
    text += value;
    return *this;
  }
  static Raw header(std::uint32_t version, std::uint64_t tensors, std::uint64_t values) {
    Raw raw;
    raw.text = "GGUF";
    return raw.add(version).add(tensors).add(values);
  }
  Raw& pad(std::size_t bytes) {
    text.resize(text.size() + bytes);
    return *this;
  }
  GgufFile open() const {
    std::vector<std::byte> bytes(text.size());
    std::transform(text.begin(), text.end(), bytes.begin(), [](char c) { return static_cast<std::byte>(c); });
    return GgufFile(std::move(bytes), "raw.gguf");
  }
  std::string error() const {
    return error_of([&] { open(); });
  }
};

constexpr std::uint32_t u32_type = 4, text_type = 8, array_type = 9;

TEST(GgufFile, ReadsWhatTheWriterWrote) {
  const auto path = samples::temporary("written.gguf");
  GgufWriter writer(path);
  writer.add_u32("a.u32", 7);
  writer.add_u64("a.u64", std::numeric_limits<std::uint64_t>::max());
  writer.add_i32("a.i32", -5);
  writer.add_f32("a.f32", 0.5F);
  writer.add_bool("a.bool", true);
  writer.add_text("a.text", "Grüße");
  const std::vector<std::string> texts = {"x", "", "long text"};
  writer.add_texts("a.texts", texts);
  const std::vector<std::int32_t> integers = {3, -1};
  writer.add_i32s("a.integers", integers);
  const std::vector<float> numbers = {1.5F};
  writer.add_f32s("a.numbers", numbers);
  writer.add_bools("a.bools", {true, false});
  writer.add_tensor("m", DType::f32, {2, 3});
  writer.add_tensor("v", DType::q8_0, {64});
  writer.begin_data();
  const std::vector<float> matrix = {1, 2, 3, 4, 5, 6};
  writer.write(std::span(matrix).first(2));
  writer.write(std::span(matrix).subspan(2));
  writer.write(std::vector<std::byte>(68, std::byte{9}));
  writer.close();

  const GgufFile file(path);
  EXPECT_EQ(file.integer("a.u32"), 7);
  EXPECT_EQ(file.integer("a.i32"), -5);
  EXPECT_EQ(file.number("a.f32"), 0.5);
  EXPECT_EQ(file.number("a.u32"), 7.0);
  EXPECT_EQ(file.boolean("a.bool"), true);
  EXPECT_EQ(file.text("a.text"), "Grüße");
  EXPECT_EQ(file.texts("a.texts"), (std::vector<std::string_view>{"x", "", "long text"}));
  EXPECT_EQ(file.texts("a.texts", 1), (std::vector<std::string_view>{"x"}));
  EXPECT_EQ(file.integers("a.integers"), (std::vector<std::int64_t>{3, -1}));
  EXPECT_EQ(file.integers("a.bools"), (std::vector<std::int64_t>{1, 0}));
  EXPECT_EQ(file.numbers("a.numbers"), (std::vector<double>{1.5}));
  EXPECT_EQ(file.integer("a.absent"), std::nullopt);
  EXPECT_NE(error_of([&] { file.integer("a.u64"); }).find("'a.u64' is 18446744073709551615"), std::string::npos);
  EXPECT_NE(error_of([&] { file.integer("a.text"); }).find("'a.text' is text, not an integer"), std::string::npos);
  EXPECT_NE(error_of([&] { file.texts("a.integers"); }).find("array of i32, not an array of texts"), std::string::npos);
  EXPECT_NE(error_of([&] { file.required_text("a.absent"); }).find("'a.absent' is missing"), std::string::npos);

  const kernels::ConstTensor m = file.required_tensor("m");
  ASSERT_EQ(m.rank, 2);
  EXPECT_EQ(m.dim(0), 2);  // slowest axis first
  EXPECT_EQ(m.dim(1), 3);
  EXPECT_EQ(std::memcmp(m.data, matrix.data(), 24), 0);
  EXPECT_EQ(file.required_tensor("v").size_bytes(), 68);
  EXPECT_EQ(file.find_tensor("v")->offset % 32, 0);
  EXPECT_NE(error_of([&] { file.required_tensor("w"); }).find("tensor 'w' is missing"), std::string::npos);
  std::filesystem::remove(path);
}

TEST(GgufFile, RefusesWhatIsNoModelFileInOneLine) {
  EXPECT_EQ(error_of([] { GgufFile("/nonexistent/model.gguf"); }),
            "/nonexistent/model.gguf: cannot be opened: No such file or directory");
  EXPECT_NE(error_of([] { GgufFile(testing::TempDir()); }).find("is not a regular file"), std::string::npos);
  EXPECT_EQ(Raw().error(), "raw.gguf: is empty");
  EXPECT_EQ(Raw{"%PDF-1.7 and so on, long enough"}.error(), "raw.gguf: is not a GGUF model file");
  EXPECT_NE(Raw::header(1, 0, 0).error().find("GGUF version 1; versions 2 and 3"), std::string::npos);
  EXPECT_NE(Raw::header(0x03000000, 0, 0).error().find("big-endian"), std::string::npos);
  EXPECT_EQ(Raw::header(3, 0, 0).error(), "no error");
  EXPECT_EQ(Raw::header(2, 0, 0).error(), "no error");
}

TEST(GgufFile, RefusesCountsAndLengthsThatTheFileCannotHold) {
  const std::uint64_t huge = std::uint64_t{1} << 62;
  EXPECT_NE(Raw::header(3, huge, 0).error().find("the number of tensors is 4611686018427387904"), std::string::npos);
  EXPECT_NE(Raw::header(3, 0, huge).error().find("the number of metadata values"), std::string::npos);
  EXPECT_NE(Raw::header(3, 0, ~std::uint64_t{0}).error().find("the number of metadata values"), std::string::npos);
  EXPECT_NE(Raw::header(3, 0, 1).add(huge).pad(30).error().find("the length of the key of metadata value 1 of 1"),
            std::string::npos);
  EXPECT_NE(Raw::header(3, 0, 1).name("k").add(text_type).add(huge).pad(9).error().find("metadata 'k'"),
            std::string::npos);
  EXPECT_NE(Raw::header(3, 0, 1)
                .name("k")
                .add(array_type)
                .add(u32_type)
                .add(huge)
                .pad(9)
                .error()
                .find("the length of metadata 'k'"),
            std::string::npos);
  EXPECT_NE(Raw::header(3, 0, 1)
                .name("k")
                .add(array_type)
                .add(text_type)
                .add(huge / 8)
                .pad(9)
                .error()
                .find("the length of metadata 'k'"),
            std::string::npos);
  EXPECT_NE(Raw::header(3, 0, 1).name("k").add(std::uint32_t{77}).pad(9).error().find("unknown type 77"),
            std::string::npos);
  EXPECT_NE(Raw::header(3, 0, 1)
                .name("k")
                .add(array_type)
                .add(array_type)
                .add(std::uint64_t{0})
                .pad(9)
                .error()
                .find("array of arrays"),
            std::string::npos);
}

Raw& one_tensor(Raw& raw, const std::string& name, std::uint32_t axes, std::uint64_t extent, std::uint32_t type,
                std::uint64_t offset) {
  raw.name(name).add(axes);
  for (std::uint32_t axis = 0; axis < axes && axis < 5; ++axis) raw.add(extent);
  return raw.add(type).add(offset);
}

std::string error_of_tensor(std::uint32_t axes, std::uint64_t extent, std::uint32_t type, std::uint64_t offset) {
  Raw raw = Raw::header(3, 1, 0);
  return one_tensor(raw, "t", axes, extent, type, offset).pad(256).error();
}

TEST(GgufFile, RefusesImpossibleTensors) {
  EXPECT_EQ(error_of_tensor(2, 4, 0, 0), "no error");
  EXPECT_NE(error_of_tensor(0, 4, 0, 0).find("tensor 't' has 0 axes"), std::string::npos);
  EXPECT_NE(error_of_tensor(5, 4, 0, 0).find("tensor 't' has 5 axes"), std::string::npos);
  EXPECT_NE(error_of_tensor(2, 0, 0, 0).find("axis of 0 values"), std::string::npos);
  EXPECT_NE(error_of_tensor(4, std::uint64_t{1} << 40, 0, 0).find("impossible"), std::string::npos);
  EXPECT_NE(error_of_tensor(1, std::uint64_t{1} << 63, 0, 0).find("impossible"), std::string::npos);
  EXPECT_NE(error_of_tensor(1, 1000, 0, 0).find("ends beyond the end of the file"), std::string::npos);
  EXPECT_NE(error_of_tensor(1, 4, 0, 7).find("not on a multiple of 32"), std::string::npos);
  EXPECT_NE(error_of_tensor(1, 4, 0, ~std::uint64_t{31}).find("outside the file"), std::string::npos);
  EXPECT_NE(error_of_tensor(1, 31, 8, 0).find("not a whole number of Q8_0 blocks"), std::string::npos);
}

TEST(GgufFile, NamesTensorTypesItCannotComputeWith) {
  Raw raw = Raw::header(3, 2, 0);
  one_tensor(raw, "blk.0.ffn_up.weight", 1, 256, 23, 0);
  one_tensor(raw, "odd", 1, 8, 1234, 256).pad(512);
  const GgufFile file = raw.open();
  EXPECT_NE(error_of([&] { file.required_tensor("blk.0.ffn_up.weight"); }).find("'blk.0.ffn_up.weight' is IQ4_XS"),
            std::string::npos);
  EXPECT_NE(error_of([&] { file.required_tensor("odd"); }).find("'odd' is type 1234"), std::string::npos);
}

TEST(GgufFile, RefusesNamesGivenTwiceAndTensorsThatOverlap) {
  EXPECT_NE(Raw::header(3, 0, 2).name("k").add(u32_type).add(1U).name("k").add(u32_type).add(2U).error().find(
                "'k' is given twice"),
            std::string::npos);
  Raw twice = Raw::header(3, 2, 0);
  one_tensor(twice, "t", 1, 4, 0, 0);
  EXPECT_NE(one_tensor(twice, "t", 1, 4, 0, 32).pad(256).error().find("tensor 't' is given twice"), std::string::npos);
  Raw overlap = Raw::header(3, 2, 0);
  one_tensor(overlap, "s", 1, 16, 0, 0);
  EXPECT_NE(one_tensor(overlap, "t", 1, 4, 0, 32).pad(256).error().find("tensors 's' and 't' overlap"),
            std::string::npos);
}

TEST(GgufFile, RefusesOddAlignments) {
  for (const std::uint32_t alignment : {0U, 1U, 4U, 24U, 0x80000000U})
    EXPECT_NE(
        Raw::header(3, 0, 1).name("general.alignment").add(u32_type).add(alignment).error().find("not a power of two"),
        std::string::npos)
        << alignment;
}

TEST(GgufFile, EscapesNamesFromHostileFilesInMessages) {
  const std::string error =
      Raw::header(3, 0, 2).name("\x1b[2J\n").add(u32_type).add(1U).name("\x1b[2J\n").add(u32_type).add(1U).error();
  EXPECT_EQ(error.find('\n'), std::string::npos);
  EXPECT_NE(error.find("\\x1b[2J\\x0a"), std::string::npos);
  EXPECT_EQ(printable(std::string(500, 'x')).size(), 83U);
}

/// Reads everything there is to read; every byte the file object vouches for must lie in its memory.
std::int64_t read_all(std::vector<std::byte> bytes) {
  const GgufFile file(std::move(bytes), "changed.gguf");
  std::int64_t sum = static_cast<std::int64_t>(inspect_json(file).size());
  for (const GgufTensor& tensor : file.tensors())
    if (tensor.type) {
      const kernels::ConstTensor view = file.view(tensor);
      sum += static_cast<int>(view.data[0]) + static_cast<int>(view.data[view.size_bytes() - 1]);
    }
  return sum;
}

TEST(GgufFile, SurvivesEveryTruncationAndThousandsOfChangedBytes) {
  const std::vector<std::byte> good = samples::TinyLlama().bytes();
  ASSERT_NO_THROW(read_all(good));
  const std::size_t data_start = good.size() - 6 * 8 * 4 - 3 * 32 - 5 * 256 - 2 * 128;
  std::int64_t refused = 0;
  std::int64_t tried = 0;
  const auto attempt = [&](std::vector<std::byte> bytes) {
    ++tried;
    try {
      read_all(std::move(bytes));
    } catch (const Error& error) {  // any other exception, and any crash, fails the test
      ++refused;
      ASSERT_TRUE(std::string(error.what()).starts_with("changed.gguf: ")) << error.what();
    }
  };
  // Trailing bytes of padding may be missing without harm: 32 of them at most.
  for (std::size_t size = 0; size < good.size(); ++size)
    attempt({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)});
  EXPECT_GT(refused, static_cast<std::int64_t>(good.size()) - 32);
  for (std::size_t at = 0; at < data_start; ++at)
    for (const unsigned change : {0x01U, 0x80U, 0xffU, 0x7fU}) {
      std::vector<std::byte> bytes = good;
      bytes[at] ^= static_cast<std::byte>(change);
      attempt(std::move(bytes));
    }
  EXPECT_GT(tried, 5000);
}

TEST(GgufFile, KeepsItsViewsWhenMoved) {
  GgufFile first(samples::TinyLlama().bytes(), "moved.gguf");
  const GgufFile second = std::move(first);
  EXPECT_EQ(second.required_text("general.name"), "tiny");
  EXPECT_EQ(second.required_tensor("output_norm.weight").columns(), 8);
}

}  // namespace
}  // namespace lectern::inference

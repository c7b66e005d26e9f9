#include "inference/safetensors_file.h"

#include <gtest/gtest.h>

#include <random>

#include "kernels/error.h"
#include "tests/inference/safetensors_samples.h"

namespace lectern::inference {
namespace {

using samples::error_of;
using samples::safetensors;

SafetensorsFile open(const std::string& text) {
  return SafetensorsFile(samples::bytes_of_text(text), "raw.safetensors");
}

std::string error(const std::string& text) {
  return error_of([&] { open(text); });
}

void expect_error(const std::string& header, std::size_t data_bytes, const std::string& part) {
  const std::string message = error(safetensors(header, std::string(data_bytes, '\1')));
  EXPECT_TRUE(message.starts_with("raw.safetensors: ")) << message;
  EXPECT_NE(message.find(part), std::string::npos) << message << "\n expected: " << part;
}

TEST(SafetensorsFile, ReadsTensorsInTheOrderOfTheirBytes) {
  const SafetensorsFile file = open(safetensors(
      R"({"__metadata__": {"format": "pt"}, "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [4, 16]},
                          "a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
                          "c": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [16, 18]}})",
      "0123456789abcdefgh"));
  ASSERT_EQ(file.tensors().size(), 3U);
  const auto& tensors = file.tensors();
  EXPECT_EQ(tensors[0].name, "a");
  EXPECT_TRUE(tensors[0].shape.empty());
  EXPECT_EQ(tensors[0].elements(), 1);
  EXPECT_EQ(tensors[1].name, "b");
  EXPECT_EQ(tensors[1].type, kernels::DType::bf16);
  EXPECT_EQ(tensors[1].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(static_cast<char>(*tensors[1].data), '4');
  EXPECT_EQ(tensors[2].type_name, "F8_E4M3");
  EXPECT_FALSE(tensors[2].type.has_value());
  EXPECT_EQ(file.name(), "raw.safetensors");
}

TEST(SafetensorsFile, RefusesAHeaderThatLies) {
  EXPECT_NE(error("").find("too short"), std::string::npos);
  EXPECT_NE(error("12345678901").find("which is impossible in a file of 11"), std::string::npos);
  for (const std::uint64_t length : {std::uint64_t{4}, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
    std::string file = safetensors("{}", "");
    std::memcpy(file.data(), &length, 8);
    EXPECT_NE(error(file).find("impossible"), std::string::npos) << length;
  }
  expect_error("[]", 0, "is not a JSON object");
  expect_error("{ ", 0, "is not a JSON object");
  expect_error(R"({"a": 1})", 0, "tensor 'a' is not described by an object");
  expect_error(R"({"a": {"dtype": "F33", "shape": [1], "data_offsets": [0, 4]}})", 4,
               "tensor 'a' has the unknown type 'F33'");
  expect_error(R"({"a": {"dtype": 7, "shape": [1], "data_offsets": [0, 4]}})", 4, "'a.dtype' is not a text");
  expect_error(R"({"a": {"dtype": "F32", "data_offsets": [0, 4]}})", 4, "tensor 'a' has no shape");
  expect_error(R"({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}})", 4, "an axis of -1 values");
  expect_error(R"({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}})", 4, "an axis of 1.0 values");
  expect_error(R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 4]}})", 4,
               "impossible");
  expect_error(R"({"a": {"dtype": "F32", "shape": [18446744073709551615], "data_offsets": [0, 4]}})", 4, "impossible");
  expect_error(R"({"a": {"dtype": "F32", "shape": [1]}})", 4, "has no pair of data_offsets");
  expect_error(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}})", 4, "has no pair of data_offsets");
  expect_error(
      R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}})",
      8, "'a' is given twice");
  expect_error(std::string(100, '[') + std::string(100, ']'), 0, "nested too deeply");
  expect_error(R"({"a": )" + std::string(100000, '[') + std::string(100000, ']') + "}", 0, "nested too deeply");
}

TEST(SafetensorsFile, RefusesOffsetsThatDoNotFit) {
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": )" + first +
           R"(}, "b": {"dtype": "F32", "shape": [1], "data_offsets": )" + second + "}}";
  };
  EXPECT_EQ(error(safetensors(two("[0, 4]", "[4, 8]"), "12345678")), "no error");
  expect_error(two("[0, 4]", "[4, 8]"), 7, "tensor 'b' ends beyond the end of the file");
  expect_error(two("[0, 4]", "[8, 4]"), 8, "tensor 'b' ends beyond");
  expect_error(two("[0, 4]", "[18446744073709551612, 18446744073709551615]"), 8, "tensor 'b' ends beyond");
  expect_error(two("[0, 4]", "[4, 6]"), 8, "tensor 'b' has 2 bytes, but its shape and type need 4");
  expect_error(two("[0, 4]", "[2, 6]"), 6, "overlap or leave a gap at byte 2");
  expect_error(two("[0, 4]", "[0, 4]"), 4, "overlap");
  expect_error(two("[0, 4]", "[8, 12]"), 12, "overlap or leave a gap at byte 8");
  expect_error(two("[0, 4]", "[4, 8]"), 9, "holds 9 bytes of data, but its tensors fill 8");
}

TEST(SafetensorsFile, NeverReadsBeyondADamagedFile) {
  const std::string good = safetensors(
      R"({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "b": {"dtype": "F16", "shape": [4], "data_offsets": [16, 24]}})",
      std::string(24, 'x'));
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    std::string bad = good;
    for (int change = 0; change < 1 + round % 3; ++change) bad[random() % bad.size()] = static_cast<char>(random());
    if (round % 4 == 0) bad.resize(random() % bad.size());
    try {
      const SafetensorsFile file = open(bad);
      for (const StoredTensor& tensor : file.tensors()) {
        if (tensor.size_bytes == 0) continue;
        const volatile std::byte last = tensor.data[tensor.size_bytes - 1];
        static_cast<void>(last);
      }
    } catch (const Error&) {
      // the one way to refuse a file
    }
  }
}

}  // namespace
}  // namespace lectern::inference

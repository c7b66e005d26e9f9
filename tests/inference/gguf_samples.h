// Small GGUF files for tests: a valid tiny Llama model that a test may change before it is written.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "inference/gguf_writer.h"
#include "kernels/error.h"

namespace lectern::inference::samples {

inline std::filesystem::path temporary(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) / ("lectern_" + std::to_string(getpid()) + "_" + name);
}

inline std::vector<std::byte> bytes_of(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("test file is missing: " + path.string());
  const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  std::vector<std::byte> bytes(text.size());
  std::transform(text.begin(), text.end(), bytes.begin(), [](char c) { return static_cast<std::byte>(c); });
  return bytes;
}

struct TensorSpec {
  std::string name;
  kernels::DType type = kernels::DType::f32;
  std::vector<std::int64_t> shape;
};

/// H 8, 1 layer, 2 heads of 4, 1 KV head, feed-forward 8, vocabulary 6.
struct TinyLlama {
  std::string architecture = "llama";
  std::uint32_t heads = 2, kv_heads = 1, layers = 1, hidden = 8;
  float eps = 1e-5F;
  std::function<void(GgufWriter&)> more_metadata = [](GgufWriter&) {};
  std::vector<TensorSpec> tensors = {
      {"token_embd.weight", kernels::DType::f32, {6, 8}},        {"output_norm.weight", kernels::DType::f32, {8}},
      {"blk.0.attn_norm.weight", kernels::DType::f32, {8}},      {"blk.0.attn_q.weight", kernels::DType::f32, {8, 8}},
      {"blk.0.attn_k.weight", kernels::DType::f32, {4, 8}},      {"blk.0.attn_v.weight", kernels::DType::f32, {4, 8}},
      {"blk.0.attn_output.weight", kernels::DType::f32, {8, 8}}, {"blk.0.ffn_norm.weight", kernels::DType::f32, {8}},
      {"blk.0.ffn_gate.weight", kernels::DType::f32, {8, 8}},    {"blk.0.ffn_up.weight", kernels::DType::f32, {8, 8}},
      {"blk.0.ffn_down.weight", kernels::DType::f32, {8, 8}},
  };
  /// Changes the bytes of a tensor before they are written.
  std::function<void(const std::string&, std::vector<std::byte>&)> fill = [](const std::string&,
                                                                             std::vector<std::byte>&) {};

  TensorSpec& tensor(const std::string& name) {
    for (TensorSpec& spec : tensors)
      if (spec.name == name) return spec;
    throw std::runtime_error("no tensor " + name);
  }
  void remove(const std::string& name) {
    std::erase_if(tensors, [&](const TensorSpec& spec) { return spec.name == name; });
  }

  std::vector<std::byte> bytes() const {
    const std::filesystem::path path = temporary("tiny.gguf");
    GgufWriter writer(path);
    const std::string p = architecture + ".";
    writer.add_text("general.architecture", architecture);
    writer.add_text("general.name", "tiny");
    writer.add_u32(p + "block_count", layers);
    writer.add_u32(p + "context_length", 128);
    writer.add_u32(p + "embedding_length", hidden);
    writer.add_u32(p + "feed_forward_length", 8);
    writer.add_u32(p + "attention.head_count", heads);
    writer.add_u32(p + "attention.head_count_kv", kv_heads);
    writer.add_f32(p + "attention.layer_norm_rms_epsilon", eps);
    const std::vector<std::string> tokens = {"a", "b", "c", "ab", "", "\xff\n"};
    writer.add_texts("tokenizer.ggml.tokens", tokens);
    more_metadata(writer);
    for (const TensorSpec& spec : tensors) writer.add_tensor(spec.name, spec.type, spec.shape);
    writer.begin_data();
    for (const TensorSpec& spec : tensors) {
      std::int64_t rows = 1;
      for (std::size_t axis = 0; axis + 1 < spec.shape.size(); ++axis) rows *= spec.shape[axis];
      std::vector<std::byte> data(static_cast<std::size_t>(rows * kernels::row_bytes(spec.type, spec.shape.back())));
      for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i % 61);  // finite in every format
      fill(spec.name, data);
      writer.write(data);
    }
    writer.close();
    std::vector<std::byte> result = bytes_of(path);
    std::filesystem::remove(path);
    return result;
  }
};

/// The message of the lectern::Error that `call` throws; "no error" if it throws none.
template <class Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace lectern::inference::samples

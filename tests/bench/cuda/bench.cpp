#include "tests/bench/cuda/bench.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace lectern::bench {

namespace {

constexpr std::int64_t pattern_values = std::int64_t{1} << 20;

std::uint16_t to_bf16(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace

Model Model::tiny() {
  Model model;
  model.hidden = 256;
  model.vocabulary = 600;
  model.query_heads = 4;
  model.kv_heads = 2;
  model.key_heads = 1;
  model.value_heads = 2;
  model.experts = 8;
  model.chosen = 2;
  model.inner = 256;
  model.decode = {1, 2};
  model.prefill = {65};
  model.contexts = {300};
  return model;
}

Bench::Bench(cuda::Queue& queue, Model model) : queue_(queue), model_(std::move(model)) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> floats(pattern_values);
  std::vector<std::uint16_t> halves(pattern_values);
  std::vector<unsigned char> bytes(pattern_values);
  for (std::size_t i = 0; i < floats.size(); ++i) {
    floats[i] = normal(engine);
    halves[i] = to_bf16(floats[i]);
    bytes[i] = static_cast<unsigned char>(engine() & 0xBFu);
  }
  const auto upload = [&](const auto& values) {
    const auto size = static_cast<std::int64_t>(values.size() * sizeof values[0]);
    cuda::DeviceBuffer buffer(size);
    copy_to_device(queue_, buffer.data(), values.data(), size);
    return buffer;
  };
  float_pattern_ = upload(floats);
  half_pattern_ = upload(halves);
  byte_pattern_ = upload(bytes);
}

Bench::Buffer Bench::memory(std::int64_t size_bytes) {
  return std::make_shared<cuda::DeviceBuffer>(size_bytes);
}

Bench::Buffer Bench::repeated(const cuda::DeviceBuffer& pattern, std::int64_t size_bytes) {
  Buffer buffer = memory(size_bytes);
  for (std::int64_t at = 0; at < size_bytes; at += pattern.size_bytes())
    copy_on_device(queue_, buffer->data() + at, pattern.data(), std::min(pattern.size_bytes(), size_bytes - at));
  return buffer;
}

Bench::Buffer Bench::floats(std::int64_t count) {
  return repeated(float_pattern_, 4 * count);
}

Bench::Buffer Bench::halves(std::int64_t count) {
  return repeated(half_pattern_, 2 * count);
}

Bench::Buffer Bench::weights(DType type, std::int64_t rows, std::int64_t columns) {
  if (type == DType::f32) return floats(rows * columns);
  if (type == DType::bf16) return halves(rows * columns);
  return repeated(byte_pattern_, rows * kernels::row_bytes(type, columns));
}

Bench::Buffer Bench::integers(const std::vector<std::int32_t>& values) {
  const auto size = static_cast<std::int64_t>(values.size() * 4);
  Buffer buffer = memory(size);
  copy_to_device(queue_, buffer->data(), values.data(), size);
  return buffer;
}

std::int64_t Bench::copies(std::int64_t size_bytes) const {
  return std::clamp<std::int64_t>(4 * queue_.device().level2_bytes / std::max<std::int64_t>(1, size_bytes) + 1, 1, 64);
}

}  // namespace lectern::bench

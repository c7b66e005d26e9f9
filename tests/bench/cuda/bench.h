// What an entry of the CUDA kernels' benchmark is made of. An operation is added by one function that fills in entries
// (entries.h) and a line in the list of CMakeLists.txt.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/queue.h"
#include "kernels/tensor.h"

namespace lectern::bench {

namespace cuda = kernels::cuda;
using kernels::ConstTensor;
using kernels::DType;
using kernels::Tensor;

/// The sizes of Qwen3-Next-80B-A3B, or sizes at which the emulator is done in a moment.
struct Model {
  std::int64_t hidden = 2048, vocabulary = 151936;
  std::int64_t query_heads = 16, kv_heads = 2, head_dim = 256, rotary = 64;
  std::int64_t key_heads = 16, value_heads = 32, delta_dim = 128, convolution = 4;
  std::int64_t experts = 512, chosen = 10, inner = 512;
  std::vector<std::int64_t> decode = {1, 4}, prefill = {2048, 32768}, contexts = {4096, 32768, 262144};
  std::int64_t delta_channels() const { return (2 * key_heads + value_heads) * delta_dim; }
  static Model tiny();
};

/// One operation with its data, ready to run.
struct Timed {
  /// Puts the operation into the queue once. `round` counts up: with data that would stay in the caches, it chooses
  /// among copies (Bench::copies).
  std::function<void(std::int64_t round)> run;
  double bytes = 0;      // that must be read and written at least, each once
  double flops = 0;      // on tensor cores; 0: the bytes alone count
  bool in_graph = true;  // false: what it needs comes from the host at each call
};

struct Entry {
  std::string operation;
  std::string shape;  // "2048 x 512, bf16 out"
  std::function<Timed()> prepare;
};

/// Where the entries get their memory from.
class Bench {
 public:
  Bench(cuda::Queue& queue, Model model);

  cuda::Queue& queue() { return queue_; }
  const Model& model() const { return model_; }

  using Buffer = std::shared_ptr<cuda::DeviceBuffer>;
  /// Contents undefined.
  Buffer memory(std::int64_t size_bytes);
  /// Normally distributed f32.
  Buffer floats(std::int64_t count);
  /// The same as bf16.
  Buffer halves(std::int64_t count);
  /// Rows of weights of any type: random bytes of which every f16 and bf16 is below 2.
  Buffer weights(DType type, std::int64_t rows, std::int64_t columns);
  Buffer integers(const std::vector<std::int32_t>& values);
  /// How many copies of data of so many bytes are together four times the second-level cache: a run finds nothing of
  /// its data there if it takes copy round % copies.
  std::int64_t copies(std::int64_t size_bytes) const;

 private:
  Buffer repeated(const cuda::DeviceBuffer& pattern, std::int64_t size_bytes);
  cuda::Queue& queue_;
  Model model_;
  cuda::DeviceBuffer float_pattern_, half_pattern_, byte_pattern_;
};

inline Tensor view(const Bench::Buffer& buffer, DType type, std::initializer_list<std::int64_t> shape) {
  return buffer->tensor(type, shape);
}
/// Copy `copy` of several that lie one behind the other.
inline Tensor view(const Bench::Buffer& buffer, std::int64_t copy, DType type,
                   std::initializer_list<std::int64_t> shape) {
  Tensor tensor(buffer->data(), type, shape);
  tensor.data += copy * tensor.size_bytes();
  return tensor;
}

}  // namespace lectern::bench

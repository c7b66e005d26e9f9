// A loader object takes every tensor by name and shape and remembers which it took; what is left at the end is an
// error, because a tensor that nobody uses (a bias, a norm of another family) means a model that would be computed
// wrongly. Rows are whole runs of blocks in every format, so putting rows in order is a copy of bytes, quantized or
// not.
//
// Qwen3-Next stores b and a (and in older files q, k, v and z) interleaved per key head (model.md 2.2); the forward
// pass gets them apart: [q|k|v], z, b, a, value head h with key head h / r.

#include "inference/weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <unordered_set>

#include "kernels/error.h"

namespace lectern::inference {

using kernels::ConstTensor;
using kernels::DType;

namespace {

using Shape = std::vector<std::int64_t>;

std::string text_of(const Shape& shape) {
  std::string out = "[";
  for (const std::int64_t extent : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(extent);
  return out + "]";
}

float from_f16(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  float magnitude = 0;
  if (exponent == 31)
    magnitude = fraction == 0 ? INFINITY : NAN;
  else if (exponent == 0)
    magnitude = std::ldexp(static_cast<float>(fraction), -24);
  else
    magnitude = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

class Loader {
 public:
  enum class Mode { load, check };
  Loader(const GgufFile& file, Weights& weights, Mode mode) : file_(file), weights_(weights), mode_(mode) {}

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

  [[noreturn]] void fail(const std::string& name, const std::string& what) const {
    throw Error(ErrorKind::bad_file, file_.name() + ": tensor '" + name + "' " + what);
  }

  /// A matrix or stack of matrices in place, of exactly this shape (axes of 1 aside).
  ConstTensor matrix(const std::string& name, const Shape& shape) {
    const ConstTensor tensor = take(name, shape);
    weights_.mapped_bytes += tensor.size_bytes();
    return tensor;
  }

  /// A small tensor as f32, every value finite.
  ConstTensor small(const std::string& name, const Shape& shape) {
    const ConstTensor tensor = take(name, shape);
    const std::int64_t count = tensor.elements();
    ConstTensor result = tensor;
    if (tensor.type == DType::f32) {
      weights_.mapped_bytes += tensor.size_bytes();
    } else if (tensor.type == DType::f16 || tensor.type == DType::bf16) {
      result.type = DType::f32;
      std::byte* const wide = own(count * 4);
      for (std::int64_t i = 0; i < count; ++i) {
        std::uint16_t bits = 0;
        std::memcpy(&bits, tensor.data + 2 * i, sizeof bits);
        const float value =
            tensor.type == DType::f16 ? from_f16(bits) : std::bit_cast<float>(std::uint32_t{bits} << 16);
        std::memcpy(wide + 4 * i, &value, sizeof value);
      }
      result.data = wide;
    } else {
      throw Error(ErrorKind::unsupported, file_.name() + ": tensor '" + name + "' is " + kernels::name(tensor.type) +
                                              "; it must be F32, F16 or BF16");
    }
    for (std::int64_t i = 0; i < count; ++i) {
      float value = 0;
      std::memcpy(&value, result.data + 4 * i, sizeof value);
      if (!std::isfinite(value)) fail(name, "holds a value that is not a finite number; the file is damaged");
    }
    return result;
  }

  /// Some rows of a tensor copied in the order `source_row(i)`, i < rows; the tensor has the given shape.
  ConstTensor reordered(const std::string& name, const Shape& shape, std::int64_t rows,
                        const std::function<std::int64_t(std::int64_t)>& source_row) {
    const ConstTensor tensor = take(name, shape);
    const std::int64_t bytes = kernels::row_bytes(tensor.type, tensor.columns());
    if (mode_ == Mode::check) return ConstTensor(tensor.data, tensor.type, {rows, tensor.columns()});
    std::byte* const copy = own(rows * bytes);
    for (std::int64_t i = 0; i < rows; ++i)
      std::memcpy(copy + i * bytes, tensor.data + source_row(i) * bytes, static_cast<std::size_t>(bytes));
    return ConstTensor(copy, tensor.type, {rows, tensor.columns()});
  }

  void ignore(const std::string& name) { taken_.insert(name); }

  void require_all_taken() const {
    for (const GgufTensor& tensor : file_.tensors())
      if (!taken_.contains(tensor.name))
        throw Error(ErrorKind::unsupported,
                    file_.name() + ": tensor '" + printable(tensor.name) + "' " + text_of(tensor.shape) +
                        " has no place in this model family; this build " + "cannot run the model");
  }

 private:
  ConstTensor take(const std::string& name, const Shape& shape) {
    const GgufTensor* const found = file_.find_tensor(name);
    if (found == nullptr) fail(name, "is missing (expected " + text_of(shape) + ")");
    const auto without_ones = [](Shape axes) {
      std::erase(axes, 1);
      return axes;
    };
    if (found->shape != shape && without_ones(found->shape) != without_ones(shape))
      fail(name, "is " + text_of(found->shape) + ", expected " + text_of(shape));
    ConstTensor tensor = file_.view(*found);
    if (tensor.type == DType::i32) fail(name, "holds integers, expected weights");
    if (kernels::block_values(tensor.type) > 1 && tensor.columns() != shape.back())
      fail(name, "is " + text_of(found->shape) + ", expected " + text_of(shape));
    tensor.rank = static_cast<int>(shape.size());
    std::ranges::fill(tensor.shape, 0);
    std::ranges::copy(shape, tensor.shape.begin());
    taken_.insert(name);
    return tensor;
  }

  std::byte* own(std::int64_t bytes) {
    weights_.owned.push_back(std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(bytes)));
    weights_.owned_bytes += bytes;
    return weights_.owned.back().get();
  }

  const GgufFile& file_;
  Weights& weights_;
  Mode mode_;
  std::unordered_set<std::string> taken_;
};

AttentionWeights load_attention(Loader& loader, const std::string& prefix, const ModelConfig& config) {
  const AttentionConfig& size = config.attention;
  const std::int64_t q_rows = size.heads * size.head_dim * (size.output_gate ? 2 : 1);
  const std::int64_t kv_rows = size.kv_heads * size.head_dim;
  AttentionWeights weights;
  weights.q = loader.matrix(prefix + "attn_q.weight", {q_rows, config.hidden});
  weights.k = loader.matrix(prefix + "attn_k.weight", {kv_rows, config.hidden});
  weights.v = loader.matrix(prefix + "attn_v.weight", {kv_rows, config.hidden});
  weights.output = loader.matrix(prefix + "attn_output.weight", {config.hidden, size.heads * size.head_dim});
  if (size.qk_norm) {
    weights.q_norm = loader.small(prefix + "attn_q_norm.weight", {size.head_dim});
    weights.k_norm = loader.small(prefix + "attn_k_norm.weight", {size.head_dim});
  }
  return weights;
}

DeltaWeights load_delta(Loader& loader, const std::string& prefix, const ModelConfig& config) {
  const DeltaConfig& size = config.delta;
  const std::int64_t channels = size.conv_channels();
  const std::int64_t values = size.value_size();
  const std::int64_t shared = size.value_heads / size.key_heads;  // r: value heads of one key head
  DeltaWeights weights;

  if (loader.has(prefix + "ssm_in.weight")) {  // older files: per key head q | k | v.. | z..
    const std::string name = prefix + "ssm_in.weight";
    const Shape shape = {channels + values, config.hidden};
    const std::int64_t group = 2 * size.key_dim + 2 * shared * size.value_dim;
    const std::int64_t keys = size.key_heads * size.key_dim;
    const auto value_row = [&](std::int64_t i) {  // without the group's leading q and k
      const std::int64_t head = i / size.value_dim;
      return head / shared * group + 2 * size.key_dim + head % shared * size.value_dim + i % size.value_dim;
    };
    weights.qkv = loader.reordered(name, shape, channels, [&](std::int64_t i) {
      if (i < keys) return i / size.key_dim * group + i % size.key_dim;
      if (i < 2 * keys) return (i - keys) / size.key_dim * group + size.key_dim + i % size.key_dim;
      return value_row(i - 2 * keys);
    });
    weights.z =
        loader.reordered(name, shape, values, [&](std::int64_t i) { return value_row(i) + shared * size.value_dim; });
  } else {
    weights.qkv = loader.matrix(prefix + "attn_qkv.weight", {channels, config.hidden});
    weights.z = loader.matrix(prefix + "attn_gate.weight", {values, config.hidden});
  }

  // Per key head b.. | a..
  const std::string ba = prefix + "ssm_ba.weight";
  const Shape ba_shape = {2 * size.value_heads, config.hidden};
  const auto b_row = [&](std::int64_t head) { return head / shared * 2 * shared + head % shared; };
  weights.b = loader.reordered(ba, ba_shape, size.value_heads, b_row);
  weights.a = loader.reordered(ba, ba_shape, size.value_heads, [&](std::int64_t head) { return b_row(head) + shared; });

  const std::string dt = prefix + "ssm_dt.bias";
  weights.conv = loader.small(prefix + "ssm_conv1d.weight", {channels, size.conv_kernel});
  weights.decay = loader.small(prefix + "ssm_a", {size.value_heads});
  weights.dt_bias = loader.small(loader.has(dt) ? dt : prefix + "ssm_dt", {size.value_heads});
  weights.norm = loader.small(prefix + "ssm_norm.weight", {size.value_dim});
  weights.output = loader.matrix(prefix + "ssm_out.weight", {config.hidden, values});
  return weights;
}

DenseWeights load_dense(Loader& loader, const std::string& prefix, const std::string& suffix, std::int64_t inner,
                        std::int64_t hidden) {
  DenseWeights weights;
  weights.gate = loader.matrix(prefix + "ffn_gate" + suffix, {inner, hidden});
  weights.up = loader.matrix(prefix + "ffn_up" + suffix, {inner, hidden});
  weights.down = loader.matrix(prefix + "ffn_down" + suffix, {hidden, inner});
  return weights;
}

MoeWeights load_moe(Loader& loader, const std::string& prefix, const ModelConfig& config) {
  const MoeConfig& size = config.moe;
  MoeWeights weights;
  weights.router = loader.matrix(prefix + "ffn_gate_inp.weight", {size.experts, config.hidden});
  const std::string fused = prefix + "ffn_gate_up_exps.weight";
  if (loader.has(fused)) {  // per expert I rows of gate, then I rows of up
    const Shape shape = {size.experts, 2 * size.hidden, config.hidden};
    const std::int64_t rows = size.experts * size.hidden;
    const auto gate_row = [&](std::int64_t i) { return i / size.hidden * 2 * size.hidden + i % size.hidden; };
    const auto stack = [&](ConstTensor flat) {
      return ConstTensor(flat.data, flat.type, {size.experts, size.hidden, config.hidden});
    };
    weights.gate = stack(loader.reordered(fused, shape, rows, gate_row));
    weights.up = stack(loader.reordered(fused, shape, rows, [&](std::int64_t i) { return gate_row(i) + size.hidden; }));
  } else {
    weights.gate = loader.matrix(prefix + "ffn_gate_exps.weight", {size.experts, size.hidden, config.hidden});
    weights.up = loader.matrix(prefix + "ffn_up_exps.weight", {size.experts, size.hidden, config.hidden});
  }
  weights.down = loader.matrix(prefix + "ffn_down_exps.weight", {size.experts, config.hidden, size.hidden});
  if (size.shared_hidden > 0) {
    weights.shared = load_dense(loader, prefix, "_shexp.weight", size.shared_hidden, config.hidden);
    weights.shared_router = loader.matrix(prefix + "ffn_gate_inp_shexp.weight", {1, config.hidden});
  }
  return weights;
}

Weights take_all(const GgufFile& file, const ModelConfig& config, Loader::Mode mode) {
  Weights weights;
  Loader loader(file, weights, mode);
  weights.embedding = loader.matrix("token_embd.weight", {config.vocabulary, config.hidden});
  weights.output_norm = loader.small("output_norm.weight", {config.hidden});
  weights.output =
      config.tied_output ? weights.embedding : loader.matrix("output.weight", {config.vocabulary, config.hidden});
  loader.ignore("rope_freqs.weight");  // read by model_config

  const char* const ffn_norm = config.family == ModelFamily::llama ? "ffn_norm.weight" : "post_attention_norm.weight";
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    const std::string prefix = "blk." + std::to_string(i) + ".";
    LayerWeights layer;
    layer.input_norm = loader.small(prefix + "attn_norm.weight", {config.hidden});
    if (config.layers[i].mixer == LayerKind::attention)
      layer.mixer = load_attention(loader, prefix, config);
    else
      layer.mixer = load_delta(loader, prefix, config);
    layer.ffn_norm = loader.small(prefix + ffn_norm, {config.hidden});
    if (config.layers[i].ffn == FfnKind::moe)
      layer.ffn = load_moe(loader, prefix, config);
    else
      layer.ffn = load_dense(loader, prefix, ".weight", config.dense_hidden, config.hidden);
    loader.ignore(prefix + "attn_rot_embd.weight");  // frequencies that very old files carry; never used
    loader.ignore(prefix + "rope_freqs.weight");     // the common ones, repeated in each layer by some writers
    weights.layers.push_back(std::move(layer));
  }
  loader.require_all_taken();
  return weights;
}

}  // namespace

Weights load_weights(const GgufFile& file, const ModelConfig& config) {
  return take_all(file, config, Loader::Mode::load);
}
void check_weights(const GgufFile& file, const ModelConfig& config) {
  take_all(file, config, Loader::Mode::check);
}

}  // namespace lectern::inference

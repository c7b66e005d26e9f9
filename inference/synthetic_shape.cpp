// Standard deviations are 1 / sqrt(inputs) for every matrix: normed inputs of mean square 1 give outputs of mean square
// 1, each mixer and feed-forward adds less than 1 to the residual stream, and the logits have standard deviation 1
// however many layers there are. Decay and dt are spread as at the start of training Mamba-2 and Gated DeltaNet: A from
// -16 to -1, softplus(dt) from 0.001 to 0.1, so heads forget after one to a thousand tokens.

#include "inference/synthetic_shape.h"

#include <algorithm>
#include <cmath>

namespace lectern::inference {

using kernels::DType;

namespace {

using Shape = std::vector<std::int64_t>;

std::vector<SyntheticShape> make_presets() {
  SyntheticShape next;
  next.preset = "qwen3-next-80b";
  next.architecture = "qwen3next";
  next.pre = "qwen2";
  next.layers = 48;
  next.hidden = 2048;
  next.vocabulary = 151936;
  next.heads = 16;
  next.kv_heads = 2;
  next.experts = 512;
  next.experts_used = 10;
  next.expert_hidden = next.shared_hidden = 512;
  next.dense_hidden = 5120;

  SyntheticShape moe = next;
  moe.preset = "qwen3.5-35b-a3b";
  moe.architecture = "qwen35moe";
  moe.pre = "qwen35";
  moe.layers = 40;
  moe.vocabulary = 248320;
  moe.experts = 256;
  moe.experts_used = 8;
  moe.dense_hidden = 0;

  SyntheticShape dense = moe;
  dense.preset = "qwen3.5-0.8b";
  dense.architecture = "qwen35";
  dense.layers = 24;
  dense.hidden = 1024;
  dense.heads = 8;
  dense.value_heads = 16;
  dense.experts = dense.experts_used = dense.expert_hidden = dense.shared_hidden = 0;
  dense.dense_hidden = 3584;
  dense.tied = true;

  SyntheticShape mid = next;
  mid.preset = "mid";
  mid.layers = 8;
  mid.experts = 64;

  SyntheticShape tiny = next;  // model.md 8.1; too small for the peers' kernels
  tiny.preset = "tiny";
  tiny.layers = 8;
  tiny.hidden = 32;
  tiny.vocabulary = 320;
  tiny.heads = 4;
  tiny.kv_heads = 2;
  tiny.head_dim = 16;
  tiny.rope_dimensions = 4;
  tiny.key_heads = 2;
  tiny.value_heads = 4;
  tiny.delta_dim = 8;
  tiny.experts = 8;
  tiny.experts_used = 3;
  tiny.expert_hidden = tiny.shared_hidden = 12;
  tiny.dense_hidden = 24;
  tiny.dense_layers = {1};
  return {next, moe, dense, mid, tiny};
}

/// The layers that get more bits in llama.cpp's mixes: the first and last eighth and every third between.
bool use_more_bits(std::int64_t block, std::int64_t blocks) {
  return block < blocks / 8 || block >= 7 * blocks / 8 || (block - blocks / 8) % 3 == 2;
}

DType type_that_fits(DType type, std::int64_t columns) {
  if ((type == DType::q4_k || type == DType::q6_k) && columns % kernels::block_values(type) != 0) type = DType::q8_0;
  if (type == DType::q8_0 && columns % kernels::block_values(type) != 0) type = DType::bf16;
  return type;
}

class TensorList {
 public:
  TensorList(const SyntheticShape& shape, DType type) : shape_(shape), type_(type) {}

  /// A matrix or stack of matrices [.., out, in] in the file's type, or with more bits.
  void matrix(const std::string& name, const Shape& axes, bool more_bits = false) {
    const DType wanted = more_bits && type_ == DType::q4_k ? DType::q6_k : type_;
    add(name, type_that_fits(wanted, axes.back()), axes, by_inputs(axes.back()));
  }
  void f32_matrix(const std::string& name, const Shape& axes) { add(name, DType::f32, axes, by_inputs(axes.back())); }
  void uniform(const std::string& name, std::int64_t size, double least, double most) {
    add(name, DType::f32, {size}, {Distribution::Shape::uniform, (least + most) / 2, (most - least) / 2});
  }
  void norm(const std::string& name, std::int64_t size) { uniform(name, size, 0.9, 1.1); }

  void attention(const std::string& prefix, bool more_bits) {
    const std::int64_t inner = shape_.heads * shape_.head_dim, kv = shape_.kv_heads * shape_.head_dim;
    matrix(prefix + "attn_q.weight", {2 * inner, shape_.hidden});  // per head query rows, then gate rows
    matrix(prefix + "attn_k.weight", {kv, shape_.hidden});
    matrix(prefix + "attn_v.weight", {kv, shape_.hidden}, more_bits);
    matrix(prefix + "attn_output.weight", {shape_.hidden, inner});
    norm(prefix + "attn_q_norm.weight", shape_.head_dim);
    norm(prefix + "attn_k_norm.weight", shape_.head_dim);
  }

  void delta(const std::string& prefix, bool more_bits) {
    const std::int64_t values = shape_.value_heads * shape_.delta_dim;
    const std::int64_t channels = 2 * shape_.key_heads * shape_.delta_dim + values;
    matrix(prefix + "attn_qkv.weight", {channels, shape_.hidden}, more_bits);
    matrix(prefix + "attn_gate.weight", {values, shape_.hidden});
    if (shape_.architecture == "qwen3next") {
      f32_matrix(prefix + "ssm_ba.weight", {2 * shape_.value_heads, shape_.hidden});
    } else {
      f32_matrix(prefix + "ssm_beta.weight", {shape_.value_heads, shape_.hidden});
      f32_matrix(prefix + "ssm_alpha.weight", {shape_.value_heads, shape_.hidden});
    }
    f32_matrix(prefix + "ssm_conv1d.weight", {channels, shape_.conv_kernel});
    uniform(prefix + "ssm_a", shape_.value_heads, -16.0, -1.0);
    uniform(prefix + "ssm_dt.bias", shape_.value_heads, -6.9, -2.25);
    norm(prefix + "ssm_norm.weight", shape_.delta_dim);
    matrix(prefix + "ssm_out.weight", {shape_.hidden, values});
  }

  void feed_forward(const std::string& prefix, const std::string& suffix, std::int64_t inner, bool more_bits) {
    matrix(prefix + "ffn_gate" + suffix, {inner, shape_.hidden});
    matrix(prefix + "ffn_up" + suffix, {inner, shape_.hidden});
    matrix(prefix + "ffn_down" + suffix, {shape_.hidden, inner}, more_bits);
  }

  void experts(const std::string& prefix, bool more_bits) {
    const std::int64_t inner = shape_.expert_hidden;
    f32_matrix(prefix + "ffn_gate_inp.weight", {shape_.experts, shape_.hidden});
    matrix(prefix + "ffn_gate_exps.weight", {shape_.experts, inner, shape_.hidden});
    matrix(prefix + "ffn_up_exps.weight", {shape_.experts, inner, shape_.hidden});
    matrix(prefix + "ffn_down_exps.weight", {shape_.experts, shape_.hidden, inner}, more_bits);
    f32_matrix(prefix + "ffn_gate_inp_shexp.weight", {shape_.hidden});
    feed_forward(prefix, "_shexp.weight", shape_.shared_hidden, more_bits);
  }

  void block(std::int64_t index) {
    const std::string prefix = "blk." + std::to_string(index) + ".";
    const bool more_bits = use_more_bits(index, shape_.blocks());
    norm(prefix + "attn_norm.weight", shape_.hidden);
    if (shape_.is_attention(index))
      attention(prefix, more_bits);
    else
      delta(prefix, more_bits);
    norm(prefix + "post_attention_norm.weight", shape_.hidden);
    if (shape_.is_moe(index))
      experts(prefix, more_bits);
    else
      feed_forward(prefix, ".weight", shape_.dense_hidden, more_bits);
    if (index >= shape_.layers) {
      matrix(prefix + "nextn.eh_proj.weight", {shape_.hidden, 2 * shape_.hidden});
      norm(prefix + "nextn.enorm.weight", shape_.hidden);
      norm(prefix + "nextn.hnorm.weight", shape_.hidden);
      norm(prefix + "nextn.shared_head_norm.weight", shape_.hidden);
    }
  }

  std::vector<SyntheticTensorSpec> all() {
    matrix("token_embd.weight", {shape_.vocabulary, shape_.hidden}, shape_.tied);
    for (std::int64_t index = 0; index < shape_.blocks(); ++index) block(index);
    norm("output_norm.weight", shape_.hidden);
    if (!shape_.tied) matrix("output.weight", {shape_.vocabulary, shape_.hidden}, true);
    return std::move(tensors_);
  }

 private:
  static Distribution by_inputs(std::int64_t inputs) {
    return {Distribution::Shape::normal, 0.0, 1.0 / std::sqrt(static_cast<double>(inputs))};
  }
  void add(const std::string& name, DType type, const Shape& axes, const Distribution& distribution) {
    tensors_.push_back({name, type, axes, distribution});
  }

  const SyntheticShape& shape_;
  DType type_;
  std::vector<SyntheticTensorSpec> tensors_;
};

}  // namespace

bool SyntheticShape::is_moe(std::int64_t block) const {
  return experts > 0 && std::ranges::find(dense_layers, block) == dense_layers.end();
}

const std::vector<SyntheticShape>& synthetic_presets() {
  static const std::vector<SyntheticShape> presets = make_presets();
  return presets;
}

std::int64_t SyntheticTensorSpec::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

std::int64_t SyntheticTensorSpec::size_bytes() const {
  return elements() / kernels::block_values(type) * kernels::block_bytes(type);
}

std::vector<SyntheticTensorSpec> synthetic_tensors(const SyntheticShape& shape, DType type) {
  return TensorList(shape, type).all();
}

}  // namespace lectern::inference

// Keys and values are written to the pages first and attention reads them from there, rounded as they are kept: a token
// therefore sees the same bits whether its predecessors came with it in one pass, in an earlier one, or from a kept
// reading.
#include "inference/attention_layer.h"

#include <cmath>

#include "kernels/attention_decode.h"
#include "kernels/attention_prefill.h"
#include "kernels/elementwise.h"
#include "kernels/kv_write.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary.h"

namespace lectern::inference {

using kernels::Tensor;

void attention_layer(LayerPass& pass, const AttentionWeights& weights, std::int64_t layer, kernels::ConstTensor x,
                     Tensor out) {
  const AttentionConfig& a = pass.config.attention;
  const RopeConfig& rope = pass.config.rope;
  const std::int64_t rows = x.dim(0);
  const kernels::Arena::Scope scope(pass.arena);

  Tensor q = pass.arena.f32({rows, a.heads, a.head_dim});
  Tensor k = pass.arena.f32({rows, a.kv_heads, a.head_dim});
  Tensor v = pass.arena.f32({rows, a.kv_heads, a.head_dim});
  Tensor gate;
  if (a.output_gate) gate = pass.arena.f32({rows, a.heads, a.head_dim});
  const auto flat = [&](const Tensor& heads) {
    return Tensor(heads.data, heads.type, {rows, heads.dim(1) * heads.dim(2)});
  };
  {
    const kernels::Arena::Scope inner(pass.arena);
    // With an output gate the rows of q are, per head, D of query, then D of gate.
    Tensor both = a.output_gate ? pass.arena.f32({rows, a.heads * 2 * a.head_dim}) : flat(q);
    const kernels::Product products[] = {{weights.q, both}, {weights.k, flat(k)}, {weights.v, flat(v)}};
    project(pass, x, products);
    if (a.output_gate) {
      both.shape = {rows * a.heads, 2 * a.head_dim};
      kernels::copy_columns(pass.stream, both, 0, Tensor(q.data, q.type, {rows * a.heads, a.head_dim}));
      kernels::copy_columns(pass.stream, both, a.head_dim, Tensor(gate.data, gate.type, {rows * a.heads, a.head_dim}));
    }
  }

  if (a.qk_norm) {
    kernels::rms_norm(pass.stream, q, weights.q_norm, pass.config.norm_eps, q);
    kernels::rms_norm(pass.stream, k, weights.k_norm, pass.config.norm_eps, k);
  }
  kernels::rotary(pass.stream, q, pass.positions, rope.frequencies, rope.magnitude, rope.pairs);
  kernels::rotary(pass.stream, k, pass.positions, rope.frequencies, rope.magnitude, rope.pairs);

  Tensor y = pass.arena.f32({rows, a.heads, a.head_dim});
  const kernels::KvShape shape{a.kv_heads, a.head_dim, pass.kv_type};
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.head_dim)));
  std::int64_t first = 0, used_strips = 0;
  pass.slots.clear();
  for (const ForwardPiece& piece : pass.pieces) {
    const auto count = static_cast<std::int64_t>(piece.tokens.size());
    if (piece.sequence->restore) piece.sequence->restore->need_keys_and_values(layer);
    const kernels::KvStrips strips =
        piece.sequence->kv.strips(layer, pass.strips.subspan(static_cast<std::size_t>(used_strips)));
    const std::int64_t slot = piece.sequence->position();
    kernels::kv_write(pass.stream, slice(k, first, count), slice(v, first, count), shape, strips, slot);
    if (pass.kind == RowKind::prefill) {
      kernels::attention_prefill(pass.stream, slice(q, first, count), shape, strips, slot, scale,
                                 slice(y, first, count));
    } else {
      for (std::int64_t t = 0; t < count; ++t) pass.slots.push_back({strips, slot + t + 1});
      used_strips += std::ssize(strips);
    }
    first += count;
  }
  if (pass.kind == RowKind::decode) kernels::attention_decode(pass.stream, q, shape, pass.slots, scale, y);
  if (a.output_gate) kernels::sigmoid_multiply(pass.stream, y, gate, y);
  project(pass, Tensor(y.data, y.type, {rows, a.heads * a.head_dim}), weights.output, out);
}

std::int64_t attention_workspace(const ModelConfig& config, std::int64_t rows) {
  const AttentionConfig& a = config.attention;
  const std::int64_t q = a.heads * a.head_dim, kv = a.kv_heads * a.head_dim;
  const std::int64_t values = 2 * q + 2 * kv + (a.output_gate ? 3 * q : 0);
  return rows * values * static_cast<std::int64_t>(sizeof(float)) + 8 * kernels::memory_alignment;
}

}  // namespace lectern::inference

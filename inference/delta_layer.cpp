// The convolution reads its last inputs from the kept rows, which are f32 for every model. Rows of bf16 save two
// megabytes of an 80B model's state, but all inputs must then be rounded to bf16 (a token's result must not depend on
// whether its predecessors came in the same pass), and that was most of the error of 8-bit models: a random model of
// four layers in Q8_0 stood at a mean KL of 1.0e-3 from its f32 form, and stands at 4e-5 without.
#include "inference/delta_layer.h"

#include <cmath>

#include "kernels/causal_conv1d.h"
#include "kernels/delta_gates.h"
#include "kernels/delta_rule.h"
#include "kernels/elementwise.h"
#include "kernels/rms_norm.h"

namespace lectern::inference {

using kernels::Tensor;

namespace {
constexpr float l2_eps = 1e-6F;  // inside the root, as in Qwen3-Next's reference code
}

void delta_layer(LayerPass& pass, const DeltaWeights& weights, std::int64_t layer, kernels::ConstTensor x, Tensor out) {
  const DeltaConfig& d = pass.config.delta;
  const std::int64_t rows = x.dim(0);
  const std::int64_t channels = d.conv_channels(), key_size = d.key_heads * d.key_dim;
  const kernels::Arena::Scope scope(pass.arena);

  Tensor q = pass.arena.f32({rows, d.key_heads, d.key_dim});
  Tensor k = pass.arena.f32({rows, d.key_heads, d.key_dim});
  Tensor v = pass.arena.f32({rows, d.value_heads, d.value_dim});
  Tensor z = pass.arena.f32({rows, d.value_heads, d.value_dim});
  Tensor beta = pass.arena.f32({rows, d.value_heads});
  Tensor g = pass.arena.f32({rows, d.value_heads});
  {
    const kernels::Arena::Scope inner(pass.arena);
    Tensor m = pass.arena.f32({rows, channels});
    Tensor u = pass.arena.f32({rows, channels});
    const kernels::Product products[] = {{weights.qkv, m},
                                         {weights.z, Tensor(z.data, z.type, {rows, d.value_size()})},
                                         {weights.b, beta},
                                         {weights.a, g}};
    project(pass, x, products);
    const auto flat = [&](const Tensor& heads) {
      return Tensor(heads.data, heads.type, {rows, heads.dim(1) * heads.dim(2)});
    };
    std::int64_t first = 0;
    for (const ForwardPiece& piece : pass.pieces) {
      const auto count = static_cast<std::int64_t>(piece.tokens.size());
      pass.snapshot_views.clear();
      for (DeltaSnapshot* snapshot : piece.snapshots) pass.snapshot_views.push_back(snapshot->state.conv(layer));
      DeltaState& state = piece.sequence->state;
      if (piece.sequence->restore) piece.sequence->restore->need_delta(layer, state);
      const Tensor rows_m = slice(m, first, count);
      const Tensor kept =
          piece.replay ? piece.replay->record_conv(layer, weights.conv, rows_m, state) : state.conv(layer);
      kernels::causal_conv1d(pass.stream, rows_m, weights.conv, kept, piece.snapshot_offsets, pass.snapshot_views,
                             slice(u, first, count));
      first += count;
    }
    kernels::copy_columns(pass.stream, u, 0, flat(q));
    kernels::copy_columns(pass.stream, u, key_size, flat(k));
    kernels::copy_columns(pass.stream, u, 2 * key_size, flat(v));
  }
  kernels::l2_norm(pass.stream, q, l2_eps, static_cast<float>(1.0 / std::sqrt(static_cast<double>(d.key_dim))), q);
  kernels::l2_norm(pass.stream, k, l2_eps, 1.0F, k);

  kernels::delta_gates(pass.stream, g, beta, weights.decay, weights.dt_bias, g, beta);

  Tensor o = pass.arena.f32({rows, d.value_heads, d.value_dim});
  std::int64_t first = 0;
  for (const ForwardPiece& piece : pass.pieces) {
    const auto count = static_cast<std::int64_t>(piece.tokens.size());
    pass.snapshot_views.clear();
    for (DeltaSnapshot* snapshot : piece.snapshots) pass.snapshot_views.push_back(snapshot->state.recurrent(layer));
    DeltaState& state = piece.sequence->state;
    const Tensor rows_k = slice(k, first, count), rows_v = slice(v, first, count);
    const Tensor rows_g = slice(g, first, count), rows_beta = slice(beta, first, count);
    const Tensor recurrent = piece.replay ? piece.replay->record_delta(layer, rows_k, rows_v, rows_g, rows_beta, state)
                                          : state.recurrent(layer);
    kernels::delta_rule(pass.stream, slice(q, first, count), rows_k, rows_v, rows_g, rows_beta, d.sharing,
                        piece.segment_starts, recurrent, piece.snapshot_offsets, pass.snapshot_views,
                        slice(o, first, count));
    first += count;
  }
  kernels::gated_rms_norm(pass.stream, o, z, weights.norm, pass.config.norm_eps, o);
  project(pass, Tensor(o.data, o.type, {rows, d.value_size()}), weights.output, out);
}

std::int64_t delta_workspace(const ModelConfig& config, std::int64_t rows) {
  const DeltaConfig& d = config.delta;
  const std::int64_t values = 3 * d.conv_channels() + 2 * d.value_heads + 2 * d.value_size();
  return rows * values * static_cast<std::int64_t>(sizeof(float)) + 12 * kernels::memory_alignment;
}

}  // namespace lectern::inference

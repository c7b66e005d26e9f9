// run() is model.md 3.1 line by line. The residual stream stays in f32. Several sequences share one pass: projections
// see all rows at once, attention, convolution and delta rule take them piece by piece. After each layer the residual
// rows are checked for NaN and infinity, which costs a hundredth of a pass and names the layer where things went wrong.
#include "inference/forward.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <string>

#include "inference/attention_layer.h"
#include "inference/delta_layer.h"
#include "inference/ffn_layer.h"
#include "inference/memory_plan.h"
#include "kernels/elementwise.h"
#include "kernels/embed_rows.h"
#include "kernels/error.h"
#include "kernels/rms_norm.h"

namespace lectern::inference {

using kernels::ConstTensor;
using kernels::Tensor;

namespace {

constexpr std::size_t most_snapshots = 64;  // per piece of a pass

bool is_finite(ConstTensor x) {
  const auto* values = reinterpret_cast<const std::uint32_t*>(x.data);
  const std::int64_t count = x.elements();
  std::uint32_t found = 0;  // all exponent bits set: NaN or infinity
  for (std::int64_t index = 0; index < count; ++index)
    found |= static_cast<std::uint32_t>((values[index] & 0x7F800000U) == 0x7F800000U);
  return found == 0;
}

std::int64_t workspace(const ModelConfig& config, std::int64_t rows) {
  std::int64_t layer = ffn_workspace(config, rows);
  if (config.attention_layers() > 0) layer = std::max(layer, attention_workspace(config, rows));
  if (config.delta_layers() > 0) layer = std::max(layer, delta_workspace(config, rows));
  const std::int64_t row_buffers = 3;  // residual stream, normed rows, a block's output
  return layer + rows * row_buffers * config.hidden * static_cast<std::int64_t>(sizeof(float)) +
         8 * kernels::memory_alignment;
}

}  // namespace

DeltaShape delta_shape(const ModelConfig& config) {
  DeltaShape shape;
  shape.hidden = config.hidden;
  shape.layers = config.delta_layers();
  if (shape.layers == 0) return shape;
  shape.value_heads = config.delta.value_heads;
  shape.key_dim = config.delta.key_dim;
  shape.value_dim = config.delta.value_dim;
  shape.conv_rows = config.delta.conv_kernel - 1;
  shape.conv_channels = config.delta.conv_channels();
  return shape;
}

kernels::KvShape kv_shape(const ModelConfig& config) {
  return {config.attention.kv_heads, config.attention.head_dim, state_type(config)};
}

Forward::Forward(const ModelConfig& config, const Weights& weights, kernels::Stream& stream, std::int64_t chunk,
                 std::int64_t window)
    : config_(config),
      weights_(weights),
      stream_(stream),
      chunk_(chunk),
      window_(window),
      arena_(workspace(config, chunk)),
      ids_(static_cast<std::size_t>(chunk)),
      positions_(static_cast<std::size_t>(chunk)),
      strips_(static_cast<std::size_t>((window + chunk) / kernels::kv_page_tokens + 2)) {
  snapshot_views_.reserve(most_snapshots);
  slots_.reserve(static_cast<std::size_t>(chunk));
}

void Forward::check(std::span<const ForwardPiece> pieces) const {
  std::int64_t rows = 0;
  for (const ForwardPiece& piece : pieces) {
    const auto count = static_cast<std::int64_t>(piece.tokens.size());
    rows += count;
    if (count == 0 || rows > chunk_)
      throw Error(ErrorKind::bad_request, "forward: a pass takes 1 to " + std::to_string(chunk_) + " tokens");
    if (piece.snapshots.size() != piece.snapshot_offsets.size() || piece.snapshots.size() > most_snapshots)
      throw Error(ErrorKind::bad_request, "forward: too many snapshots in one pass");
    assert(!piece.replay || (piece.snapshots.empty() && count <= piece.replay->rows()));
    if (piece.sequence->position() + count > window_)
      throw Error(ErrorKind::bad_request, "the context window of " + std::to_string(window_) + " tokens is full");
    for (TokenId id : piece.tokens)
      if (id < 0 || id >= config_.vocabulary)
        throw Error(ErrorKind::bad_request, "token " + std::to_string(id) + " is not in the model's vocabulary of " +
                                                std::to_string(config_.vocabulary));
  }
}

ConstTensor Forward::run(std::span<const ForwardPiece> pieces, RowKind kind) {
  check(pieces);
  std::size_t pages = 0;
  for (const ForwardPiece& piece : pieces) {
    piece.sequence->kv.reserve(static_cast<std::int64_t>(piece.tokens.size()));
    pages += piece.sequence->kv.pages().size();
  }
  if (strips_.size() < pages) strips_.resize(pages);  // more sequences at once than ever before
  std::int64_t rows = 0;
  for (const ForwardPiece& piece : pieces)
    for (std::size_t t = 0; t < piece.tokens.size(); ++t, ++rows) {
      ids_[static_cast<std::size_t>(rows)] = piece.tokens[t];
      positions_[static_cast<std::size_t>(rows)] = piece.sequence->position() + static_cast<std::int64_t>(t);
    }

  const kernels::Arena::Scope scope(arena_);
  Tensor x = arena_.f32({rows, config_.hidden});       // residual stream
  Tensor normed = arena_.f32({rows, config_.hidden});  // what a block reads, at the end the result
  Tensor y = arena_.f32({rows, config_.hidden});       // what a block adds
  LayerPass pass{stream_,
                 arena_,
                 config_,
                 kind,
                 state_type(config_),
                 pieces,
                 {positions_.data(), static_cast<std::size_t>(rows)},
                 strips_,
                 slots_,
                 snapshot_views_};

  kernels::embed_rows(stream_, weights_.embedding, {ids_.data(), static_cast<std::size_t>(rows)}, x);
  std::int64_t attention_index = 0, delta_index = 0;
  for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    const LayerWeights& w = weights_.layers[layer];
    kernels::rms_norm(stream_, x, w.input_norm, config_.norm_eps, normed);
    if (const auto* attention = std::get_if<AttentionWeights>(&w.mixer))
      attention_layer(pass, *attention, attention_index++, normed, y);
    else
      delta_layer(pass, std::get<DeltaWeights>(w.mixer), delta_index++, normed, y);
    kernels::add(stream_, x, y, x);

    kernels::rms_norm(stream_, x, w.ffn_norm, config_.norm_eps, normed);
    if (const auto* dense = std::get_if<DenseWeights>(&w.ffn))
      dense_layer(pass, *dense, normed, y);
    else
      moe_layer(pass, std::get<MoeWeights>(w.ffn), normed, y);
    kernels::add(stream_, x, y, x);
    if (!is_finite(x))
      throw Error(ErrorKind::device, config_.name + ": layer " + std::to_string(layer) +
                                         " gave a value that is not finite; the model file may be damaged");
  }
  kernels::rms_norm(stream_, x, weights_.output_norm, config_.norm_eps, normed);
  if (!is_finite(normed))
    throw Error(ErrorKind::device, config_.name + ": the final norm gave a value that is not finite");

  std::int64_t first = 0;
  for (const ForwardPiece& piece : pieces) {
    for (std::size_t index = 0; index < piece.snapshots.size(); ++index) {
      DeltaSnapshot& snapshot = *piece.snapshots[index];
      const std::int64_t row = first + piece.snapshot_offsets[index] - 1;
      snapshot.position = piece.sequence->position() + piece.snapshot_offsets[index];
      snapshot.rows = kind;
      snapshot.hidden.resize(static_cast<std::size_t>(config_.hidden));
      std::memcpy(snapshot.hidden.data(), slice(normed, row, 1).data, snapshot.hidden.size() * sizeof(float));
    }
    first += static_cast<std::int64_t>(piece.tokens.size());
  }
  for (const ForwardPiece& piece : pieces) piece.sequence->kv.advance(static_cast<std::int64_t>(piece.tokens.size()));
  return normed;
}

void Forward::logits(ConstTensor hidden, RowKind kind, Tensor out) {
  LayerPass pass{stream_, arena_, config_, kind, state_type(config_), {}, {}, strips_, slots_, snapshot_views_};
  project(pass, hidden, weights_.output, out);
  if (!is_finite(out))
    throw Error(ErrorKind::device, config_.name +
                                       ": the output matrix gave a logit that is not finite; the model file "
                                       "may be damaged");
}

}  // namespace lectern::inference

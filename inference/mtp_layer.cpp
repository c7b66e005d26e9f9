// run() is model.md 4.1 line by line, with the layers of the model itself over a sequence of its own. A draft's slots
// are forgotten again: once the model has read a token its own hidden row makes the better pair, which comes by read().
#include "inference/mtp_layer.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <string>

#include "inference/attention_layer.h"
#include "inference/ffn_layer.h"
#include "inference/forward.h"
#include "inference/memory_plan.h"
#include "kernels/elementwise.h"
#include "kernels/embed_rows.h"
#include "kernels/error.h"
#include "kernels/rms_norm.h"

namespace lectern::inference {

using kernels::ConstTensor;
using kernels::Tensor;

namespace {

constexpr std::int64_t f32_bytes = sizeof(float);

std::int64_t workspace(const ModelConfig& config, std::int64_t rows) {
  const std::int64_t row_buffers = 6;  // c, normed, a block's output, the pair, its hidden half
  return std::max(ffn_workspace(config, rows), attention_workspace(config, rows)) +
         rows * row_buffers * config.hidden * f32_bytes + 8 * kernels::memory_alignment;
}

std::int64_t page_bytes(const ModelConfig& config, std::int64_t window) {
  const std::int64_t pages = (window + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens + 1;
  return pages * kv_shape(config).strip_bytes();
}

const MtpWeights& layer_of(const ModelConfig& config, const Weights& weights) {
  if (!weights.mtp)
    throw Error(ErrorKind::unsupported,
                config.name + ": the model has no layer for multi-token prediction, so it cannot draft tokens");
  return *weights.mtp;
}

}  // namespace

MtpLayer::MtpLayer(const ModelConfig& config, const Weights& weights, kernels::Stream& stream,
                   std::int64_t usable_tokens, std::int64_t chunk, std::int64_t window)
    : config_(config),
      weights_(layer_of(config, weights)),
      stream_(stream),
      usable_tokens_(usable_tokens),
      chunk_(chunk),
      arena_(workspace(config, chunk)),
      pool_(1, kv_shape(config), page_bytes(config, window)),
      sequence_(pool_, {}),
      positions_(static_cast<std::size_t>(chunk)),
      strips_(static_cast<std::size_t>((window + chunk) / kernels::kv_page_tokens + 2)),
      logits_(static_cast<std::size_t>(config.vocabulary)) {}

std::int64_t MtpLayer::work_bytes(const ModelConfig& config, std::int64_t chunk) {
  return workspace(config, chunk) + config.vocabulary * f32_bytes;
}

LayerPass MtpLayer::pass_of(RowKind kind, std::span<const ForwardPiece> pieces) {
  const std::size_t rows = pieces.empty() ? 0 : pieces[0].tokens.size();
  return {stream_, arena_, config_,      kind, state_type(config_), pieces, {positions_.data(), rows},
          strips_, slots_, no_snapshots_};
}

ConstTensor MtpLayer::run(std::span<const TokenId> next, ConstTensor hidden, RowKind kind) {
  const auto rows = static_cast<std::int64_t>(next.size());
  assert(rows >= 1 && rows <= chunk_ && hidden.dim(0) == rows);
  sequence_.kv.reserve(rows);
  for (std::int64_t row = 0; row < rows; ++row) positions_[static_cast<std::size_t>(row)] = length() + row;
  const ForwardPiece piece{&sequence_, next, {}, {}, {}};
  LayerPass pass = pass_of(kind, {&piece, 1});

  const kernels::Arena::Scope scope(arena_);
  Tensor normed = arena_.f32({rows, config_.hidden});  // what a block reads, at the end the result
  Tensor c = arena_.f32({rows, config_.hidden});       // residual stream
  Tensor y = arena_.f32({rows, config_.hidden});       // what a block adds
  {
    const kernels::Arena::Scope inner(arena_);
    Tensor pair = arena_.f32({rows, 2 * config_.hidden});
    Tensor half = arena_.f32({rows, config_.hidden});
    const std::int64_t width = config_.hidden * f32_bytes;
    const auto place = [&](std::int64_t offset) {
      for (std::int64_t row = 0; row < rows; ++row)
        std::memcpy(pair.data + row * 2 * width + offset, half.data + row * width, static_cast<std::size_t>(width));
    };
    kernels::embed_rows(stream_, weights_.embedding, next, half);
    kernels::rms_norm(stream_, half, weights_.embedding_norm, config_.norm_eps, half);
    place(0);
    kernels::rms_norm(stream_, hidden, weights_.hidden_norm, config_.norm_eps, half);
    place(width);
    project(pass, pair, weights_.combine, c);
  }
  kernels::rms_norm(stream_, c, weights_.input_norm, config_.norm_eps, normed);
  attention_layer(pass, weights_.attention, 0, normed, y);
  kernels::add(stream_, c, y, c);
  if (weights_.ffn) {
    kernels::rms_norm(stream_, c, weights_.ffn_norm, config_.norm_eps, normed);
    if (const auto* dense = std::get_if<DenseWeights>(&*weights_.ffn))
      dense_layer(pass, *dense, normed, y);
    else
      moe_layer(pass, std::get<MoeWeights>(*weights_.ffn), normed, y);
    kernels::add(stream_, c, y, c);
  }
  kernels::rms_norm(stream_, c, weights_.output_norm, config_.norm_eps, normed);
  sequence_.kv.advance(rows);
  return normed;
}

void MtpLayer::logits(ConstTensor m, RowKind kind, Tensor out) {
  LayerPass pass = pass_of(kind, {});
  project(pass, m, weights_.output, out);
}

void MtpLayer::read(std::span<const TokenId> next, ConstTensor hidden, RowKind kind) {
  for (std::size_t first = 0; first < next.size();) {
    const std::size_t count = std::min(next.size() - first, static_cast<std::size_t>(chunk_));
    ConstTensor rows = hidden;
    rows.data += static_cast<std::int64_t>(first) * hidden.columns() * f32_bytes;
    rows.shape[0] = static_cast<std::int64_t>(count);
    run(next.subspan(first, count), rows, kind);
    first += count;
  }
}

void MtpLayer::read_prompt(std::span<const TokenId> prompt, ConstTensor hidden) {
  const std::span<const TokenId> left = prompt.subspan(static_cast<std::size_t>(length()) + 1);
  const auto count = std::min(left.size(), static_cast<std::size_t>(hidden.dim(0)));
  read(left.first(count), hidden, RowKind::prefill);
}

std::vector<TokenId> MtpLayer::propose(TokenId token, ConstTensor hidden, std::int64_t count) {
  std::vector<TokenId> drafts;
  ConstTensor m = run({&token, 1}, hidden, RowKind::decode);
  const std::int64_t kept = length();
  while (static_cast<std::int64_t>(drafts.size()) < count) {
    if (!drafts.empty()) {
      // run() uses m, which lies at the start of the arena, before it writes there.
      const TokenId last = drafts.back();
      m = run({&last, 1}, m, RowKind::decode);
    }
    logits(m, RowKind::decode, kernels::f32_view(logits_.data(), {1, config_.vocabulary}));
    const auto end = logits_.begin() + static_cast<std::ptrdiff_t>(std::min(usable_tokens_, config_.vocabulary));
    drafts.push_back(static_cast<TokenId>(std::max_element(logits_.begin(), end) - logits_.begin()));
  }
  sequence_.kv.truncate(kept);
  return drafts;
}

}  // namespace lectern::inference

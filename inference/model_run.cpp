#include "inference/model_run.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/error.h"

namespace lectern::inference {

namespace {

constexpr std::int64_t logits_rows = 64;  // 64 rows of 150,000 logits: 38 MB

std::int64_t fitting(const Model& model, std::int64_t window, std::int64_t chunk) {
  if (const auto available = available_memory())
    require_fit(model.path(), plan_memory(model.weights().bytes(), model.config(), window, chunk),
                *available + model.weights().owned_bytes);  // taken already, and in the plan
  return window;
}

std::int64_t pages_of(std::int64_t window) {
  return (window + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens + 1;
}

}  // namespace

ModelRun::ModelRun(const Model& model, std::int64_t window, std::int64_t chunk, int threads)
    : stream_(threads),
      forward_(model.config(), model.weights(), stream_, chunk, fitting(model, window, chunk)),
      pool_(model.config().attention_layers(), kv_shape(model.config()),
            pages_of(window) * model.config().attention_layers() * kv_shape(model.config()).strip_bytes()),
      sequence_(pool_, delta_shape(model.config())) {}

void ModelRun::restart() {
  sequence_.kv.truncate(0);
  sequence_.state.clear();
}

void ModelRun::restart_at(std::int64_t depth) {
  restart();
  sequence_.kv.reserve(depth);
  const kernels::KvShape& shape = pool_.shape();
  const auto values = static_cast<std::size_t>(shape.strip_bytes() / kernels::row_bytes(shape.type, 1));
  std::vector<std::byte*> strips(sequence_.kv.pages().size());
  std::uint32_t state = 1;
  for (std::int64_t layer = 0; layer < pool_.layers(); ++layer) {
    for (std::byte* strip : sequence_.kv.strips(layer, strips)) {
      for (std::size_t i = 0; i < values; ++i) {
        state = state * 1664525U + 1013904223U;
        const float value = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31F;  // -1 to 1
        const auto bits = std::bit_cast<std::uint32_t>(value);
        const auto half = static_cast<std::uint16_t>(bits >> 16);
        if (shape.type == kernels::DType::bf16)
          std::memcpy(strip + 2 * i, &half, sizeof half);
        else
          std::memcpy(strip + 4 * i, &value, sizeof value);
      }
    }
  }
  sequence_.kv.advance(depth);
}

kernels::ConstTensor ModelRun::pass(std::span<const TokenId> tokens) {
  const ForwardPiece piece{&sequence_, tokens, {}, {}, {}};
  return forward_.run({&piece, 1}, RowKind::prefill);
}

void each_row_of_logits(Forward& forward, kernels::ConstTensor hidden,
                        const std::function<void(std::int64_t first, std::int64_t count, const float* logits)>& use) {
  const std::int64_t vocabulary = forward.config().vocabulary, width = hidden.columns();
  std::vector<float> logits(static_cast<std::size_t>(std::min(logits_rows, hidden.dim(0)) * vocabulary));
  const auto* rows = reinterpret_cast<const float*>(hidden.data);
  for (std::int64_t first = 0; first < hidden.dim(0); first += logits_rows) {
    const std::int64_t count = std::min(logits_rows, hidden.dim(0) - first);
    forward.logits(kernels::f32_view(rows + first * width, {count, width}), RowKind::prefill,
                   kernels::f32_view(logits.data(), {count, vocabulary}));
    use(first, count, logits.data());
  }
}

}  // namespace lectern::inference

// What every layer of one forward pass shares. To be read beside model.md, as the layers are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "inference/delta_replay.h"
#include "inference/model_config.h"
#include "inference/sequence.h"
#include "inference/types.h"
#include "kernels/attention_decode.h"
#include "kernels/device.h"
#include "kernels/matmul.h"
#include "kernels/memory.h"
#include "kernels/tensor.h"

namespace lectern::inference {

/// New tokens of one sequence. Offsets count from the first of them.
struct ForwardPiece {
  Sequence* sequence = nullptr;
  std::span<const TokenId> tokens;                 // [T]
  std::span<const std::int64_t> segment_starts;    // in [0, T), ascending: where a segment of the request begins
  std::span<const std::int64_t> snapshot_offsets;  // in [1, T], ascending
  std::span<DeltaSnapshot* const> snapshots;       // filled with the state after that many tokens
  /// Not null: the tokens are tried. The recurrent state stays and this records the rows; keys and values move on.
  /// DeltaReplay::apply and KvSequence::truncate bring both to the last token that is kept. No snapshots then.
  DeltaReplay* replay = nullptr;
};

/// The state of a pass: what the layers need besides their weights. R is the number of rows of all pieces together.
struct LayerPass {
  kernels::Stream& stream;
  kernels::Arena& arena;  // temporaries of a layer, given back when it ends
  const ModelConfig& config;
  RowKind kind;
  kernels::DType kv_type;  // of kept keys and values
  std::span<const ForwardPiece> pieces;
  std::span<const std::int64_t> positions;       // [R]
  std::span<std::byte*> strips;                  // scratch for KvSequence::strips of all pieces
  std::vector<kernels::AttentionSlots>& slots;   // scratch: of each row that is decoded
  std::vector<kernels::Tensor>& snapshot_views;  // scratch, reserved at load
};

/// out = x · wᵀ for each product with the kernels of the pass: matmul for rows of a prompt, matvec for generated ones.
/// x is rounded once for all of them.
void project(LayerPass& pass, kernels::ConstTensor x, std::span<const kernels::Product> products);
void project(LayerPass& pass, kernels::ConstTensor x, kernels::ConstTensor w, kernels::Tensor out);
/// Rows [first, first + count) of the slowest axis.
kernels::Tensor slice(kernels::Tensor tensor, std::int64_t first, std::int64_t count);

}  // namespace lectern::inference

// Tensors that hold several matrices of the forward pass, taken apart: the same layouts in GGUF files and checkpoints.
#pragma once

#include <string>

#include "inference/weight_loader.h"
#include "inference/weights.h"

namespace lectern::inference {

/// Rows of q, k, v and z interleaved per key head (model.md 2.2): fills `qkv` and `z`.
void take_interleaved_qkvz(WeightLoader& loader, const std::string& name, const ModelConfig& config,
                           DeltaWeights& weights);
/// Rows of b and a interleaved per key head: fills `b` and `a`.
void take_interleaved_ba(WeightLoader& loader, const std::string& name, const ModelConfig& config,
                         DeltaWeights& weights);
/// b and a as matrices of their own.
void take_split_ba(WeightLoader& loader, const std::string& b, const std::string& a, const ModelConfig& config,
                   DeltaWeights& weights);
/// [E, 2I, H], of each expert I rows of gate, then I rows of up: fills `gate` and `up`.
void take_fused_gate_up(WeightLoader& loader, const std::string& name, const ModelConfig& config, MoeWeights& weights);

}  // namespace lectern::inference

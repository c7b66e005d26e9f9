// Taking back drafts: what DeltaNet layers need to move a state over some of the tokens that were tried.
#pragma once

#include <cstdint>
#include <vector>

#include "inference/delta_snapshots.h"
#include "inference/model_config.h"
#include "kernels/device.h"
#include "kernels/memory.h"
#include "kernels/tensor.h"

namespace lectern::inference {

/// The rows of one pass in all DeltaNet layers. A pass that records (ForwardPiece::replay) leaves the state of its
/// sequence where it was; apply() then moves it over as many of the rows as are kept, with the same operations in the
/// same order, so to the same bits as a pass over those rows alone.
class DeltaReplay {
 public:
  /// For passes of at most `rows` tokens.
  DeltaReplay(const ModelConfig& config, std::int64_t rows);
  static std::int64_t bytes(const ModelConfig& config, std::int64_t rows);

  std::int64_t rows() const { return rows_; }
  /// Called by a layer. m [T, C]: inputs of the convolution with weights `conv`. Returns a copy of the layer's
  /// convolution rows for this pass to use up.
  kernels::Tensor record_conv(std::int64_t layer, kernels::ConstTensor conv, kernels::ConstTensor m, DeltaState& state);
  /// k [T, Hk, Dk] normed, v [T, Hv, Dv], g, beta [T, Hv]. Returns a copy of the layer's matrices, likewise.
  kernels::Tensor record_delta(std::int64_t layer, kernels::ConstTensor k, kernels::ConstTensor v,
                               kernels::ConstTensor g, kernels::ConstTensor beta, DeltaState& state);
  /// Moves `state` over the first `count` rows of the last pass.
  void apply(kernels::Stream& stream, std::int64_t count, DeltaState& state);

 private:
  struct Layer {
    kernels::ConstTensor conv;
    kernels::Tensor m, k, v, g, beta;  // [rows, ...] f32
  };
  DeltaConfig config_;
  std::int64_t rows_;
  kernels::Arena arena_;
  std::vector<Layer> layers_;
  kernels::Tensor recurrent_, conv_;  // of one layer, used up by a pass
  kernels::Tensor u_, o_;             // results of a replay that nobody reads
};

}  // namespace lectern::inference

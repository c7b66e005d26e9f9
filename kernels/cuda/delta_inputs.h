// From the projections of a Gated DeltaNet layer to the inputs of its delta rule, in one pass, on the device.
#pragma once

#include <span>

#include "kernels/cuda/queue.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// The results of the projections: m [T, C], channels q | k | v with C = 2 Hk Dk + Hv Dv, and a, b [T, Hv]; f32.
struct DeltaProjections {
  ConstTensor m, a, b;
};
/// conv [C, K], K at most 4; decay = -exp(A_log) and dt_bias [Hv]; f32.
struct DeltaInputWeights {
  ConstTensor conv, decay, dt_bias;
};
/// q, k [T, Hk, Dk] and v [T, Hv, Dv], all f32 (for delta_step) or all bf16, rounded to nearest (for delta_rule);
/// g, beta [T, Hv] f32. Dk and Dv are at most 256.
struct DeltaInputs {
  Tensor q, k, v, g, beta;
};
struct DeltaInputScales {
  float eps = 1e-6f;
  float q = 1.0f;  // 1 / sqrt(Dk) in the models
};

/// u = causal_conv1d(m) with its SiLU (causal_conv1d.h), split into heads; q and k divided by sqrt(sum of their head's
/// squares + eps), q multiplied by scales.q; g and beta as in delta_gates.h.
/// state [K-1, C] f32, oldest row first, updated; snapshots as in causal_conv1d.h. Nothing aliases. The bits of a token
/// do not depend on where a pass was cut. No workspace. One launch for up to 32 tokens without snapshots, else two (and
/// one more for every 8 snapshots beyond the first 8). Throws Error{unsupported} before any launch; no tokens: nothing
/// happens.
void delta_inputs(Queue& queue, const DeltaProjections& from, const DeltaInputWeights& weights,
                  const DeltaInputScales& scales, Tensor state, std::span<const std::int64_t> snapshot_offsets,
                  std::span<const Tensor> snapshots, const DeltaInputs& to);

/// The last inputs of a convolution by position, so that rows of rejected drafts need not be taken back: row
/// p mod R is that of position p, and whatever lies at later positions is written over or never read.
struct ConvolutionRing {
  Tensor rows;            // [R, C] f32, R at least 16
  ConstTensor positions;  // I32 [2], device data: {unused here, position of the next pass's first token}
};
inline constexpr std::int64_t ring_rows = 16;        // at least; two passes of the most tokens
inline constexpr std::int64_t ring_pass_tokens = 8;  // at most

/// The same for a pass of up to 8 tokens that starts at positions[1]: reads the K-1 rows in front of it from the ring
/// and writes the rows of the pass there. One launch, for graphs.
void delta_inputs(Queue& queue, const DeltaProjections& from, const DeltaInputWeights& weights,
                  const DeltaInputScales& scales, const ConvolutionRing& ring, const DeltaInputs& to);

/// Between a state [K-1, C] and the rows of a ring in front of positions[1].
void convolution_ring_load(Queue& queue, ConstTensor state, const ConvolutionRing& ring);
void convolution_ring_store(Queue& queue, const ConvolutionRing& ring, Tensor state);

}  // namespace lectern::kernels::cuda

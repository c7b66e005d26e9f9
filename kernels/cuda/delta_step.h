// The gated delta rule (arXiv 2412.06464, equation 10) token by token, on the device: decoding, and the verification of
// drafts without copies of the state. The CPU twin is in kernels/delta_rule.h, the chunked form in delta_rule.h.
#pragma once

#include "kernels/cuda/queue.h"
#include "kernels/delta_rule.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// Per value head h, for t = 0..T-1:  S <- exp(g_t) S;  d_t = beta_t (v_t - Sᵀ k_t);  S <- S + k_t d_tᵀ;  o_t = Sᵀ q_t,
/// with the key head of h by `heads` (kernels/delta_rule.h).
/// q, k [T, Hk, Dk], v [T, Hv, Dv] (all three f32 or all three bf16; q already scaled), g, beta [T, Hv] f32,
/// state [Hv, Dk, Dv] f32, updated; out [T, Hv, Dv] f32. Nothing aliases. Dk is at most 256, T is not limited: the
/// state is read and written once for all tokens of the call. The bits of a token and of the state do not depend on how
/// the tokens were split over calls. One launch, no workspace. Throws Error{unsupported} before it; no tokens: nothing
/// happens.
void delta_step(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                DeltaHeads heads, Tensor state, Tensor out);

/// What passes over drafts did to a state that they left alone, by position: row p mod R belongs to position p. A state
/// stands in front of positions[0] (all earlier tokens are in it); rows positions[0] .. positions[1] - 1, at most 8,
/// are accepted tokens that are not in it yet. Whoever accepts drafts moves both positions on between two passes: the
/// first to where the pass began, the second behind the last accepted token. Rows of rejected tokens need no care.
struct DeltaRing {
  Tensor k;               // [R, Hk, Dk] f32, R at least 16
  Tensor d;               // [R, Hv, Dv] f32, the updates d_t
  Tensor decay;           // [R, Hv] f32, exp(g_t)
  ConstTensor positions;  // I32 [2], device data
};

/// delta_step for a pass of up to 8 tokens at positions[1] and later, any tail of which may be rejected: the state is
/// first brought to positions[1] by the accepted rows of the ring and written back (not at all if there are none), the
/// pass itself goes into `out` and the ring alone. Types and shapes as in delta_step. One launch, for graphs.
/// The state gets the bits that delta_step gives it for the accepted tokens.
void delta_verify(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                  DeltaHeads heads, const DeltaRing& ring, Tensor state, Tensor out);

/// Brings the state to positions[1] by the accepted rows of the ring, for whoever wants to keep it; the caller then
/// sets positions[0] to positions[1]. One launch.
void delta_replay(Queue& queue, const DeltaRing& ring, DeltaHeads heads, Tensor state);

}  // namespace lectern::kernels::cuda

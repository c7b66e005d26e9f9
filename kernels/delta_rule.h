// The gated delta rule (arXiv 2412.06464, equation 10), state in f32.
#pragma once

#include <span>
#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// Which value heads share a key head: consecutive ones (h / r; Qwen3-Next), or every nk-th (h mod nk; GGUF of
/// Qwen3.5).
enum class DeltaHeads { grouped, tiled };
/// Per value head, for t = 0..T-1:  S <- exp(g_t) S;  d = beta_t (v_t - Sᵀ k_t);  S <- S + k_t dᵀ;  o_t = Sᵀ q_t.
/// q, k [T, Hk, Dk]; v, out [T, Hv, Dv]; g, beta [T, Hv]; all f32, q already scaled; state [Hv, Dk, Dv] f32, updated.
/// segment_starts: token offsets in [0, T), ascending, where the chunk grid restarts (the state is carried on; the
/// recurrent form ignores them). After token snapshot_offsets[i] (1..T) the state is copied to snapshots[i].
void delta_rule(Stream& stream, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                DeltaHeads heads, std::span<const std::int64_t> segment_starts, Tensor state,
                std::span<const std::int64_t> snapshot_offsets, std::span<const Tensor> snapshots, Tensor out);

}  // namespace lectern::kernels

// What lies between the projections of an attention layer and the attention: the norms of the heads of q and k, their
// turning, and the storing of k and v, in one step. For decode and prefill.
#pragma once

#include "kernels/cuda/kv_page.h"
#include "kernels/cuda/queue.h"
#include "kernels/cuda/rotary.h"

namespace lectern::kernels::cuda {

/// What is done to the heads of q and k: x / sqrt(mean(x^2) + eps) * w over the D dimensions of a head (a zero-centred
/// weight is stored as 1 + w by whoever loads it), then rotary().
struct HeadTransform {
  ConstTensor q_norm, k_norm;  // [D] f32; without data: no norm
  float eps = 0;
  const RotaryFrequencies* frequencies = nullptr;
  float magnitude = 1;
  RotaryPairs pairs = RotaryPairs::halves;
};

/// q_out = rotary(norm(q)); the pages get rotary(norm(k)) and v, at `slots` as in kv_write.
/// q [T, Hq, D] f32, or [T, Hq, 2D] with a gate behind each head's D dimensions, which is passed over; k, v
/// [T, kv_heads, D] f32; positions [T] i32; q_out [T, Hq, D] f32 or bf16 (may be q if q is [T, Hq, D] and q_out f32).
/// D is a multiple of 4 and at most 512; all aligned to 16. A token that is left out (slot -1) still gets its q_out.
/// T = 0: nothing is done. Errors: Error{unsupported} before anything is launched.
void norm_rotary_write(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor v, const HeadTransform& transform,
                       ConstTensor positions, ConstTensor slots, const KvPages& pages, Tensor q_out);

}  // namespace lectern::kernels::cuda

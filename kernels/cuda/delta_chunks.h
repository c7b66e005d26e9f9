// The part of the chunked delta rule that does not depend on the state: all chunks at once, on the device. A step of
// delta_rule.h.
#pragma once

#include "kernels/cuda/queue.h"
#include "kernels/delta_rule.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

inline constexpr std::int64_t delta_chunk_tokens = 64;
inline constexpr std::int64_t delta_chunk_key_dim = 128;  // the only Dk of the chunked form
/// Blocks of 16 x 16 on and below the diagonal of a 64 x 64 matrix, row by row.
inline constexpr std::int64_t delta_triangle_blocks = 10;

/// Per chunk and value head. A lower triangular matrix of 64 x 64 stands as 10 blocks of 512 bf16: the upper 256 the
/// values rounded to bf16, the lower 256 what is missing, in the order of the tensor cores: value (r, j) of a block at
/// 8 (4 (r % 8) + j % 8 / 2) + 4 (r / 8) + 2 (j / 8) + j % 2.
struct DeltaChunkTiles {
  Tensor inverse;  // [N, Hv, 10, 512] bf16
  Tensor scores;   // [N, Hv, 10, 512] bf16
  Tensor decays;   // [N, Hv, 2, 64] f32
};

/// A chunk's tokens, with 64 - n tokens of zeros (k, q, g, beta) behind the n of a short one; G_r = g_1 + .. + g_r
/// within the chunk, A_ri = beta_r exp(G_r - G_i) k_r·k_i for i < r, else 0 (arXiv 2412.06464, section 3.3):
///   inverse   = (I + A)^-1 diag(beta), so that the updates are D = inverse (V - diag(exp(G)) K S)
///   scores_ri = exp(G_r - G_i) q_r·k_i for i <= r, else 0, so that O = diag(exp(G)) Q S + scores D
///   decays    = exp(G_r), exp(G_64 - G_r)
/// with S the state in front of the chunk. Differences of G are taken of sums kept in two floats: they are as exact as
/// the g, whatever decays lie before them, and no exponential can overflow.
/// q, k [T, Hk, 128] bf16, aligned to 16 bytes; g, beta [T, Hv] f32; chunks I32 [N, 4] on the device: first token,
/// number of tokens (1 to 64), two words that are not looked at. One launch, no workspace. Throws Error{unsupported}
/// before it; no chunks: nothing happens.
void delta_chunks(Queue& queue, ConstTensor q, ConstTensor k, ConstTensor g, ConstTensor beta, DeltaHeads heads,
                  ConstTensor chunks, const DeltaChunkTiles& tiles);

}  // namespace lectern::kernels::cuda

// What the two kernels of the chunked delta rule share: tiles in shared memory and fragments of the tensor cores.
// For kernels. Fragments are named as in the PTX manual: g = lane / 4, t = lane % 4.
#pragma once

#include "kernels/cuda/delta_chunks.h"
#include "kernels/cuda/gpu.h"

namespace lectern::kernels::cuda {

constexpr int chunk_tokens = static_cast<int>(delta_chunk_tokens);
constexpr int chunk_key_dim = static_cast<int>(delta_chunk_key_dim);
constexpr int row_pieces = chunk_key_dim * 2 / 16;  // of 16 bytes, in a row of keys
constexpr int key_tile_bytes = chunk_tokens * chunk_key_dim * 2;
constexpr int block_words = 128;  // of a 16 x 16 block, high or low halves
constexpr int triangle_bytes = static_cast<int>(delta_triangle_blocks) * 2 * block_words * 4;

/// Number of block (row, column) among the blocks on and below the diagonal.
__device__ __forceinline__ int triangle_block(int row, int column) {
  return row * (row + 1) / 2 + column;
}

/// Address of 16 bytes (8 values) of a row in a tile of 64 rows of 128 bf16. The pieces of eight rows that ldmatrix
/// reads at once lie in different banks.
__device__ __forceinline__ unsigned char* key_tile(unsigned char* tile, int row, int piece) {
  return tile + (row * row_pieces + (piece ^ (row & 7))) * 16;
}

/// Puts in the loads of a tile's rows by THREADS threads; rows from `count` on become zeros. `rows` is the first one.
template <int THREADS>
__device__ __forceinline__ void load_key_tile(unsigned char* tile, const gpu::bf16* rows, std::int64_t stride,
                                              int count) {
#pragma unroll
  for (int i = 0; i < chunk_tokens * row_pieces / THREADS; ++i) {
    const int index = static_cast<int>(threadIdx.x) + THREADS * i, row = index / row_pieces, piece = index % row_pieces;
    const bool exists = row < count;
    gpu::cp_async16_zfill(key_tile(tile, row, piece), rows + (exists ? row : 0) * stride + piece * 8, exists ? 16 : 0);
  }
}

// Fragments of 16 x 16 blocks of a tile: tokens from `token` on, dimensions from 8 * `piece` on.

/// As the left factor [token, dimension].
__device__ __forceinline__ void load_left(std::uint32_t (&a)[4], unsigned char* tile, int token, int piece) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  gpu::ldmatrix_x4(a, key_tile(tile, token + lane % 16, piece + lane / 16));
}
/// As the right factor [dimension, token]: b[0], b[1] for the first eight tokens, b[2], b[3] for the others.
__device__ __forceinline__ void load_right_by_dimension(std::uint32_t (&b)[4], unsigned char* tile, int token,
                                                        int piece) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  gpu::ldmatrix_x4(b, key_tile(tile, token + lane / 16 * 8 + lane % 8, piece + lane / 8 % 2));
}
/// As the right factor [token, dimension]: b[0], b[1] for the first eight dimensions, b[2], b[3] for the others.
__device__ __forceinline__ void load_right_by_token(std::uint32_t (&b)[4], unsigned char* tile, int token, int piece) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  gpu::ldmatrix_x4_trans(b, key_tile(tile, token + lane % 16, piece + lane / 16));
}

/// Two values as high + low, each a bf16: together 16 bits of mantissa, so a product of two such pairs without low *
/// low is off by 2^-17.
__device__ __forceinline__ void split(float x, float y, std::uint32_t& high, std::uint32_t& low) {
  high = gpu::pack_bf16(x, y);
  const float2 rounded = gpu::unpack_bf16(high);
  low = gpu::pack_bf16(x - rounded.x, y - rounded.y);
}

/// The accumulators of two neighbouring products [16, 8] are the left factor [16, 16] of the next one.
__device__ __forceinline__ void split_left(const float (&first)[4], const float (&second)[4], std::uint32_t (&high)[4],
                                           std::uint32_t (&low)[4]) {
  split(first[0], first[1], high[0], low[0]);
  split(first[2], first[3], high[1], low[1]);
  split(second[0], second[1], high[2], low[2]);
  split(second[2], second[3], high[3], low[3]);
}

}  // namespace lectern::kernels::cuda

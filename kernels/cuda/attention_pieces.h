// How attention_decode splits a row's slots into pieces: by the slot count alone.
#pragma once

#include "kernels/cuda/gpu.h"

namespace lectern::kernels::cuda {

/// Slots of a piece: 64 up to 8,192 slots (all multiprocessors are wanted), 512 from 32,768 to 262,144 (a piece's
/// result, 8.3 KB for 8 heads of 256, is 1.6 % of its 512 KB of keys and values), then as many as make 512 pieces or
/// fewer. Powers of two, so that pieces of one size nest in those of another.
__host__ __device__ __forceinline__ int piece_slots(int slots) {
  int piece = 64;
  while (piece < 512 && (slots - 1) / 128 >= piece) piece *= 2;
  while ((slots - 1) / 512 >= piece) piece *= 2;
  return piece;
}
/// Most pieces of any row of up to `window` slots.
inline int most_pieces(std::int64_t window) {
  if (window <= 8192) return static_cast<int>((window + 63) / 64);
  const std::int64_t of_512 = (window + 511) / 512;
  return static_cast<int>(of_512 < 128 ? 128 : of_512 > 512 ? 512 : of_512);
}

/// Results of pieces: for each row, query head and piece D values, not yet divided by their weights' sum, and then for
/// each of them its largest score and that sum.
struct PieceResults {
  float* values = nullptr;   // [T * Hq, pieces, D]
  float2* states = nullptr;  // [T * Hq, pieces]
  int pieces = 0;
};

}  // namespace lectern::kernels::cuda

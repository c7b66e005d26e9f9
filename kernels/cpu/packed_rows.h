// Quantized weights regrouped for the CPU: 16 rows are a pack, in which words that stand at the same place of their
// rows' blocks follow each other. A vector of the products is then one load: what a lane needs of a row comes with what
// the other lanes need of theirs. The same bytes in another order: a packed matrix is as large as before.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cpu {

inline constexpr std::int64_t pack_rows = 16;

// A pack of N blocks a row is N times: the 16 halves `d`, if the size of a block is not a multiple of 4 (Q4_0, Q8_0,
// Q6_K), then for each word of the rest of the block that word of the 16 rows, in the order in which they are first
// used. Read in order, a pack is a stream that the processor foresees; where bits of Q5_K and Q6_K stood apart from the
// nibbles that they belong to, memory gave a third as much.

/// The number of the word that stands at byte `place` of a block of `size` bytes.
constexpr std::int64_t word_in_pack(std::int64_t place, std::int64_t size) {
  constexpr std::int64_t q5_k_size = 176, q5_k_high = 16, q5_k_q = 48;
  constexpr std::int64_t q6_k_size = 210, q6_k_high = 128, q6_k_scales = 192;
  if (size == q5_k_size) {  // scales; high bits and the first nibbles in turn; the other nibbles
    if (place < q5_k_high) return place / 4;
    if (place < q5_k_q) return 4 + (place - q5_k_high) / 4 * 2;
    return place < q5_k_q + 32 ? 5 + (place - q5_k_q) / 4 * 2 : place / 4;
  }
  if (size == q6_k_size) {  // scales; for each half: high bits and the first nibbles in turn, the other nibbles
    if (place >= q6_k_scales) return (place - q6_k_scales) / 4;
    if (place >= q6_k_high) return 4 + (place - q6_k_high) / 32 * 24 + (place - q6_k_high) % 32 / 4 * 2;
    const std::int64_t half = 4 + place / 64 * 24, word = place % 64 / 4;
    return word < 8 ? half + 2 * word + 1 : half + 8 + word;
  }
  return size % 4 == 0 ? place / 4 : (place - 2) / 4;
}

/// True for quantized matrices [.., N, K] with N a multiple of 16 that are not packed.
bool can_pack(const ConstTensor& w);
/// The packed form of w, in size_bytes() bytes at `to` (no overlap).
ConstTensor pack(Stream& stream, const ConstTensor& w, std::byte* to);
/// Row `row` of a packed matrix as it was before: row_bytes(type, K) bytes.
void unpack_row(const ConstTensor& packed, std::int64_t row, std::byte* out);

}  // namespace lectern::kernels::cpu

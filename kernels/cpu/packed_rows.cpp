#include "kernels/cpu/packed_rows.h"

#include <cassert>
#include <cstring>
#include <type_traits>
#include <vector>

#include "kernels/quant_blocks.h"

namespace lectern::kernels::cpu {

namespace {

static_assert(sizeof(BlockQ5_K) == 176 && offsetof(BlockQ5_K, high) == 16 && offsetof(BlockQ5_K, q) == 48);
static_assert(sizeof(BlockQ6_K) == 210 && offsetof(BlockQ6_K, high) == 128 && offsetof(BlockQ6_K, scales) == 192);

/// The parts of one block: a half, if its size is no whole number of words, and the words, in the order of a pack.
struct BlockParts {
  std::int64_t bytes = 0, half = -1;  // of the block; where the half stands, if there is one
  std::vector<std::int64_t> words;    // where they stand

  explicit BlockParts(DType type) : bytes(block_bytes(type)) {
    if (bytes % 4 != 0) half = type == DType::q6_k ? static_cast<std::int64_t>(offsetof(BlockQ6_K, d)) : 0;
    words.resize(static_cast<std::size_t>(bytes / 4));
    for (std::int64_t place = half == 0 ? 2 : 0; place + 4 <= bytes; place += 4)
      words[static_cast<std::size_t>(word_in_pack(place, bytes))] = place;
  }
  std::int64_t words_begin() const { return half < 0 ? 0 : pack_rows * 2; }
};

}  // namespace

bool can_pack(const ConstTensor& w) {
  return is_quantized(w.type) && !w.packed && w.rank >= 2 && w.dim(w.rank - 2) % pack_rows == 0;
}

ConstTensor pack(Stream& stream, const ConstTensor& w, std::byte* to) {
  assert(can_pack(w));
  const BlockParts parts(w.type);
  const std::int64_t blocks = w.columns() / block_values(w.type), row_size = blocks * parts.bytes;
  stream.pool().parallel_for(w.rows() / pack_rows, 1, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t index = first; index < last; ++index) {
      const std::byte* from = w.data + index * pack_rows * row_size;
      std::byte* out = to + index * pack_rows * row_size;
      for (std::int64_t block = 0; block < blocks; ++block, from += parts.bytes) {
        const auto put = [&](std::int64_t place, auto size) {
          for (std::int64_t row = 0; row < pack_rows; ++row, out += size)
            std::memcpy(out, from + row * row_size + place, size);
        };
        if (parts.half >= 0) put(parts.half, std::integral_constant<std::size_t, 2>());
        for (const std::int64_t place : parts.words) put(place, std::integral_constant<std::size_t, 4>());
      }
    }
  });
  ConstTensor result = w;
  result.data = to;
  result.packed = true;
  return result;
}

void unpack_row(const ConstTensor& packed, std::int64_t row, std::byte* out) {
  const BlockParts parts(packed.type);
  const std::int64_t blocks = packed.columns() / block_values(packed.type), lane = row % pack_rows;
  const std::byte* from = packed.data + (row - lane) * blocks * parts.bytes;
  for (std::int64_t block = 0; block < blocks; ++block, from += pack_rows * parts.bytes, out += parts.bytes) {
    if (parts.half >= 0) std::memcpy(out + parts.half, from + lane * 2, 2);
    const std::byte* words = from + parts.words_begin() + lane * 4;
    for (const std::int64_t place : parts.words) {
      std::memcpy(out + place, words, 4);
      words += pack_rows * 4;
    }
  }
}

}  // namespace lectern::kernels::cpu

#include "kernels/cpu/packed_rows.h"

#include <cassert>
#include <cstring>

#include "kernels/quant_blocks.h"

namespace lectern::kernels::cpu {

namespace {

static_assert(sizeof(BlockQ5_K) == 176 && offsetof(BlockQ5_K, high) == 16 && offsetof(BlockQ5_K, q) == 48);
static_assert(sizeof(BlockQ6_K) == 210 && offsetof(BlockQ6_K, high) == 128 && offsetof(BlockQ6_K, scales) == 192);

/// Where the half that is no part of a word stands in a block; beyond its end if there is none.
std::int64_t half_place(DType type) {
  const std::int64_t bytes = block_bytes(type);
  if (bytes % 4 == 0) return bytes;
  return type == DType::q6_k ? static_cast<std::int64_t>(offsetof(BlockQ6_K, d)) : 0;
}

/// body(place in the block, place in the pack, bytes) of each piece of one block of row `row` of a pack.
template <class Body>
void for_each_piece(DType type, std::int64_t row, Body body) {
  const std::int64_t bytes = block_bytes(type), half = half_place(type);
  std::int64_t words_begin = 0;
  if (half < bytes) {
    body(half, row * 2, 2);
    words_begin = pack_rows * 2;
  }
  for (std::int64_t place = half == 0 ? 2 : 0; place + 4 <= bytes; place += 4)
    body(place, words_begin + (word_in_pack(place, bytes) * pack_rows + row) * 4, 4);
}

}  // namespace

bool can_pack(const ConstTensor& w) {
  return is_quantized(w.type) && !w.packed && w.rank >= 2 && w.dim(w.rank - 2) % pack_rows == 0;
}

ConstTensor pack(Stream& stream, const ConstTensor& w, std::byte* to) {
  assert(can_pack(w));
  const std::int64_t bytes = block_bytes(w.type), blocks = w.columns() / block_values(w.type);
  const std::int64_t packs = w.rows() / pack_rows, pack_bytes = blocks * bytes * pack_rows;
  stream.pool().parallel_for(packs, 1, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t index = first; index < last; ++index) {
      const std::byte* from = w.data + index * pack_bytes;
      std::byte* packed = to + index * pack_bytes;
      for (std::int64_t block = 0; block < blocks; ++block, packed += pack_rows * bytes)
        for (std::int64_t row = 0; row < pack_rows; ++row) {
          const std::byte* source = from + (row * blocks + block) * bytes;
          for_each_piece(w.type, row, [&](std::int64_t place, std::int64_t in_pack, std::int64_t size) {
            std::memcpy(packed + in_pack, source + place, static_cast<std::size_t>(size));
          });
        }
    }
  });
  ConstTensor result = w;
  result.data = to;
  result.packed = true;
  return result;
}

void unpack_row(const ConstTensor& packed, std::int64_t row, std::byte* out) {
  const std::int64_t bytes = block_bytes(packed.type), blocks = packed.columns() / block_values(packed.type);
  const std::byte* from = packed.data + row / pack_rows * pack_rows * blocks * bytes;
  for (std::int64_t block = 0; block < blocks; ++block, from += pack_rows * bytes, out += bytes)
    for_each_piece(packed.type, row % pack_rows, [&](std::int64_t place, std::int64_t in_pack, std::int64_t size) {
      std::memcpy(out + place, from + in_pack, static_cast<std::size_t>(size));
    });
}

}  // namespace lectern::kernels::cpu

// From the blocks of `lanes` weight rows at a time to one form for all quantized types, a lane a row: w = scale * (byte
// - zero_point) + offset per group of 32 values (Q6_K: 16), bytes unsigned (Q8_0: signed) and in order. Types without a
// minimum have a zero point and no offset; types with one have an offset and zero point 0.
#pragma once

#include "kernels/cpu/inner_loops.h"
#include "kernels/cpu/packed_rows.h"
#include "kernels/cpu/simd.h"
#include "kernels/quant_blocks.h"

namespace lectern::kernels::cpu {
namespace {

/// Calls body<0>(), body<1>() ... body<count - 1>().
template <int count, class Body>
inline LECTERN_INLINE void for_groups(Body body) {
  if constexpr (count > 0) {
    for_groups<count - 1>(body);
    body.template operator()<count - 1>();
  }
}

// ---- where blocks are ----
//
// Two forms of weight rows, one interface: eight(block, place, out) loads 32 bytes, four(...) 16, from byte `place` of
// block number `block` of each row, out[w] their words w; halves(...) a half. `vector` counts runs of `lanes` rows.

/// As in a file: row after row, transposed here. Rows past the last repeat it; nobody reads what becomes of them.
template <class Block>
struct MappedRows {
  static constexpr int vectors = 1;
  const std::byte* rows[lanes];

  MappedRows(const WeightRows& w, int64_t first, int64_t column) {
    for (int64_t lane = 0; lane < lanes; ++lane)
      rows[lane] = w.data + smaller(first + lane, w.rows - 1) * w.row_bytes +
                   column / Block::values * static_cast<int64_t>(sizeof(Block));
  }
  void advance(int64_t columns) {
    for (const std::byte*& row : rows) row += columns / Block::values * static_cast<int64_t>(sizeof(Block));
  }
  const uint8_t* at(int i, int64_t block, int64_t place) const {
    return reinterpret_cast<const uint8_t*>(rows[i]) + block * static_cast<int64_t>(sizeof(Block)) + place;
  }
  LECTERN_INLINE void eight(int, int64_t block, int64_t place, I32 (&out)[8]) const {
    U8x32 bytes_of_rows[lanes];
    for (int i = 0; i < lanes; ++i) bytes_of_rows[i] = load_bytes(at(i, block, place));
    transpose_eight(bytes_of_rows, out);
  }
  LECTERN_INLINE void four(int, int64_t block, int64_t place, I32 (&out)[4]) const {
    const uint8_t* places[lanes];
    for (int i = 0; i < lanes; ++i) places[i] = at(i, block, place);
    transpose_four(places, out);
  }
  LECTERN_INLINE I32 word(int, int64_t block, int64_t place) const {
    const uint8_t* places[lanes];
    for (int i = 0; i < lanes; ++i) places[i] = at(i, block, place);
    return gather_words(places);
  }
  LECTERN_INLINE F32 halves(int, int64_t block, int64_t place) const {
    const uint8_t* places[lanes];
    for (int i = 0; i < lanes; ++i) places[i] = at(i, block, place);
    return gather_halves(places);
  }
};

/// Packs (packed_rows.h).
template <class Block>
struct PackedRows {
  static constexpr int vectors = lanes == 8 ? 2 : 1;  // what the registers hold
  static constexpr int64_t rows_of_pack = pack_rows, block_bytes = static_cast<int64_t>(sizeof(Block)) * rows_of_pack;
  static constexpr bool has_half = sizeof(Block) % 4 != 0;
  const std::byte* pack;
  int64_t lane;

  /// Past the last pack it is that one again; nobody reads what becomes of it.
  PackedRows(const WeightRows& w, int64_t first, int64_t column)
      : pack(w.data + smaller(first, w.rows - 1) / rows_of_pack * rows_of_pack * w.row_bytes +
             column / Block::values * block_bytes),
        lane(first % rows_of_pack) {}
  void advance(int64_t columns) { pack += columns / Block::values * block_bytes; }
  LECTERN_INLINE I32 word(int vector, int64_t block, int64_t place) const {
    return iload(pack + block * block_bytes + (has_half ? rows_of_pack * 2 : 0) +
                 (word_in_pack(place, sizeof(Block)) * rows_of_pack + lane + vector * lanes) * 4);
  }
  LECTERN_INLINE void eight(int vector, int64_t block, int64_t place, I32 (&out)[8]) const {
    for (int w = 0; w < 8; ++w) out[w] = word(vector, block, place + 4 * w);
  }
  LECTERN_INLINE void four(int vector, int64_t block, int64_t place, I32 (&out)[4]) const {
    for (int w = 0; w < 4; ++w) out[w] = word(vector, block, place + 4 * w);
  }
  LECTERN_INLINE F32 halves(int vector, int64_t block, int64_t) const {
    return load_half(reinterpret_cast<const uint16_t*>(pack + block * block_bytes) + lane + vector * lanes);
  }
};

// ---- scales ----
//
// take_scales(rows, vector, pieces, take): take(g, scale, offset) for each group g of 256 values (`pieces` of 32 of
// small blocks), a lane a row.

/// Of block g.
template <template <class> class Rows>
inline LECTERN_INLINE void block_scales(const Rows<BlockQ4_0>& rows, int vector, int64_t g, F32& scale, F32& offset) {
  scale = rows.halves(vector, g, 0);
  offset = zero();
}
template <template <class> class Rows>
inline LECTERN_INLINE void block_scales(const Rows<BlockQ8_0>& rows, int vector, int64_t g, F32& scale, F32& offset) {
  scale = rows.halves(vector, g, 0);
  offset = zero();
}
template <template <class> class Rows>
inline LECTERN_INLINE void block_scales(const Rows<BlockQ4_1>& rows, int vector, int64_t g, F32& scale, F32& offset) {
  const I32 both = rows.word(vector, g, 0);
  scale = low_halves(both);
  offset = low_halves(shift_i32_right<16>(both));
}
template <class Rows, class Take>
inline LECTERN_INLINE void take_scales(const Rows& rows, int vector, int64_t pieces, Take take) {
  for (int64_t g = 0; g < pieces; ++g) {
    F32 scale, offset;
    block_scales(rows, vector, g, scale, offset);
    take(g, scale, offset);
  }
}

/// Q4_K and Q5_K begin with d, dmin and 12 bytes that hold 16 six-bit numbers: the first four scales and minima stand
/// in the low six bits of bytes 0..3 and 4..7; of the others, bytes 8..11 hold the low four bits (scales low, minima
/// high) and the top two bits of bytes 0..3 and 4..7 the rest. w = d * scale_g * q - dmin * min_g.
template <class Rows, class Take>
inline LECTERN_INLINE void take_k_scales(const Rows& rows, int vector, Take take) {
  I32 words[4];
  rows.four(vector, 0, 0, words);
  const F32 d = low_halves(words[0]), dmin = zero() - low_halves(shift_i32_right<16>(words[0]));
  const I32 six = iset1(0x3f3f3f3f), four = iset1(0x0f0f0f0f), top = iset1(0x30303030), byte = iset1(0xff);
  const I32 scales[2] = {bits_of(words[1], six),
                         bits_of_either(bits_of(words[3], four), bits_of(shift_bytes_right<2>(words[1]), top))};
  const I32 minima[2] = {bits_of(words[2], six), bits_of_either(bits_of(shift_bytes_right<4>(words[3]), four),
                                                                bits_of(shift_bytes_right<2>(words[2]), top))};
  for_groups<8>([&]<int g>() LECTERN_INLINE {
    constexpr int shift = 8 * (g % 4);
    take(g, d * to_f32(bits_of(shift_i32_right<shift>(scales[g / 4]), byte)),
         dmin * to_f32(bits_of(shift_i32_right<shift>(minima[g / 4]), byte)));
  });
}
template <template <class> class Rows, class Take>
inline LECTERN_INLINE void take_scales(const Rows<BlockQ4_K>& rows, int vector, int64_t, Take take) {
  take_k_scales(rows, vector, take);
}
template <template <class> class Rows, class Take>
inline LECTERN_INLINE void take_scales(const Rows<BlockQ5_K>& rows, int vector, int64_t, Take take) {
  take_k_scales(rows, vector, take);
}
template <template <class> class Rows, class Take>
inline LECTERN_INLINE void take_scales(const Rows<BlockQ6_K>& rows, int vector, int64_t, Take take) {
  const F32 d = rows.halves(vector, 0, __builtin_offsetof(BlockQ6_K, d));
  I32 words[4];
  rows.four(vector, 0, __builtin_offsetof(BlockQ6_K, scales), words);
  for_groups<16>([&]<int g>() LECTERN_INLINE { take(g, d * to_f32(signed_byte<g % 4>(words[g / 4])), zero()); });
}

// ---- values ----
//
// take_values(rows, pieces, take): take(piece, four) for each 32 values of 256; four<w>(v) is a vector of values 4w to
// 4w + 3 of the rows of vector v < Rows::vectors. Bytes are taken apart after they were transposed, which moves half
// the data that unpacked ones would.

inline I32 low_nibbles(I32 x) {
  return bits_of(x, iset1(0x0f0f0f0f));
}
inline I32 high_nibbles(I32 x) {
  return bits_of(shift_bytes_right<4>(x), iset1(0x0f0f0f0f));
}

/// Q4_0 and Q4_1: two blocks at a time; values 0..15 are the low nibbles of a block's 16 bytes.
template <class Block, class Take>
inline LECTERN_INLINE void take_nibbles(const MappedRows<Block>& rows, int64_t pieces, Take take) {
  constexpr int64_t q = __builtin_offsetof(Block, q);
  for (int64_t piece = 0; piece < pieces; piece += 2) {
    const int64_t second = piece + 1 < pieces ? piece + 1 : piece;
    U8x32 two[lanes];
    for (int i = 0; i < lanes; ++i) two[i] = join_16(rows.at(i, piece, q), rows.at(i, second, q));
    I32 words[8];
    transpose_eight(two, words);
    take(piece, [&]<int w>(int) LECTERN_INLINE { return w < 4 ? low_nibbles(words[w]) : high_nibbles(words[w - 4]); });
    if (second > piece)
      take(second,
           [&]<int w>(int) LECTERN_INLINE { return w < 4 ? low_nibbles(words[w + 4]) : high_nibbles(words[w]); });
  }
}
template <class Block, class Take>
inline LECTERN_INLINE void take_nibbles(const PackedRows<Block>& rows, int64_t pieces, Take take) {
  for (int64_t piece = 0; piece < pieces; ++piece)
    take(piece, [&]<int w>(int v) LECTERN_INLINE {
      const I32 word = rows.word(v, piece, static_cast<int64_t>(__builtin_offsetof(Block, q)) + w % 4 * 4);
      return w < 4 ? low_nibbles(word) : high_nibbles(word);
    });
}
template <template <class> class Rows, class Take>
inline LECTERN_INLINE void take_values(const Rows<BlockQ4_0>& rows, int64_t pieces, Take take) {
  take_nibbles(rows, pieces, take);
}
template <template <class> class Rows, class Take>
inline LECTERN_INLINE void take_values(const Rows<BlockQ4_1>& rows, int64_t pieces, Take take) {
  take_nibbles(rows, pieces, take);
}

/// The eight words from byte `place` of a block on: transposed once, or read where they stand when they are asked for.
template <class Rows>
struct Words;
template <class Block>
struct Words<MappedRows<Block>> {
  I32 words[8];
  LECTERN_INLINE Words(const MappedRows<Block>& rows, int64_t block, int64_t place) {
    rows.eight(0, block, place, words);
  }
  template <int w>
  LECTERN_INLINE I32 of(int) const {
    return words[w];
  }
};
template <class Block>
struct Words<PackedRows<Block>> {
  const PackedRows<Block>& rows;
  int64_t block, place;
  LECTERN_INLINE Words(const PackedRows<Block>& from, int64_t number, int64_t first)
      : rows(from), block(number), place(first) {}
  template <int w>
  LECTERN_INLINE I32 of(int v) const {
    return rows.word(v, block, place + 4 * w);
  }
};

/// Signed, as they are.
template <template <class> class Rows, class Take>
inline LECTERN_INLINE void take_values(const Rows<BlockQ8_0>& rows, int64_t pieces, Take take) {
  for (int64_t piece = 0; piece < pieces; ++piece) {
    const Words<Rows<BlockQ8_0>> words(rows, piece, __builtin_offsetof(BlockQ8_0, q));
    take(piece, [&]<int w>(int v) LECTERN_INLINE { return words.template of<w>(v); });
  }
}

template <template <class> class Rows, class Take>
inline LECTERN_INLINE void take_values(const Rows<BlockQ4_K>& rows, int64_t, Take take) {
  for_groups<4>([&]<int pair>() LECTERN_INLINE {
    const Words<Rows<BlockQ4_K>> words(rows, 0, __builtin_offsetof(BlockQ4_K, q) + 32 * pair);
    take(2 * pair, [&]<int w>(int v) LECTERN_INLINE { return low_nibbles(words.template of<w>(v)); });
    take(2 * pair + 1, [&]<int w>(int v) LECTERN_INLINE { return high_nibbles(words.template of<w>(v)); });
  });
}

template <template <class> class Rows, class Take>
inline LECTERN_INLINE void take_values(const Rows<BlockQ5_K>& rows, int64_t, Take take) {
  const I32 fifth = iset1(0x10101010);
  const Words<Rows<BlockQ5_K>> high(rows, 0, __builtin_offsetof(BlockQ5_K, high));  // bit g belongs to group g
  for_groups<4>([&]<int pair>() LECTERN_INLINE {
    const Words<Rows<BlockQ5_K>> words(rows, 0, __builtin_offsetof(BlockQ5_K, q) + 32 * pair);
    take(2 * pair, [&]<int w>(int v) LECTERN_INLINE {
      const I32 bits = high.template of<w>(v);
      constexpr int left = pair < 3 ? 4 - 2 * pair : 0, right = pair == 3 ? 2 : 0;  // bit 2 * pair to place 4
      const I32 placed = pair < 3 ? shift_bytes_left<left>(bits) : shift_bytes_right<right>(bits);
      return bits_of_either(low_nibbles(words.template of<w>(v)), bits_of(placed, fifth));
    });
    take(2 * pair + 1, [&]<int w>(int v) LECTERN_INLINE {
      const I32 bits = high.template of<w>(v);
      constexpr int left = pair < 2 ? 3 - 2 * pair : 0, right = pair < 2 ? 0 : 2 * pair - 3;  // bit 2 * pair + 1
      const I32 placed = pair < 2 ? shift_bytes_left<left>(bits) : shift_bytes_right<right>(bits);
      return bits_of_either(high_nibbles(words.template of<w>(v)), bits_of(placed, fifth));
    });
  });
}

template <template <class> class Rows, class Take>
inline LECTERN_INLINE void take_values(const Rows<BlockQ6_K>& rows, int64_t, Take take) {
  constexpr int64_t low = __builtin_offsetof(BlockQ6_K, low), bits = __builtin_offsetof(BlockQ6_K, high);
  const I32 top = iset1(0x30303030);
  for_groups<2>([&]<int half>() LECTERN_INLINE {
    const Words<Rows<BlockQ6_K>> high(rows, 0, bits + 32 * half);
    {
      const Words<Rows<BlockQ6_K>> words(rows, 0, low + 64 * half);
      take(4 * half, [&]<int w>(int v) LECTERN_INLINE {
        return bits_of_either(low_nibbles(words.template of<w>(v)),
                              bits_of(shift_bytes_left<4>(high.template of<w>(v)), top));
      });
      take(4 * half + 2, [&]<int w>(int v) LECTERN_INLINE {
        return bits_of_either(high_nibbles(words.template of<w>(v)), bits_of(high.template of<w>(v), top));
      });
    }
    const Words<Rows<BlockQ6_K>> words(rows, 0, low + 64 * half + 32);
    take(4 * half + 1, [&]<int w>(int v) LECTERN_INLINE {
      return bits_of_either(low_nibbles(words.template of<w>(v)),
                            bits_of(shift_bytes_left<2>(high.template of<w>(v)), top));
    });
    take(4 * half + 3, [&]<int w>(int v) LECTERN_INLINE {
      return bits_of_either(high_nibbles(words.template of<w>(v)),
                            bits_of(shift_bytes_right<2>(high.template of<w>(v)), top));
    });
  });
}

// ---- weights of 16 or 32 bits ----

/// Values [column, column + n) of a row of 16 or 32 bits as f32. Reads whole rows only; writes n values.
inline void copy_floats(const WeightRows& w, int64_t row, int64_t column, int64_t n, float* out) {
  const std::byte* data = w.data + row * w.row_bytes;
  if (w.type == DType::f32) {
    __builtin_memcpy(out, reinterpret_cast<const float*>(data) + column, static_cast<size_t>(n) * 4);
    return;
  }
  const uint16_t* from = reinterpret_cast<const uint16_t*>(data) + column;
  int64_t i = 0;
  if (w.type == DType::bf16) {
    for (; i + lanes <= n; i += lanes) store(out + i, load_bf16(from + i));
    for (; i < n; ++i) out[i] = bf16_to_f32(from[i]);
  } else {
    for (; i + lanes <= n; i += lanes) store(out + i, load_half(from + i));
    for (; i < n; ++i) out[i] = half_to_f32(from[i]);
  }
}

/// The row itself if it is f32, else a converted copy in `copy`.
inline const float* float_values(const WeightRows& w, int64_t row, int64_t column, int64_t n, float* copy) {
  if (w.type == DType::f32) return reinterpret_cast<const float*>(w.data + row * w.row_bytes) + column;
  copy_floats(w, row, column, n, copy);
  return copy;
}

}  // namespace
}  // namespace lectern::kernels::cpu

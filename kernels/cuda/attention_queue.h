// How attention_decode's blocks walk over their pieces, and the queue through which each lane gets its keys and values.
//
// A warp multiplies 16 slots by all columns, and 64 dimensions of all slots of a tile by their weights: each key and
// value is an operand of one lane alone. The order of dimensions within a product, and that of output rows, is free, so
// a lane takes runs of 8 neighbouring dimensions (16 bytes of bf16, 8 of int8): 64 or 128 bytes of a row by 4 or 8
// lanes. It copies them to places that it alone reads, side by side with those of the other lanes.
#pragma once

#include "kernels/cuda/attention_pieces.h"
#include "kernels/cuda/kv_device.h"

namespace lectern::kernels::cuda {

/// The eight values that a lane copies and reads at once.
template <class Value>
struct QueueUnit;
template <>
struct QueueUnit<Kv16> {
  using type = uint4;
};
template <>
struct QueueUnit<Kv8> {
  using type = uint2;
};

template <int D, int NT, class Value>
struct DecodeSizes {
  static constexpr bool is_wide = sizeof(Value) == 2;
  static constexpr int warps = D / 64;
  static constexpr int threads = 32 * warps;
  static constexpr int tile = 16 * warps;  // slots
  static constexpr int columns = 8 * NT;
  static constexpr int parts = D == 64 ? 1 : 2;  // of a tile's keys, and of its values: what is copied as one
  static constexpr int units = D / 16 / parts;   // of a lane and part
  static constexpr int unit_bytes = 8 * static_cast<int>(sizeof(Value));
  static constexpr int slot_bytes = threads * (units * unit_bytes + (is_wide ? 0 : 16));  // int8: and four scales
  static constexpr int wide_slots = D < 256 ? 8 : NT <= 2 ? 5 : NT == 4 ? 4 : 3;
  static constexpr int slots = is_wide ? wide_slots : wide_slots * 8 / 5;  // of the queue
  static constexpr int weight_stride = tile + 8;                           // bf16 of a column; 8: no bank conflicts
  static constexpr int queries_at = slots * slot_bytes;
  static constexpr int weights_at = queries_at + columns * D * 2;
  // f32 of all columns: maxima and sums of each warp, factors, maxima so far (two: the old ones and the new);
  // DecodeColumn.
  static constexpr int warp_values_at = weights_at + columns * weight_stride * 2;
  static constexpr int columns_at = warp_values_at + (2 * warps + 3) * columns * 4;
  static constexpr int shared_bytes = columns_at + columns * 16 + 8;
  static_assert(shared_bytes <= 99 << 10);
};

/// What a column of a block stands for: in shared memory, where it costs no registers.
struct alignas(16) DecodeColumn {
  int slots;        // 0 if it is not there or not in use
  int piece_shift;  // log2 of the slots of its pieces
  int head_row;     // of [T * Hq]
};

/// Where a block is on its way: it takes every gridDim.x-th piece.
struct PieceWalk {
  int piece_slots, all_slots;
  int piece, tile;  // number of the piece, first slot of the tile

  __device__ PieceWalk(int slots_of_piece, int slots)
      : piece_slots(slots_of_piece),
        all_slots(slots),
        piece(static_cast<int>(blockIdx.x)),
        tile(static_cast<int>(blockIdx.x) * slots_of_piece) {}
  __device__ __forceinline__ bool is_done() const { return tile >= all_slots; }
  __device__ __forceinline__ int piece_end() const { return min((piece + 1) * piece_slots, all_slots); }
  __device__ __forceinline__ void next(int tile_slots) {
    tile += tile_slots;
    if (tile < piece_end()) return;
    piece += static_cast<int>(gridDim.x);
    tile = piece <= (all_slots - 1) / piece_slots ? piece * piece_slots : all_slots;
  }
};

/// The queue of keys and values of one lane: units that it copies and reads itself.
template <int D, int NT, class Value>
class LaneQueue {
  using S = DecodeSizes<D, NT, Value>;
  using U = typename QueueUnit<Value>::type;

 public:
  __device__ LaneQueue(unsigned char* shared, const KvView& view, int sequence, int kv_head, PieceWalk walk)
      : own_(shared + threadIdx.x * S::unit_bytes), view_(view), walk_(walk), sequence_(sequence), kv_head_(kv_head) {
#pragma unroll 1
    for (int i = 0; i < S::slots - 1; ++i) begin_next(i);
  }

  /// Waits for the next part and starts one more copy.
  __device__ __forceinline__ void turn() {
    begin_next(slot_);  // into what was read last
    slot_ = slot_ + 1 == S::slots ? 0 : slot_ + 1;
    gpu::cp_async_wait<S::slots - 1>();
  }
  __device__ __forceinline__ U unit(int i) const {
    return *reinterpret_cast<const U*>(own_ + slot_ * S::slot_bytes + i * S::threads * S::unit_bytes);
  }
  /// Scales of the lane's two slots: keys, values (int8; with the last part of keys).
  __device__ __forceinline__ float4 scales() const {
    return *scales_of(slot_);
  }

 private:
  __device__ __forceinline__ float4* scales_of(int slot) const {
    unsigned char* start = own_ - threadIdx.x * S::unit_bytes + slot * S::slot_bytes;
    return reinterpret_cast<float4*>(start + S::threads * S::units * S::unit_bytes) + threadIdx.x;
  }
  __device__ __forceinline__ void copy(int slot, int i, int part, int slot_in_tile, int first_dim) {
    unsigned char* to = own_ + slot * S::slot_bytes + i * S::threads * S::unit_bytes;
    if (number_ >= 0 && walk_.tile + slot_in_tile < walk_.all_slots) {
      const std::int64_t row = view_.row(part, kv_head_, walk_.tile % static_cast<int>(kv_page_tokens) + slot_in_tile);
      const std::byte* from = view_.strip_of(number_) + (row * D + first_dim) * static_cast<int>(sizeof(Value));
      if constexpr (S::is_wide)
        gpu::cp_async16(to, from);
      else
        gpu::cp_async8(to, from);
    } else {
      *reinterpret_cast<U*>(to) = U{};
    }
  }
  __device__ __forceinline__ void copy_scale(float* to, int part, int slot_in_tile) {
    if (number_ >= 0 && walk_.tile + slot_in_tile < walk_.all_slots)
      gpu::cp_async4(
          to, view_.scale(view_.strip_of(number_),
                          view_.row(part, kv_head_, walk_.tile % static_cast<int>(kv_page_tokens) + slot_in_tile)));
    else
      *to = 0.0f;
  }
  __device__ __forceinline__ void begin_next(int slot) {
    if (!walk_.is_done()) {
      const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
      const int g = lane / 4, t = lane % 4;
      const int page = walk_.tile / static_cast<int>(kv_page_tokens);
      if (page != page_) number_ = view_.number(sequence_, page_ = page);
      if (part_ < S::parts) {  // keys: the warp's 16 slots
#pragma unroll
        for (int i = 0; i < S::units; ++i)
          copy(slot, i, 0, 16 * warp + g + i % 2 * 8, (part_ * (S::units / 2) + i / 2) * 32 + 8 * t);
        if constexpr (!S::is_wide) {
          if (part_ == S::parts - 1) {
            float* scales = reinterpret_cast<float*>(scales_of(slot));
#pragma unroll
            for (int i = 0; i < 4; ++i) copy_scale(scales + i, i / 2, 16 * warp + g + i % 2 * 8);
          }
        }
      } else {  // values: the warp's 64 dimensions
#pragma unroll
        for (int i = 0; i < S::units; ++i)
          copy(slot, i, 1, ((part_ - S::parts) * (S::units / 4) + i / 4) * 16 + 2 * t + i % 2 + i % 4 / 2 * 8,
               64 * warp + 8 * g);
      }
      if (++part_ == 2 * S::parts) {
        part_ = 0;
        walk_.next(S::tile);
      }
    }
    gpu::cp_async_commit();
  }

  unsigned char* own_;
  const KvView& view_;
  PieceWalk walk_;
  int sequence_, kv_head_;
  int page_ = -1, number_ = -1;  // of the sequence, of the pool
  int part_ = 0, slot_ = S::slots - 1;
};

/// Words of eight values that are neighbours in memory, as pairs of bf16.
__device__ __forceinline__ void widen(const uint4& unit, std::uint32_t (&pairs)[4]) {
  pairs[0] = unit.x;
  pairs[1] = unit.y;
  pairs[2] = unit.z;
  pairs[3] = unit.w;
}
__device__ __forceinline__ void widen(const uint2& unit, std::uint32_t (&pairs)[4]) {
  pairs[0] = bf16_of_bytes<0, 1>(unit.x);
  pairs[1] = bf16_of_bytes<2, 3>(unit.x);
  pairs[2] = bf16_of_bytes<0, 1>(unit.y);
  pairs[3] = bf16_of_bytes<2, 3>(unit.y);
}

/// Eight dimensions of four slots as the operand of four products of 16 rows: product m has dimensions 2 m (rows g) and
/// 2 m + 1 (rows g + 8); slots become pairs.
__device__ __forceinline__ void pair_slots(const uint4& s0, const uint4& s1, const uint4& s8, const uint4& s9,
                                           std::uint32_t (&a)[4][4]) {
  const std::uint32_t words[4][4] = {
      {s0.x, s1.x, s8.x, s9.x}, {s0.y, s1.y, s8.y, s9.y}, {s0.z, s1.z, s8.z, s9.z}, {s0.w, s1.w, s8.w, s9.w}};
#pragma unroll
  for (int m = 0; m < 4; ++m)
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      a[m][i] = __byte_perm(words[m][i], words[m][i + 1], 0x5410);
      a[m][i + 1] = __byte_perm(words[m][i], words[m][i + 1], 0x7632);
    }
}
__device__ __forceinline__ void pair_slots(const uint2& s0, const uint2& s1, const uint2& s8, const uint2& s9,
                                           std::uint32_t (&a)[4][4]) {
  const std::uint32_t words[2][4] = {{s0.x, s1.x, s8.x, s9.x}, {s0.y, s1.y, s8.y, s9.y}};
#pragma unroll
  for (int m = 0; m < 4; ++m)
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      const std::uint32_t both =
          __byte_perm(words[m / 2][i], words[m / 2][i + 1], m % 2 == 0 ? 0x5140 : 0x7362);  // low dimension, high one
      a[m][i] = bf16_of_bytes<0, 1>(both);
      a[m][i + 1] = bf16_of_bytes<2, 3>(both);
    }
}

}  // namespace lectern::kernels::cuda

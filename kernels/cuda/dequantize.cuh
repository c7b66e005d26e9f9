// Weights in GGUF blocks, read on the device as they lie in the file (quant_blocks.h).
//
// A row of K values is K / 32 parts of 32 values, whatever its type. There are two ways to cut it:
//   - interleaved (load, unpack): a thread reads bytes that stand together and gets all values in them, two runs of 16
//     neighbours that stand run_distance apart. Neighbouring threads read neighbouring bytes, and none twice: for
//     products with few tokens, where memory is the limit. first_column(part) says where run 0 begins.
//   - in order (load_in_order, unpack_in_order): 32 neighbouring values, part p from column 32 p on; of the 4-bit types
//     half of what a thread reads is its neighbour's (the cache has it). For tiles of 32 or 64 columns in shared
//     memory, whose edges the interleaved parts of Q6_K (64 columns apart) would cross.
// Either way a part becomes bytes w = scale * byte + offset, for __dp4a (activations_q8.cuh) or for bf16 (to_bf16).
// load only loads and unpack only computes, so that a kernel can have several loads under way.
//
// Rows must be whole blocks. Tensors must begin at multiples of 16 bytes, as in a file and as DeviceBuffer gives them;
// blocks of Q8_0, Q4_0 and Q6_K then stand at even addresses and are read by whole words all the same. Nothing outside
// the tensor is read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/gpu.h"
#include "kernels/quant_blocks.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

/// 32 weights of a row: runs 0 and 1 of 16 neighbouring values each.
struct WeightPart {
  std::uint32_t words[8];  // words[4 r + i]: values 4 i to 4 i + 3 of run r as signed bytes, the first one lowest
  float scale[2];          // of each run
  float offset[2];         // 0 for types without a minimum
};

/// N words from an address that is a multiple of 2, by aligned loads of the words that they touch.
template <int N>
struct HalfAlignedWords {
  std::uint32_t touched[N + 1];
  std::uint32_t shift;  // 0 or 16

  /// The two bytes before an address that is no multiple of 4 are read, and nothing behind the last word.
  __device__ __forceinline__ void load(const std::byte* address) {
    const auto place = reinterpret_cast<std::uintptr_t>(address);
    shift = static_cast<std::uint32_t>(place & 2u) * 8u;
    const std::byte* aligned = address - (place & 2u);
#pragma unroll
    for (int i = 0; i < N; ++i) touched[i] = __ldg(reinterpret_cast<const std::uint32_t*>(aligned) + i);
    touched[N] = shift != 0 ? __ldg(reinterpret_cast<const unsigned short*>(aligned + 4 * N)) : 0u;
  }
  __device__ __forceinline__ std::uint32_t operator[](int i) const {
    return __funnelshift_r(touched[i], touched[i + 1], shift);
  }
};

namespace detail {

__device__ __forceinline__ float half_at(const std::byte* address) {
  return __half2float(__ushort_as_half(__ldg(reinterpret_cast<const unsigned short*>(address))));
}
__device__ __forceinline__ std::uint32_t low_nibbles(std::uint32_t word) {
  return word & 0x0F0F0F0Fu;
}
__device__ __forceinline__ std::uint32_t high_nibbles(std::uint32_t word) {
  return word >> 4 & 0x0F0F0F0Fu;
}
/// byte - ZERO in each byte, for bytes below 128: no borrow leaves a byte whose top bit is set.
template <std::uint32_t ZERO>
__device__ __forceinline__ std::uint32_t minus(std::uint32_t bytes) {
  return ((bytes | 0x80808080u) - ZERO * 0x01010101u) ^ 0x80808080u;
}
__device__ __forceinline__ void words_of(const uint4& from, std::uint32_t (&to)[4]) {
  to[0] = from.x;
  to[1] = from.y;
  to[2] = from.z;
  to[3] = from.w;
}
__device__ __forceinline__ uint4 load_16(const std::byte* address) {
  return gpu::load_streaming(reinterpret_cast<const uint4*>(address));
}

/// Scales and minima of groups 2 pair and 2 pair + 1 (bytes 0 and 1 of each) out of a K block's 12 bytes.
struct ScalePair {
  std::uint32_t scales, minima;
};
__device__ __forceinline__ ScalePair scale_pair(const uint4& head, int pair) {
  const std::uint32_t shift = static_cast<std::uint32_t>(pair & 1) * 16u;
  const std::uint32_t first = head.y >> shift, second = head.z >> shift, third = head.w >> shift;
  if (pair < 2) return {first & 0x3F3Fu, second & 0x3F3Fu};
  return {(third & 0x0F0Fu) | (first >> 2 & 0x3030u), (third >> 4 & 0x0F0Fu) | (second >> 2 & 0x3030u)};
}
/// Factors of run `run` of a part from those of group 2 pair + `side`.
__device__ __forceinline__ void set_factors(WeightPart& part, int run, const uint4& head, ScalePair pair, int side) {
  const float2 d = gpu::unpack_f16(head.x);
  const std::uint32_t shift = static_cast<std::uint32_t>(side) * 8u;
  part.scale[run] = __fmul_rn(d.x, static_cast<float>(pair.scales >> shift & 0xFFu));
  part.offset[run] = -__fmul_rn(d.y, static_cast<float>(pair.minima >> shift & 0xFFu));
}

}  // namespace detail

/// How to read the parts of a row of blocks. `part` counts from the row's beginning.
template <class Block>
struct BlockFormat;

/// Q4_K and Q5_K: a head of 16 bytes (d, dmin, scales), for five bits the high ones, then the nibbles.
template <class Block, bool FIVE_BITS>
struct NibbleKFormat {
  static constexpr bool has_offset = true;
  static constexpr int run_distance = 32;
  static constexpr int block_bytes = static_cast<int>(sizeof(Block)), nibbles_at = FIVE_BITS ? 48 : 16;
  struct Raw {
    uint4 head, low, high;
  };
  struct RawInOrder {
    uint4 head, low[2], high[2];
  };

  __device__ __forceinline__ static int first_column(int part) { return part / 2 * 64 + part % 2 * 16; }
  __device__ __forceinline__ static Raw load(const std::byte* row, int part) {
    const std::byte* block = row + static_cast<std::int64_t>(part / 8) * block_bytes;
    Raw raw;
    raw.head = detail::load_16(block);
    raw.low = detail::load_16(block + nibbles_at + part % 8 * 16);
    if constexpr (FIVE_BITS) raw.high = detail::load_16(block + 16 + part % 2 * 16);
    return raw;
  }
  __device__ __forceinline__ static WeightPart unpack(const Raw& raw, int part) {
    const int pair = part % 8 / 2;
    WeightPart result;
    std::uint32_t low[4], high[4] = {};
    detail::words_of(raw.low, low);
    if constexpr (FIVE_BITS) detail::words_of(raw.high, high);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      result.words[i] = detail::low_nibbles(low[i]) | fifth_bits(high[i], 2 * pair);
      result.words[4 + i] = detail::high_nibbles(low[i]) | fifth_bits(high[i], 2 * pair + 1);
    }
    const detail::ScalePair scales = detail::scale_pair(raw.head, pair);
    detail::set_factors(result, 0, raw.head, scales, 0);
    detail::set_factors(result, 1, raw.head, scales, 1);
    return result;
  }

  __device__ __forceinline__ static RawInOrder load_in_order(const std::byte* row, int part) {
    const std::byte* block = row + static_cast<std::int64_t>(part / 8) * block_bytes;
    RawInOrder raw;
    raw.head = detail::load_16(block);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      raw.low[i] = detail::load_16(block + nibbles_at + part % 8 / 2 * 32 + 16 * i);
      if constexpr (FIVE_BITS) raw.high[i] = detail::load_16(block + 16 + 16 * i);
    }
    return raw;
  }
  __device__ __forceinline__ static WeightPart unpack_in_order(const RawInOrder& raw, int part) {
    const int group = part % 8;
    WeightPart result;
#pragma unroll
    for (int run = 0; run < 2; ++run) {
      std::uint32_t low[4], high[4] = {};
      detail::words_of(raw.low[run], low);
      if constexpr (FIVE_BITS) detail::words_of(raw.high[run], high);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        result.words[4 * run + i] = detail::low_nibbles(low[i] >> group % 2 * 4) | fifth_bits(high[i], group);
    }
    const detail::ScalePair scales = detail::scale_pair(raw.head, group / 2);
    detail::set_factors(result, 0, raw.head, scales, group % 2);
    result.scale[1] = result.scale[0];
    result.offset[1] = result.offset[0];
    return result;
  }

 private:
  __device__ __forceinline__ static std::uint32_t fifth_bits(std::uint32_t high, int group) {
    if constexpr (!FIVE_BITS) return 0;
    return (high >> group & 0x01010101u) << 4;
  }
};
template <>
struct BlockFormat<BlockQ4_K> : NibbleKFormat<BlockQ4_K, false> {};
template <>
struct BlockFormat<BlockQ5_K> : NibbleKFormat<BlockQ5_K, true> {};

template <>
struct BlockFormat<BlockQ6_K> {
  static constexpr bool has_offset = false;
  static constexpr int run_distance = 64;
  static constexpr int block_bytes = static_cast<int>(sizeof(BlockQ6_K));
  static constexpr int high_at = 128, scales_at = 192, d_at = 208;
  struct Raw {
    HalfAlignedWords<4> low, high;
    int scale[2];
    float d;
  };
  struct RawInOrder {
    HalfAlignedWords<8> low, high;
    int scale[2];
    float d;
  };

  /// Part p of a half (128 values): quarters p / 2 and p / 2 + 2, values 16 (p % 2) and on of each.
  __device__ __forceinline__ static int first_column(int part) { return part / 4 * 128 + part % 4 * 16; }
  __device__ __forceinline__ static Raw load(const std::byte* row, int part) {
    const std::byte* block = row + static_cast<std::int64_t>(part / 8) * block_bytes;
    const int half = part % 8 / 4;
    Raw raw;
    raw.low.load(block + part % 8 * 16);
    raw.high.load(block + high_at + half * 32 + part % 2 * 16);
    raw.scale[0] = scale_at(block, half * 8 + part % 4);
    raw.scale[1] = scale_at(block, half * 8 + part % 4 + 4);
    raw.d = detail::half_at(block + d_at);
    return raw;
  }
  __device__ __forceinline__ static WeightPart unpack(const Raw& raw, int part) {
    const int quarter = part % 4 / 2;
    WeightPart result;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t low = raw.low[i], high = raw.high[i] >> 2 * quarter;
      result.words[i] = detail::minus<32>(detail::low_nibbles(low) | (high & 0x03030303u) << 4);
      result.words[4 + i] = detail::minus<32>(detail::high_nibbles(low) | (high & 0x30303030u));
    }
    set_factors(result, raw.d, raw.scale);
    return result;
  }

  __device__ __forceinline__ static RawInOrder load_in_order(const std::byte* row, int part) {
    const std::byte* block = row + static_cast<std::int64_t>(part / 8) * block_bytes;
    const int half = part % 8 / 4;
    RawInOrder raw;
    raw.low.load(block + half * 64 + part % 2 * 32);
    raw.high.load(block + high_at + half * 32);
    raw.scale[0] = scale_at(block, part % 8 * 2);
    raw.scale[1] = scale_at(block, part % 8 * 2 + 1);
    raw.d = detail::half_at(block + d_at);
    return raw;
  }
  __device__ __forceinline__ static WeightPart unpack_in_order(const RawInOrder& raw, int part) {
    const int quarter = part % 4;
    WeightPart result;
#pragma unroll
    for (int i = 0; i < 8; ++i)
      result.words[i] = detail::minus<32>(detail::low_nibbles(raw.low[i] >> quarter / 2 * 4) |
                                          (raw.high[i] >> 2 * quarter & 0x03030303u) << 4);
    set_factors(result, raw.d, raw.scale);
    return result;
  }

 private:
  __device__ __forceinline__ static int scale_at(const std::byte* block, int group) {
    return __ldg(reinterpret_cast<const signed char*>(block + scales_at + group));
  }
  __device__ __forceinline__ static void set_factors(WeightPart& part, float d, const int (&scale)[2]) {
#pragma unroll
    for (int run = 0; run < 2; ++run) {
      part.scale[run] = __fmul_rn(d, static_cast<float>(scale[run]));
      part.offset[run] = 0.0f;
    }
  }
};

/// Types with blocks of 32 values: a part is a block, and both ways to cut are one.
template <class Format>
struct SmallBlockFormat {
  static constexpr int run_distance = 16;
  __device__ __forceinline__ static int first_column(int part) { return part * 32; }
  __device__ __forceinline__ static auto load_in_order(const std::byte* row, int part) {
    return Format::load(row, part);
  }
  template <class Raw>
  __device__ __forceinline__ static WeightPart unpack_in_order(const Raw& raw, int part) {
    return Format::unpack(raw, part);
  }

 protected:
  __device__ __forceinline__ static void set_factors(WeightPart& part, float scale, float offset) {
    part.scale[0] = part.scale[1] = scale;
    part.offset[0] = part.offset[1] = offset;
  }
};

template <>
struct BlockFormat<BlockQ8_0> : SmallBlockFormat<BlockFormat<BlockQ8_0>> {
  static constexpr bool has_offset = false;
  struct Raw {
    HalfAlignedWords<8> q;
    float d;
  };
  using RawInOrder = Raw;
  __device__ __forceinline__ static Raw load(const std::byte* row, int part) {
    const std::byte* block = row + static_cast<std::int64_t>(part) * static_cast<int>(sizeof(BlockQ8_0));
    Raw raw;
    raw.q.load(block + 2);
    raw.d = detail::half_at(block);
    return raw;
  }
  __device__ __forceinline__ static WeightPart unpack(const Raw& raw, int) {
    WeightPart result;
#pragma unroll
    for (int i = 0; i < 8; ++i) result.words[i] = raw.q[i];
    set_factors(result, raw.d, 0.0f);
    return result;
  }
};

template <>
struct BlockFormat<BlockQ4_0> : SmallBlockFormat<BlockFormat<BlockQ4_0>> {
  static constexpr bool has_offset = false;
  struct Raw {
    HalfAlignedWords<4> q;
    float d;
  };
  using RawInOrder = Raw;
  __device__ __forceinline__ static Raw load(const std::byte* row, int part) {
    const std::byte* block = row + static_cast<std::int64_t>(part) * static_cast<int>(sizeof(BlockQ4_0));
    Raw raw;
    raw.q.load(block + 2);
    raw.d = detail::half_at(block);
    return raw;
  }
  __device__ __forceinline__ static WeightPart unpack(const Raw& raw, int) {
    WeightPart result;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      result.words[i] = detail::minus<8>(detail::low_nibbles(raw.q[i]));
      result.words[4 + i] = detail::minus<8>(detail::high_nibbles(raw.q[i]));
    }
    set_factors(result, raw.d, 0.0f);
    return result;
  }
};

template <>
struct BlockFormat<BlockQ4_1> : SmallBlockFormat<BlockFormat<BlockQ4_1>> {
  static constexpr bool has_offset = true;
  struct Raw {
    std::uint32_t head, q[4];  // head: d, m
  };
  using RawInOrder = Raw;
  __device__ __forceinline__ static Raw load(const std::byte* row, int part) {
    const auto* words = reinterpret_cast<const std::uint32_t*>(row) + static_cast<std::int64_t>(part) * 5;
    Raw raw;
    raw.head = __ldg(words);
#pragma unroll
    for (int i = 0; i < 4; ++i) raw.q[i] = __ldg(words + 1 + i);
    return raw;
  }
  __device__ __forceinline__ static WeightPart unpack(const Raw& raw, int) {
    WeightPart result;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      result.words[i] = detail::low_nibbles(raw.q[i]);
      result.words[4 + i] = detail::high_nibbles(raw.q[i]);
    }
    const float2 factors = gpu::unpack_f16(raw.head);
    set_factors(result, factors.x, factors.y);
    return result;
  }
};

// To floating point
// ----------------------------------------------------------------------------------------------------------------

/// Value `i` (0 to 15) of a run: one rounding (fused), as everywhere here, so that all kernels see the same weights.
__device__ __forceinline__ float weight_value(const WeightPart& part, int run, int i) {
  // A byte under the exponent of 2^23 is the float 2^23 + byte: cheaper than a conversion from an integer.
  const std::uint32_t biased = part.words[4 * run + i / 4] ^ 0x80808080u;
  const float shifted = __uint_as_float(__byte_perm(biased, 0x4B000000u, 0x7540u | static_cast<unsigned>(i % 4)));
  return __fmaf_rn(part.scale[run], shifted - 8388736.0f, part.offset[run]);  // 2^23 + 128
}

/// Values 8 half to 8 half + 7 of a run as bf16, the first one lowest.
__device__ __forceinline__ uint4 to_bf16(const WeightPart& part, int run, int half) {
  std::uint32_t pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    pairs[i] = gpu::pack_bf16(weight_value(part, run, 8 * half + 2 * i), weight_value(part, run, 8 * half + 2 * i + 1));
  return make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
}

/// Part `part` in order (columns 32 part to 32 part + 31) of a row of blocks of type Block as bf16: put(i, eight) gets
/// values 8 i to 8 i + 7. Where `eight` goes in a tile (16 bytes; a swizzle) is put's affair.
template <class Block, class Put>
__device__ __forceinline__ void dequantize_in_order(const std::byte* row, int part, Put put) {
  using Format = BlockFormat<Block>;
  const WeightPart values = Format::unpack_in_order(Format::load_in_order(row, part), part);
#pragma unroll
  for (int i = 0; i < 4; ++i) put(i, to_bf16(values, i / 2, i % 2));
}

/// The same of plain rows; T is float, gpu::bf16 or gpu::f16, the row aligned to 16 bytes.
template <class T, class Put>
__device__ __forceinline__ void convert_in_order(const std::byte* row, int part, Put put) {
  const T* values = reinterpret_cast<const T*>(row) + static_cast<std::int64_t>(part) * 32;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    constexpr int run = 16 / static_cast<int>(sizeof(T));
    float eight[8];
#pragma unroll
    for (int j = 0; j < 8; j += run) {
      const auto loaded = gpu::Vector<T, run>::load_streaming(values + 8 * i + j);
#pragma unroll
      for (int k = 0; k < run; ++k) eight[j + k] = gpu::to_float(loaded.values[k]);
    }
    put(i, make_uint4(gpu::pack_bf16(eight[0], eight[1]), gpu::pack_bf16(eight[2], eight[3]),
                      gpu::pack_bf16(eight[4], eight[5]), gpu::pack_bf16(eight[6], eight[7])));
  }
}

/// Calls body.template operator()<Block>() (a block of quant_blocks.h) for a quantized type, <float>, <gpu::bf16> or
/// <gpu::f16> for a plain one. Uniform over a warp, or on the host.
#pragma nv_exec_check_disable  // nvcc would warn of whichever side the body is not for
template <class Body>
__host__ __device__ __forceinline__ void with_stored_type(DType type, Body body) {
  switch (type) {
    case DType::f32: body.template operator()<float>(); break;
    case DType::f16: body.template operator()<gpu::f16>(); break;
    case DType::bf16: body.template operator()<gpu::bf16>(); break;
    case DType::i32: break;
    case DType::q4_0: body.template operator()<BlockQ4_0>(); break;
    case DType::q4_1: body.template operator()<BlockQ4_1>(); break;
    case DType::q8_0: body.template operator()<BlockQ8_0>(); break;
    case DType::q4_k: body.template operator()<BlockQ4_K>(); break;
    case DType::q5_k: body.template operator()<BlockQ5_K>(); break;
    case DType::q6_k: body.template operator()<BlockQ6_K>(); break;
  }
}

template <class T>
inline constexpr bool is_block = requires {
  T::values;
};

}  // namespace lectern::kernels::cuda

// The turns of rotary embedding as kernels form them.
#pragma once

#include "kernels/cuda/gpu.h"

namespace lectern::kernels::cuda {

struct Turn {
  float cosine, sine;
};

/// cos and sin of position * theta; `part` is theta in 2^64ths of a turn. The product wraps at whole turns and is
/// exact; its upper 32 bits are split into quarters of a turn and a rest of at most an eighth to either side (in f32:
/// error below 5e-8 radians). Costs a 64-bit product of integers (four 32-bit ones) and 20 operations; no f64, which
/// consumer cards have at 1/64 of the rate.
__device__ __forceinline__ Turn turn_of(int position, std::uint64_t part, float magnitude) {
  const std::uint64_t turns = static_cast<std::uint64_t>(static_cast<std::int64_t>(position)) * part;
  const auto fraction = static_cast<std::uint32_t>(turns >> 32);
  const std::uint32_t quarter = (fraction + 0x20000000u) >> 30;
  const auto rest = static_cast<std::int32_t>(fraction - (quarter << 30));
  const float x = static_cast<float>(rest) * 1.4629180792671596e-9f;  // 2 pi / 2^32
  // The polynomials of Cephes (sinf.c) for |x| <= pi / 4: errors below 1e-7.
  const float z = x * x;
  float sine = fmaf(fmaf(fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f), z, -1.6666654611e-1f), z * x, x);
  float cosine = fmaf(fmaf(fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f), z, 4.166664568298827e-2f), z * z,
                      fmaf(-0.5f, z, 1.0f));
  if (quarter & 1u) {
    const float swapped = sine;
    sine = cosine;
    cosine = -swapped;
  }
  if (quarter & 2u) {
    sine = -sine;
    cosine = -cosine;
  }
  return {cosine * magnitude, sine * magnitude};
}

/// Where pair i of `pairs` lies in its head.
struct PairPlace {
  int first, second;
};
template <bool ADJACENT>
__device__ __forceinline__ PairPlace place_of_pair(int i, int pairs) {
  if constexpr (ADJACENT) return {2 * i, 2 * i + 1};
  return {i, i + pairs};
}

__device__ __forceinline__ void turn_pair(float* head, PairPlace at, Turn turn) {
  const float a = head[at.first], b = head[at.second];
  head[at.first] = fmaf(a, turn.cosine, -(b * turn.sine));
  head[at.second] = fmaf(b, turn.cosine, a * turn.sine);
}

}  // namespace lectern::kernels::cuda

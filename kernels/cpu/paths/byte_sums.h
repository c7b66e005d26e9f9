// Sums of products of unsigned weights and signed activations, of 8 or 16 bits, of one instruction path.
//
// Paths without an instruction for four bytes (sums_pairs) add products up in 16 bits as long as they fit, and take
// weights of 8 bits, of which no two products would fit, as numbers of 16 bits; the activations then keep 15.
#pragma once

#include "kernels/cpu/simd.h"

namespace lectern::kernels::cpu {
namespace {

/// `bits`: of the weights, 4, 5, 6 or 8.
template <int bits>
constexpr bool as_i16 = bits == 8 && sums_pairs;
template <int bits>
constexpr int value_bytes = as_i16<bits> ? 2 : 1;
/// Pairs of products of that many bits and 8-bit activations that fit a sum of 16 bits: 2 * 15 * 127 * 8 < 2^15.
template <int bits>
constexpr int pairs_that_fit = bits == 4 ? 8 : (bits == 5 ? 4 : 2);

/// The 4 bytes at p in every lane.
inline I32 broadcast_four(const int8_t* p) {
  return iset1(read<int32_t>(p));
}

/// A sum of `steps` products of four bytes (two 16-bit numbers) in each lane: add<0> to add<steps - 1> in this order,
/// each to the same `sum`, which has it all after the last.
template <int bits, int steps>
struct ByteSums {
  I32 pairs;  // in 16 bits

  template <int step>
  LECTERN_INLINE void add(I32 weights, I32 activations, I32& sum) {
    if constexpr (!sums_pairs) {
      sum = dot4(sum, weights, activations);
    } else if constexpr (as_i16<bits>) {
      sum = iadd_in_order(sum, multiply_i16(weights, activations));
    } else {
      const I32 products = multiply_i8(weights, activations);
      pairs = step % pairs_that_fit<bits> == 0 ? products : add_i16(pairs, products);
      if constexpr ((step + 1) % pairs_that_fit<bits> == 0 || step + 1 == steps)
        sum = iadd(sum, multiply_i16(pairs, iset1(0x00010001)));
    }
  }
};

}  // namespace
}  // namespace lectern::kernels::cpu

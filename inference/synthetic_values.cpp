// The generator is SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): word i of a
// stream is a mix of key + i * golden ratio. Everything random is integer arithmetic; the few floating-point operations
// per value or block are single IEEE operations on exact operands, and this file is compiled without fused
// multiply-adds, so no machine rounds differently. Words per block are fixed, so block n starts at a known word.

#include "inference/synthetic_values.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#include "kernels/quant_blocks.h"

namespace lectern::inference {

using kernels::BlockQ4_K;
using kernels::BlockQ6_K;
using kernels::BlockQ8_0;
using kernels::DType;
using kernels::Half;

namespace {

constexpr std::uint64_t golden = 0x9E3779B97F4A7C15U;

constexpr std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

/// Words of a stream from number `first` on.
class Words {
 public:
  Words(std::uint64_t key, std::uint64_t first) : state_(key + first * golden) {}
  std::uint64_t next() { return mix(state_ += golden); }

 private:
  std::uint64_t state_;
};

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return hash;
}

/// Nearest half, ties to even; |value| is below 65504.
Half to_half(double value) {
  const Half sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  assert(magnitude < 65504.0);
  int exponent = 0;
  std::frexp(magnitude, &exponent);               // magnitude in [2^(exponent - 1), 2^exponent)
  const int unit = std::max(exponent - 11, -24);  // power of two of the last bit; -24 for subnormal halves
  const auto digits = static_cast<int>(std::nearbyint(std::ldexp(magnitude, -unit)));  // <= 2048
  // A normal half is (unit + 25) << 10 plus the digits without their leading bit; a carry goes into the exponent.
  return static_cast<Half>(sign | (unit == -24 ? digits : ((unit + 25) << 10) + digits - 1024));
}

double from_half(Half half) {
  const int exponent = half >> 10 & 31;
  const double digits = half & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(digits, -24) : std::ldexp(digits + 1024.0, exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/// A factor of about 1 that differs from block to block: (224 + 0..63) / 256.
double block_factor(std::uint64_t random) {
  return static_cast<double>(224 + (random & 63)) / 256.0;
}
const double factor_rms = std::sqrt((255.5 * 255.5 + (64.0 * 64.0 - 1.0) / 12.0)) / 256.0;

/// The sum of five two-bit numbers, for each ten bits.
constexpr auto sums_of_five = [] {
  std::array<std::uint8_t, 1024> sums{};
  for (std::size_t bits = 0; bits < sums.size(); ++bits)
    for (std::size_t shift = 0; shift < 10; shift += 2)
      sums[bits] = static_cast<std::uint8_t>(sums[bits] + (bits >> shift & 3));
  return sums;
}();

constexpr int sum_of_four(std::uint64_t bits, int width) {
  const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
  std::uint64_t sum = 0;
  for (int i = 0; i < 4; ++i) sum += bits >> (i * width) & mask;
  return static_cast<int>(sum);
}

constexpr std::uint64_t words_per_block(const BlockQ8_0&) {
  return 1 + 32 / 2;
}
constexpr std::uint64_t words_per_block(const BlockQ4_K&) {
  return 2 + 43;  // three bytes of two values a word
}
constexpr std::uint64_t words_per_block(const BlockQ6_K&) {
  return 3 + 256 / 4;
}

void draw(Words& words, double deviation, BlockQ8_0& block) {
  // Four of 0..63: variance 4 (64^2 - 1) / 12.
  const double unit = deviation / (std::sqrt(1365.0) * factor_rms);
  block.d = to_half(unit * block_factor(words.next()));
  for (int i = 0; i < 32; i += 2) {
    const std::uint64_t random = words.next();
    block.q[i] = static_cast<std::int8_t>(sum_of_four(random, 6) - 126);
    block.q[i + 1] = static_cast<std::int8_t>(sum_of_four(random >> 24, 6) - 126);
  }
}

void draw(Words& words, double deviation, BlockQ4_K& block) {
  // Variance of scale * q - 7.5 * min = scale (q - 7.5) - 7.5 (min - scale): E[scale^2] * 6.25 + 7.5^2 * 5.
  constexpr double scale_squared = 47.5 * 47.5 + 255.0 / 12.0;
  const double unit = deviation / (std::sqrt(scale_squared * 6.25 + 7.5 * 7.5 * 5.0) * factor_rms);
  block.d = to_half(unit * block_factor(words.next()));
  block.dmin = to_half(7.5 * from_half(block.d));
  std::uint64_t random = words.next();
  std::array<std::uint8_t, 8> scales{}, minima{};
  for (std::size_t group = 0; group < 8; ++group, random >>= 6) {
    scales[group] = static_cast<std::uint8_t>(40 + (random & 15));
    minima[group] = static_cast<std::uint8_t>(scales[group] - 3 + 2 * (random >> 4 & 3));
  }
  for (std::size_t group = 0; group < 4; ++group) {
    const std::uint8_t scale = scales[group + 4], minimum = minima[group + 4];
    block.scales[group] = static_cast<std::uint8_t>(scales[group] | scale >> 4 << 6);
    block.scales[group + 4] = static_cast<std::uint8_t>(minima[group] | minimum >> 4 << 6);
    block.scales[group + 8] = static_cast<std::uint8_t>((scale & 15) | (minimum & 15) << 4);
  }
  for (int byte = 0; byte < 128; byte += 3) {
    random = words.next();
    for (int i = byte; i < std::min(byte + 3, 128); ++i, random >>= 20)
      block.q[i] = static_cast<std::uint8_t>(sums_of_five[random & 1023] | sums_of_five[random >> 10 & 1023] << 4);
  }
}

void draw(Words& words, double deviation, BlockQ6_K& block) {
  // Four of 0..15: variance 4 (16^2 - 1) / 12 = 85, mean 30.
  constexpr double scale_squared = 111.5 * 111.5 + (32.0 * 32.0 - 1.0) / 12.0;
  const double unit = deviation / (std::sqrt(85.0 * scale_squared) * factor_rms);
  block.d = to_half(unit * block_factor(words.next()));
  std::uint64_t random = 0;
  for (int group = 0; group < 16; ++group, random >>= 6) {
    if (group % 8 == 0) random = words.next();
    const int magnitude = 96 + static_cast<int>(random & 31);
    block.scales[group] = static_cast<std::int8_t>((random & 32) != 0 ? -magnitude : magnitude);
  }
  std::memset(block.low, 0, sizeof block.low);
  std::memset(block.high, 0, sizeof block.high);
  for (int half = 0; half < 2; ++half)
    for (int quarter = 0; quarter < 4; ++quarter)
      for (int i = 0; i < 32; ++i) {
        if (i % 4 == 0) random = words.next();
        const int q = 2 + sum_of_four(random, 4);
        random >>= 16;
        std::uint8_t& low = block.low[64 * half + 32 * (quarter % 2) + i];
        std::uint8_t& high = block.high[32 * half + i];
        low = static_cast<std::uint8_t>(low | (q & 15) << 4 * (quarter / 2));
        high = static_cast<std::uint8_t>(high | (q >> 4) << 2 * quarter);
      }
}

}  // namespace

SyntheticTensor::SyntheticTensor(std::uint64_t seed, std::string_view name, DType type,
                                 const Distribution& distribution)
    : key_(mix(mix(seed + golden) ^ fnv1a(name))), type_(type), distribution_(distribution) {
  assert(!kernels::is_quantized(type) ||
         (distribution.centre == 0 && distribution.shape == Distribution::Shape::normal));
}

float SyntheticTensor::value(std::int64_t index) const {
  const std::uint64_t random = Words(key_, static_cast<std::uint64_t>(index)).next();
  if (distribution_.shape == Distribution::Shape::uniform) {
    const double unit = static_cast<double>(static_cast<std::int64_t>(random >> 40) - (1 << 23)) / (1 << 23);
    return static_cast<float>(distribution_.centre + distribution_.spread * unit);
  }
  // Four of 0..65535: variance 4 (2^32 - 1) / 12.
  static const double deviation = std::sqrt(4294967295.0 / 3.0);
  const double unit = (static_cast<double>(sum_of_four(random, 16)) - 131070.0) / deviation;
  return static_cast<float>(distribution_.centre + distribution_.spread * unit);
}

template <class Block>
void SyntheticTensor::fill_blocks(std::int64_t first, std::int64_t count, std::byte* out) const {
  for (std::int64_t i = 0; i < count; ++i, out += sizeof(Block)) {
    Block block;
    Words words(key_, static_cast<std::uint64_t>(first + i) * words_per_block(block));
    draw(words, distribution_.spread, block);
    std::memcpy(out, &block, sizeof block);
  }
}

void SyntheticTensor::fill(std::int64_t first, std::int64_t count, std::byte* out) const {
  switch (type_) {
    case DType::q8_0: return fill_blocks<BlockQ8_0>(first, count, out);
    case DType::q4_k: return fill_blocks<BlockQ4_K>(first, count, out);
    case DType::q6_k: return fill_blocks<BlockQ6_K>(first, count, out);
    case DType::bf16:
      for (std::int64_t i = 0; i < count; ++i, out += 2) {
        const std::uint16_t bits = to_bf16(value(first + i));
        std::memcpy(out, &bits, sizeof bits);
      }
      return;
    case DType::f32:
      for (std::int64_t i = 0; i < count; ++i, out += 4) {
        const float number = value(first + i);
        std::memcpy(out, &number, sizeof number);
      }
      return;
    default: assert(false);
  }
}

}  // namespace lectern::inference

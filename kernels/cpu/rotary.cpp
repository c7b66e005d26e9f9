// Angles are formed and reduced in double: at position 100,000 a float has lost the fraction of the turn. That makes
// the table the costly part, so a stream keeps the last one; every layer of a pass asks for the same.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/rotary_table.h"

namespace lectern::kernels::cpu {

void RotaryTable::prepare(ThreadPool& pool, std::span<const std::int64_t> positions,
                          std::span<const double> frequencies, float magnitude) {
  if (std::ranges::equal(positions, positions_) && std::ranges::equal(frequencies, frequencies_) &&
      magnitude == magnitude_)
    return;
  positions_.assign(positions.begin(), positions.end());
  frequencies_.assign(frequencies.begin(), frequencies.end());
  magnitude_ = magnitude;
  cosines_.resize(positions.size() * frequencies.size());
  sines_.resize(cosines_.size());
  pool.parallel_for(static_cast<std::int64_t>(positions.size()), 8, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t t = first; t < last; ++t) {
      for (std::int64_t i = 0; i < pairs(); ++i) {
        const double angle =
            static_cast<double>(positions_[static_cast<std::size_t>(t)]) * frequencies_[static_cast<std::size_t>(i)];
        const auto at = static_cast<std::size_t>(t * pairs() + i);
        cosines_[at] = static_cast<float>(std::cos(angle)) * magnitude;
        sines_[at] = static_cast<float>(std::sin(angle)) * magnitude;
      }
    }
  });
}

void rotary(Stream& stream, Tensor x, std::span<const std::int64_t> positions, std::span<const double> frequencies,
            float magnitude, RotaryPairs pairs) {
  RotaryTable& table = stream.rotary_table();
  table.prepare(stream.pool(), positions, frequencies, magnitude);
  const InnerLoops& loops = stream.loops();
  const std::int64_t heads = x.dim(1), dim = x.dim(2);
  stream.pool().parallel_for(
      x.dim(0), std::max<std::int64_t>(1, 8192 / (heads * dim)), [&](std::int64_t first, std::int64_t last, int) {
        for (std::int64_t t = first; t < last; ++t)
          for (std::int64_t head = 0; head < heads; ++head)
            loops.rotate(floats(x) + (t * heads + head) * dim, table.cosines(t), table.sines(t),
                         static_cast<std::int64_t>(frequencies.size()), pairs == RotaryPairs::adjacent);
      });
}

}  // namespace lectern::kernels::cpu

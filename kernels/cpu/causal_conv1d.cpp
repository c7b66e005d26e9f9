// Channels are split over the threads; the loops are in paths/recurrent_loops.h.
#include "kernels/causal_conv1d.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/operations.h"

namespace lectern::kernels::cpu {

void causal_conv1d(Stream& stream, ConstTensor x, ConstTensor w, Tensor state,
                   std::span<const std::int64_t> snapshot_offsets, std::span<const Tensor> snapshots, Tensor out) {
  std::vector<float*> pointers;
  for (const Tensor& snapshot : snapshots) pointers.push_back(floats(snapshot));
  const ConvolutionArguments arguments{
      floats(x), floats(w), floats(state),           floats(out),     x.dim(0),
      x.dim(1),  w.dim(1),  snapshot_offsets.data(), pointers.data(), static_cast<std::int64_t>(pointers.size())};
  stream.pool().parallel_for((arguments.channels + 63) / 64, 2, [&](std::int64_t first, std::int64_t last, int) {
    stream.loops().convolve_channels(arguments, first * 64, std::min(last * 64, arguments.channels));
  });
}

}  // namespace lectern::kernels::cpu

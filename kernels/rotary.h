// Rotary position embedding on the first R of D dimensions of each head.
#pragma once

#include <span>
#include "kernels/device.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// How dimensions are paired: (i, i + R/2) as in the Qwen models, or (2i, 2i + 1) as in llama GGUF files.
enum class RotaryPairs { halves, adjacent };
/// x [T, heads, D] f32, in place. positions [T]. frequencies [R/2]: theta_i (YaRN already applied), double because
/// the angle position * theta_i is formed in double. `magnitude` multiplies cos and sin (YaRN's attention factor, else
/// 1).
void rotary(Stream& stream, Tensor x, std::span<const std::int64_t> positions, std::span<const double> frequencies,
            float magnitude, RotaryPairs pairs);

}  // namespace lectern::kernels

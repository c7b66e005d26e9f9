// Quantized matrices are regrouped for the CPU when a model is opened (kernels/cpu/packed_rows.h).
#pragma once

#include "inference/weights.h"

namespace lectern::inference {

/// Packs every quantized matrix that can be, into memory owned by `weights`, and gives the pages of the file back that
/// held it: weights are in memory once. A matrix that stands in two places (tied output) stays one.
void pack_weights(Weights& weights);

}  // namespace lectern::inference

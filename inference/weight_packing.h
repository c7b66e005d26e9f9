// Quantized matrices are regrouped for the CPU when a model is opened (kernels/cpu/packed_rows.h).
#pragma once

#include "inference/weights.h"

namespace lectern::inference {

/// Packs the quantized matrices that are read in place, into memory owned by `weights`, and gives the pages of the file
/// back that held them: weights are in memory once. What loading has copied already (rows in another order, joined
/// experts) stays as it is. A matrix that stands in two places (tied output) stays one. Only for weights of mapped
/// files.
void pack_weights(Weights& weights);

}  // namespace lectern::inference

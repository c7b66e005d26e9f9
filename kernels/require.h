// Shape checks of the operations, for every backend: a mismatch throws before anything runs and names the operation and
// the shapes.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>

#include "kernels/error.h"
#include "kernels/tensor.h"

namespace lectern::kernels {

/// "F32 [2, 3]".
std::string text(const ConstTensor& x);

struct Named {
  const char* name;
  ConstTensor tensor;
};

/// Throws Error{unsupported} "operation: x F32 [2, 3], w F16 [4, 5]: rule" unless `holds`.
void require(bool holds, const char* operation, std::initializer_list<Named> tensors, const std::string& rule);

inline bool is_f32(const ConstTensor& x, int rank) {
  return x.type == DType::f32 && x.rank == rank;
}
inline bool is_f32(const ConstTensor& x) {
  return x.type == DType::f32 && x.rank >= 1;
}
inline bool same_shape(const ConstTensor& a, const ConstTensor& b) {
  return a.rank == b.rank && std::equal(a.shape.begin(), a.shape.begin() + a.rank, b.shape.begin());
}

}  // namespace lectern::kernels

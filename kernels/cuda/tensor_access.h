// Addresses of tensors for launches.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "kernels/tensor.h"

namespace lectern::kernels::cuda {

inline float* floats(const Tensor& x) {
  return reinterpret_cast<float*>(x.data);
}
inline const float* floats(const ConstTensor& x) {
  return reinterpret_cast<const float*>(x.data);
}
inline const std::int32_t* integers(const ConstTensor& x) {
  return reinterpret_cast<const std::int32_t*>(x.data);
}
/// All of them multiples of 16 bytes.
inline bool are_aligned(std::initializer_list<const std::byte*> addresses) {
  for (const std::byte* address : addresses)
    if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) return false;
  return true;
}

}  // namespace lectern::kernels::cuda

#include "kernels/require.h"

namespace lectern::kernels {

std::string text(const ConstTensor& x) {
  std::string shape = std::string(name(x.type)) + " [";
  for (int axis = 0; axis < x.rank; ++axis) shape += (axis ? ", " : "") + std::to_string(x.dim(axis));
  return shape + "]";
}

void require(bool holds, const char* operation, std::initializer_list<Named> tensors, const std::string& rule) {
  if (holds) return;
  std::string message = std::string(operation) + ":";
  const char* separator = " ";
  for (const Named& named : tensors) {
    message += separator + std::string(named.name) + " " + text(named.tensor);
    separator = ", ";
  }
  throw Error(ErrorKind::unsupported, message + ": " + rule);
}

}  // namespace lectern::kernels

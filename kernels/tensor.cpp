#include "kernels/tensor.h"

#include <string>

#include "kernels/error.h"

namespace lectern::kernels {

namespace {

struct TypeLayout {
  const char* name;
  std::int64_t values;  // per block
  std::int64_t bytes;   // per block
};

// In the order of DType; block layouts as in quant_blocks.h.
constexpr TypeLayout layouts[] = {
    {"F32", 1, 4},    {"F16", 1, 2},    {"BF16", 1, 2},     {"I32", 1, 4},      {"Q4_0", 32, 18},
    {"Q4_1", 32, 20}, {"Q8_0", 32, 34}, {"Q4_K", 256, 144}, {"Q5_K", 256, 176}, {"Q6_K", 256, 210},
};

const TypeLayout& layout(DType type) {
  return layouts[static_cast<std::size_t>(type)];
}

}  // namespace

std::int64_t block_values(DType type) {
  return layout(type).values;
}
std::int64_t block_bytes(DType type) {
  return layout(type).bytes;
}
const char* name(DType type) {
  return layout(type).name;
}

std::int64_t row_bytes(DType type, std::int64_t columns) {
  if (columns % block_values(type) != 0)
    throw Error(ErrorKind::unsupported, "a row of " + std::to_string(columns) + " values is not a whole number of " +
                                            name(type) + " blocks of " + std::to_string(block_values(type)));
  return columns / block_values(type) * block_bytes(type);
}

}  // namespace lectern::kernels

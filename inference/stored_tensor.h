// One tensor of a model, wherever its file keeps it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/tensor.h"

namespace lectern::inference {

/// Its bytes are known to lie inside a mapping that outlives it; they may stand at any address.
struct StoredTensor {
  std::string name;
  std::string file;                    // for messages
  std::vector<std::int64_t> shape;     // slowest axis first, last axis contiguous
  std::string type_name;               // "Q4_K", "F8_E4M3"
  std::optional<kernels::DType> type;  // set if this build can compute with it
  const std::byte* data = nullptr;
  std::int64_t size_bytes = 0;

  std::int64_t elements() const {
    std::int64_t product = 1;
    for (const std::int64_t extent : shape) product *= extent;
    return product;
  }
};

}  // namespace lectern::inference

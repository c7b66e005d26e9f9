// Working memory of the CPU operations, kept by a stream and grown on demand: after a first pass nothing is allocated.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/memory.h"

namespace lectern::kernels::cpu {

/// Who holds a piece of shared scratch: operations that call each other must not share one.
enum class ScratchUse { activations, attention, experts_input, experts_hidden, count };

class Scratch {
 public:
  explicit Scratch(int workers)
      : of_worker_(static_cast<std::size_t>(workers)), shared_(static_cast<std::size_t>(ScratchUse::count)) {}

  /// Uninitialised; valid until the next call with the same argument. Each worker may ask for its own at any time.
  std::byte* of_worker(int worker, std::int64_t size_bytes) {
    return grow(of_worker_[static_cast<std::size_t>(worker)], size_bytes);
  }
  /// Only outside parallel loops.
  std::byte* shared(ScratchUse use, std::int64_t size_bytes) {
    return grow(shared_[static_cast<std::size_t>(use)], size_bytes);
  }

 private:
  static std::byte* grow(Buffer& buffer, std::int64_t size_bytes) {
    if (buffer.size_bytes() < size_bytes) {
      buffer = Buffer();
      buffer = Buffer(size_bytes + size_bytes / 4);
    }
    return buffer.data();
  }

  std::vector<Buffer> of_worker_;
  std::vector<Buffer> shared_;
};

}  // namespace lectern::kernels::cpu

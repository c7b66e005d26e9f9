// Writes a GGUF model of a true shape with random weights: for benchmarks and tests where no real model fits.
#pragma once

#include <cstdint>
#include <filesystem>

#include "inference/synthetic_shape.h"
#include "inference/tokenizer.h"
#include "kernels/tensor.h"

namespace lectern::inference {

struct SynthesisRequest {
  SyntheticShape shape;
  kernels::DType type = kernels::DType::q8_0;  // of the matrices: f32, bf16, q8_0 or q4_k
  std::uint64_t seed = 0;
  ModelTokenizer tokenizer;  // one name for each row of the embedding
  int threads = 0;           // 0: one per physical core
};

struct SynthesisResult {
  std::int64_t parameters = 0;
  std::int64_t size_bytes = 0;
};

/// Writes `path`.partial and renames it to `path` when it is whole; an older file of that name is replaced. Holds a few
/// MiB. The bytes depend on shape, type, seed and tokenizer alone. Throws Error{io} naming the path; then nothing is
/// left behind.
SynthesisResult synthesize_model(const SynthesisRequest& request, const std::filesystem::path& path);

/// Throws Error{io} if the disk of `path` has less than `size_bytes` left.
void require_disk_space(const std::filesystem::path& path, std::int64_t size_bytes);

}  // namespace lectern::inference

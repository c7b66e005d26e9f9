// How many bytes a model will take, before any of it is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "inference/model_config.h"
#include "inference/weights.h"
#include "kernels/tensor.h"

namespace lectern::inference {

struct MemoryPlan {
  std::int64_t weights_mapped = 0;  // bytes of the file that are read in place
  std::int64_t weights_owned = 0;   // packed rows, rows put in order, experts joined, small tensors widened
  std::int64_t kv = 0;              // pages of 256 tokens of the attention layers, for the whole window
  std::int64_t delta_state = 0;     // f32 [Hv, Dk, Dv] of every DeltaNet layer, one sequence
  std::int64_t conv_state = 0;      // f32 [K - 1, C] of every DeltaNet layer, one sequence
  std::int64_t activations =
      0;  // of one chunk: three residuals, the widest mixer and feed-forward network, 8 rows of logits
  std::int64_t drafting = 0;  // work memory of the draft layer, rows of drafts to take back; its KV is in `kv`
  std::int64_t window = 0;    // tokens
  std::int64_t chunk = 0;     // tokens computed together
  std::int64_t total() const {
    return weights_mapped + weights_owned + kv + delta_state + conv_state + activations + drafting;
  }
  /// "131.0 MiB for a window of 8192 tokens: weights 94.0 MiB, KV 23.0 MiB, ...": one line for people.
  std::string line() const;
};

/// Type of kept keys and values: bf16 for quantized models, else f32: rounded, they move a router's
/// choice now and then, which is more than 16-bit weights may differ by.
kernels::DType state_type(const ModelConfig& config);

/// `weights`: what check_weights found. `window` and `chunk` in tokens, >= 1; `drafts` at a time. Throws
/// Error{bad_request} if the window exceeds what the sizes can hold.
MemoryPlan plan_memory(const WeightBytes& weights, const ModelConfig& config, std::int64_t window, std::int64_t chunk,
                       std::int64_t drafts = 0);

/// Bytes this process may still take: the smallest of free physical memory (page cache counts as free) and what the
/// limits of its control groups (versions 1 and 2) leave. Empty if the system does not say. `root` is where /proc and
/// /sys stand.
std::optional<std::int64_t> available_memory(const std::filesystem::path& root = "/");

/// Error{out_of_memory} in one line (what is needed, what there is, the window that would fit) if the plan does not
/// fit. Mapped weights must fit too: read from disk again for every token they would be useless.
void require_fit(const std::string& model, const MemoryPlan& plan, std::int64_t available);

}  // namespace lectern::inference

// The entries of the benchmark, one function for each family of operations.
#pragma once

#include "tests/bench/cuda/bench.h"

namespace lectern::bench {

void add_norm_entries(Bench& bench, std::vector<Entry>& entries);
void add_elementwise_entries(Bench& bench, std::vector<Entry>& entries);
void add_sampling_entries(Bench& bench, std::vector<Entry>& entries);
void add_product_entries(Bench& bench, std::vector<Entry>& entries);
void add_expert_entries(Bench& bench, std::vector<Entry>& entries);
void add_delta_entries(Bench& bench, std::vector<Entry>& entries);
void add_attention_entries(Bench& bench, std::vector<Entry>& entries);

/// "2048 x 512".
inline std::string times(std::int64_t a, std::int64_t b) {
  return std::to_string(a) + " x " + std::to_string(b);
}
inline double d(std::int64_t count) {
  return static_cast<double>(count);
}

}  // namespace lectern::bench

// The largest sizes that a model file may state. Products of a few of them fit into 64 bits.
#pragma once

#include <cstdint>

namespace lectern::inference {

inline constexpr std::int64_t most_layers = 1024;
inline constexpr std::int64_t most_hidden = 1 << 18;
inline constexpr std::int64_t most_heads = 1 << 12;
inline constexpr std::int64_t most_head_dim = 1 << 12;
inline constexpr std::int64_t most_vocabulary = 1 << 24;
inline constexpr std::int64_t most_experts = 1 << 14;
inline constexpr std::int64_t most_context = std::int64_t{1} << 32;

}  // namespace lectern::inference

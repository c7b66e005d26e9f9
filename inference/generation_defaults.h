// How the makers of a model recommend to sample from it (model.md 6.3).
#pragma once

#include <string_view>

#include "inference/gguf_file.h"
#include "inference/types.h"

namespace lectern::inference {

/// What tells the variants of a family apart, all of it from the chat template.
struct ChatVariant {
  bool opens_thinking = false;  // the prompt ends inside <think>
  bool calls_in_xml = false;    // tool calls as <function=NAME>
};

/// Recommended for the variants of Qwen3-Next (Instruct, Thinking, Coder-Next) and Qwen3.5 and later; greedy for every
/// other architecture (general.architecture).
SamplingOptions recommended_sampling(std::string_view architecture, const ChatVariant& variant);

/// The same with what the file itself recommends (general.sampling.*) in its place. Values that are impossible are left
/// out.
SamplingOptions recommended_sampling(const GgufFile& file, const ChatVariant& variant);

}  // namespace lectern::inference

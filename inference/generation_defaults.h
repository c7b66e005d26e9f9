// How the makers of a model recommend to sample from it (model.md 6.3).
#pragma once

#include <string_view>

#include "inference/model_source.h"
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

/// The same with what the model's files recommend (general.sampling.*; generation_config.json of a folder) in its
/// place. Values that are impossible are left out. Error{bad_file} for a generation_config.json that is no JSON object.
SamplingOptions recommended_sampling(const ModelSource& source, const ModelConfig& config, const ChatVariant& variant);

}  // namespace lectern::inference

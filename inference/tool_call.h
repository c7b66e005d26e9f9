// Tool calls as a model writes them, and back.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "inference/types.h"

namespace lectern::inference {

/// `body`: what stands between <tool_call> and </tool_call>. Both forms (model.md 6.2): JSON with a name and arguments,
/// or <function=NAME> with <parameter=NAME> values, each without the one line break at either end. `tools_json`: the
/// signatures given to the model; a value of the second form whose type is no string is read as JSON, and stays text if
/// it is none. Never throws: what cannot be read has a `problem`, and `source` is always the body.
ToolCall parse_tool_call(std::string_view body, std::string_view tools_json);

/// The JSON array that chat templates expect of an assistant's message: [{"type": "function", "function": {"name": …,
/// "arguments": {…}}}]. Calls with a problem are left out; empty if none is left.
std::string tool_calls_json(std::span<const ToolCall> calls);

}  // namespace lectern::inference

// The object that `lectern-cli ask --json` prints (architecture.md, "Contracts").
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "app/records.h"

namespace lectern::app {

/// Of a finished answer. `turns_left_out` is there only if it is not 0.
nlohmann::ordered_json answer_json(const Message& answer);
/// JSON on one line; invalid UTF-8 is replaced.
std::string one_line(const nlohmann::ordered_json& json);

}  // namespace lectern::app

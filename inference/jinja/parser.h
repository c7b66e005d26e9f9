// Reads a template into a tree.
#pragma once

#include <string_view>

#include "inference/jinja/ast.h"

namespace lectern::inference::jinja {

/// Throws Failure{syntax} with the line for what is not Jinja and for what is outside our subset: template inheritance,
/// include and import, autoescape, * and ** in calls, unknown filters and tests.
Block parse(std::string_view source);

}  // namespace lectern::inference::jinja

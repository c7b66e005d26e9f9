// The filters and tests of templates, by name.
#pragma once

#include <string_view>

#include "inference/jinja/value.h"

namespace lectern::inference::jinja {

bool is_filter(std::string_view name);
bool is_test(std::string_view name);

/// value | name(arguments). `name` is a filter.
Value apply_filter(std::string_view name, Evaluator& evaluator, const Value& value, Arguments& arguments);
/// value is name(arguments). `name` is a test.
bool apply_test(std::string_view name, Evaluator& evaluator, const Value& value, const Arguments& arguments);

}  // namespace lectern::inference::jinja

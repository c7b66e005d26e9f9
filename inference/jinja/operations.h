// Python's operators on values.
#pragma once

#include <optional>
#include <string_view>

#include "inference/jinja/value.h"

namespace lectern::inference::jinja {

/// a + b and so on: + - * / // % **. Throws Failure{broken} where Python raises, and for whole numbers beyond 64 bits.
Value arithmetic(std::string_view symbol, const Value& a, const Value& b, Work& work);
/// item in container.
bool contains(const Value& container, const Value& item, Work& work);

/// value.name: a method, an entry, or undefined.
Value attribute_of(const Value& value, const std::string& name, Work& work);
/// value[key]: an item, an entry, or undefined.
Value item_of(const Value& value, const Value& key, Work& work);
/// value[start:stop:step], each of which may be none.
Value slice_of(const Value& value, const Value& start, const Value& stop, const Value& step, Work& work);

}  // namespace lectern::inference::jinja

// The methods of Python's str, list and dict, and what `loop` offers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "inference/jinja/value.h"

namespace lectern::inference::jinja {

/// value.name as a method bound to the value, or nothing if values of this type have no such method.
std::optional<Value> method_of(const Value& value, const std::string& name);
Value loop_attribute(const std::shared_ptr<Loop>& loop, const std::string& name, Work& work);

/// Characters `first` up to `end` of a text.
std::string characters(const std::string& text, std::int64_t first, std::int64_t end, Work& work);
/// Charges for the worst case of looking for `part` in `text`.
void charge_search(const std::string& text, const std::string& part, Work& work);
/// str.strip: white space, or any of `characters`, at the sides asked for.
enum class Side { left, right, both };
std::string stripped(const std::string& text, const std::optional<std::string>& characters, Side side, Work& work);
std::string upper(const std::string& text);
std::string lower(const std::string& text);
std::string capitalized(const std::string& text);
std::string titled(const std::string& text);
std::string replaced(const std::string& text, const std::string& from, const std::string& to, std::int64_t most,
                     Work& work);
std::vector<std::string> lines_of(const std::string& text, bool keep_ends);

}  // namespace lectern::inference::jinja

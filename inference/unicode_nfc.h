// Unicode normalisation form C.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lectern::inference {

/// NFC of `text` (valid UTF-8), or nothing when the text is NFC already for lack of characters that could change.
std::optional<std::string> to_nfc(std::string_view text);

}  // namespace lectern::inference

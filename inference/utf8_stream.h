// Whole UTF-8 characters out of a stream of bytes.
#pragma once

#include <string>
#include <string_view>

namespace lectern::inference {

/// Tokens end in the middle of characters: holds such a beginning back until the rest arrives.
class Utf8Stream {
 public:
  /// Text that is complete now; invalid bytes become U+FFFD.
  std::string feed(std::string_view bytes);
  /// The end: a beginning without its rest becomes U+FFFD.
  std::string finish();

 private:
  std::string held_;  // the beginning of a character, at most 3 bytes
};

}  // namespace lectern::inference

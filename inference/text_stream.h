// The text of an answer as it may be shown: whole characters, nothing of a stop string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "inference/utf8_stream.h"

namespace lectern::inference {

/// Ends an answer before the stop string that is complete first. Text that may be the beginning of a stop string is
/// withheld until it is known not to be. The text shown in all does not depend on how the bytes are cut into pieces.
class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stop = {});

  /// Text that may be shown now. After a stop string was found: always empty.
  std::string feed(std::string_view bytes);
  /// The end of the answer: what was withheld and is no stop string after all.
  std::string finish();
  /// A stop string was found; generation may end.
  bool stopped() const { return stopped_; }

 private:
  std::string release();

  std::vector<std::string> stop_;
  Utf8Stream characters_;
  std::string held_;  // not shown yet
  bool stopped_ = false;
};

}  // namespace lectern::inference

#include "inference/utf8_stream.h"

#include <algorithm>
#include <cstdint>

#include "inference/utf8.h"

namespace lectern::inference {

std::string Utf8Stream::feed(std::string_view bytes) {
  held_.append(bytes);
  // Only the last three bytes can be the beginning of a character that is not complete.
  auto complete = static_cast<std::int64_t>(held_.size());
  for (std::int64_t at = std::max<std::int64_t>(0, complete - 3); at < complete; ++at) {
    if (code_point_at(held_, at).cut_short) {
      complete = at;
      break;
    }
  }
  std::string text = to_valid_utf8(std::string_view(held_).substr(0, static_cast<std::size_t>(complete)));
  held_.erase(0, static_cast<std::size_t>(complete));
  return text;
}

std::string Utf8Stream::finish() {
  std::string text = to_valid_utf8(held_);
  held_.clear();
  return text;
}

}  // namespace lectern::inference

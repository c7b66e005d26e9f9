#include "inference/text_stream.h"

#include <algorithm>
#include <utility>

namespace lectern::inference {

TextStream::TextStream(std::vector<std::string> stop) : stop_(std::move(stop)) {
  std::erase_if(stop_, [](const std::string& text) { return text.empty(); });
}

std::string TextStream::feed(std::string_view bytes) {
  if (stopped_) return {};
  held_ += characters_.feed(bytes);
  return release();
}

std::string TextStream::finish() {
  if (stopped_) return {};
  held_ += characters_.finish();
  std::string text = release();
  if (!stopped_) text += std::exchange(held_, {});
  return text;
}

std::string TextStream::release() {
  // The one that is complete first, so that the text does not depend on how it was cut into pieces.
  std::size_t begin = std::string::npos, end = std::string::npos;
  for (const std::string& stop : stop_) {
    const std::size_t found = held_.find(stop);
    if (found == std::string::npos || found + stop.size() > end) continue;
    begin = found + stop.size() < end ? found : std::min(begin, found);
    end = found + stop.size();
  }
  if (begin != std::string::npos) {
    stopped_ = true;
    held_.resize(begin);
    return std::exchange(held_, {});
  }
  // Keep the longest end that some stop string begins with.
  std::size_t keep = 0;
  for (const std::string& stop : stop_)
    for (std::size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length)
      if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) keep = length;
  std::string text = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return text;
}

}  // namespace lectern::inference

// utf8proc decomposes and composes. Its own ordering of combining marks is an insertion sort, quadratic in a run of
// marks that a hostile document may make as long as it likes, so the marks are ordered here, by a stable sort of each
// run.
#include "inference/unicode_nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "inference/utf8.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

utf8proc_propval_t combining_class(utf8proc_int32_t code_point) {
  return utf8proc_get_property(code_point)->combining_class;
}

/// Nothing below U+0300 combines, and nothing below U+0300 is changed by NFC.
bool may_change(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0xCC; });
}

}  // namespace

std::optional<std::string> to_nfc(std::string_view text) {
  if (!may_change(text)) return std::nullopt;

  std::vector<utf8proc_int32_t> points;
  points.reserve(text.size() + text.size() / 4 + 4);
  const auto size = static_cast<std::int64_t>(text.size());
  for (std::int64_t at = 0; at < size;) {
    const CodePoint point = code_point_at(text, at);
    at += point.size;
    utf8proc_int32_t parts[32];
    int boundary = 0;
    const auto value = static_cast<utf8proc_int32_t>(point.value);
    const utf8proc_ssize_t count = utf8proc_decompose_char(value, parts, 32, UTF8PROC_DECOMPOSE, &boundary);
    if (count < 0 || count > 32)
      points.push_back(value);
    else
      points.insert(points.end(), parts, parts + count);
  }

  for (auto run = points.begin(); run != points.end();) {
    if (combining_class(*run) == 0) {
      ++run;
      continue;
    }
    const auto end = std::find_if(run, points.end(), [](auto point) { return combining_class(point) == 0; });
    std::stable_sort(run, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    run = end;
  }

  const utf8proc_ssize_t length =
      utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (length < 0) throw Error(ErrorKind::bad_request, "tokenizer: the text cannot be normalised to NFC");
  std::string normal;
  normal.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < length; ++i)
    append_utf8(normal, static_cast<char32_t>(points[static_cast<std::size_t>(i)]));
  return normal;
}

}  // namespace lectern::inference

// A version byte, the number of words, then for each word six signed numbers as differences to the word before: the gap
// since its end, its length, the shift of its left edge from the last right edge, of its top from the last top, its
// width and its height. Words of a line differ little, so most numbers take one or two bytes (seven bits each, lowest
// first, sign folded into the lowest bit).
#include "app/page_words.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>

namespace lectern::app {
namespace {

constexpr char version = 1;
constexpr double units_per_point = 100;

void put(std::string& bytes, std::int64_t value) {
  std::uint64_t folded = (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
  while (folded >= 0x80) {
    bytes += static_cast<char>(static_cast<unsigned char>(folded | 0x80));
    folded >>= 7;
  }
  bytes += static_cast<char>(folded);
}

std::int64_t take(std::string_view& bytes) {
  std::uint64_t folded = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (bytes.empty()) break;
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    folded |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) {
      const auto value = static_cast<std::int64_t>((folded >> 1) ^ (~(folded & 1) + 1));
      // Nothing that pack_words writes is larger; sums of such numbers cannot overflow.
      if (value < -(std::int64_t{1} << 48) || value > (std::int64_t{1} << 48)) break;
      return value;
    }
  }
  throw std::invalid_argument("the words of a page are damaged");
}

std::int64_t units(double points) {
  if (!std::isfinite(points)) return 0;
  return std::llround(std::clamp(points, -1e9, 1e9) * units_per_point);
}

double points(std::int64_t value) {
  return static_cast<double>(value) / units_per_point;
}

}  // namespace

std::string pack_words(const std::vector<documents::Word>& words) {
  std::string bytes(1, version);
  put(bytes, static_cast<std::int64_t>(words.size()));
  std::int64_t end = 0, right = 0, top = 0;
  for (const documents::Word& word : words) {
    const std::int64_t x0 = units(word.box.x0), y0 = units(word.box.y0), x1 = units(word.box.x1),
                       y1 = units(word.box.y1);
    for (const std::int64_t value : {word.start - end, word.end - word.start, x0 - right, y0 - top, x1 - x0, y1 - y0})
      put(bytes, value);
    end = word.end;
    right = x1;
    top = y0;
  }
  return bytes;
}

std::vector<documents::Word> unpack_words(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != version) throw std::invalid_argument("the words of a page are damaged");
  bytes.remove_prefix(1);
  const std::int64_t count = take(bytes);
  if (count < 0 || count > static_cast<std::int64_t>(bytes.size()) / 6)
    throw std::invalid_argument("the words of a page are damaged");
  std::vector<documents::Word> words(static_cast<std::size_t>(count));
  std::int64_t end = 0, right = 0, top = 0;
  for (documents::Word& word : words) {
    word.start = end + take(bytes);
    word.end = end = word.start + take(bytes);
    const std::int64_t x0 = right + take(bytes);
    top += take(bytes);
    right = x0 + take(bytes);
    word.box = {points(x0), points(top), points(right), points(top + take(bytes))};
  }
  if (!bytes.empty()) throw std::invalid_argument("the words of a page are damaged");
  return words;
}

}  // namespace lectern::app

// Both lists hold the same characters, in runs that are in the same order within a line and in another order from block
// to block. So the alignment follows one run within a line of the text as long as it agrees; at a line's start, or
// where the run ends, it jumps to the unused place where the following characters agree longest (found by the positions
// of the word's first characters). A page has a few thousand characters: the bounded look-ahead keeps the whole thing
// linear in practice.
#include "documents/word_boxes.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

constexpr std::size_t look_ahead = 48;        // characters compared at a candidate
constexpr std::size_t most_candidates = 400;  // of one word

struct Piece {
  std::size_t start = 0, end = 0;  // code points of the text
  std::size_t dense = 0;           // index of its first character among those that are no white space
  std::size_t size = 0;
  bool starts_line = false;
};

Box joined(const Box& a, const Box& b) {
  return {std::min(a.x0, b.x0), std::min(a.y0, b.y0), std::max(a.x1, b.x1), std::max(a.y1, b.y1)};
}

std::vector<Piece> pieces_of(const std::vector<char32_t>& c) {
  std::vector<Piece> pieces;
  std::size_t dense = 0;
  bool starts_line = true;
  for (std::size_t i = 0; i < c.size();) {
    if (is_space(c[i])) {
      starts_line = starts_line || c[i] == '\n';
      ++i;
      continue;
    }
    std::size_t end = i + 1;
    if (!is_cjk(c[i])) {
      while (end < c.size() && !is_space(c[end]) && !is_cjk(c[end])) ++end;
    }
    pieces.push_back({i, end, dense, end - i, starts_line});
    starts_line = false;
    dense += end - i;
    i = end;
  }
  return pieces;
}

std::uint64_t key(const char32_t* c, std::size_t count) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (std::size_t i = 0; i < count; ++i) hash = (hash ^ c[i]) * 0x100000001B3ULL;
  return hash;
}

}  // namespace

std::vector<Word> align_words(std::string_view text, const std::vector<PlacedCharacter>& placed) {
  const std::vector<char32_t> c = decode_utf8(text);
  const std::vector<Piece> pieces = pieces_of(c);
  std::vector<char32_t> wanted;
  for (char32_t character : c) {
    if (!is_space(character)) wanted.push_back(character);
  }
  std::vector<char32_t> there;
  there.reserve(placed.size());
  for (const PlacedCharacter& p : placed) there.push_back(p.character);

  // Where runs of one, two and three characters begin.
  std::unordered_map<std::uint64_t, std::vector<std::size_t>> places;
  places.reserve(there.size() * 2);
  for (std::size_t i = 0; i < there.size(); ++i) {
    for (std::size_t n = 1; n <= 3 && i + n <= there.size(); ++n) places[key(&there[i], n)].push_back(i);
  }

  std::vector<char> used(there.size(), 0);
  const auto agreement = [&](std::size_t want, std::size_t at) {
    std::size_t n = 0;
    while (n < look_ahead && want + n < wanted.size() && at + n < there.size() && used[at + n] == 0 &&
           wanted[want + n] == there[at + n])
      ++n;
    return n;
  };

  std::vector<Word> words;
  std::size_t next = 0;
  for (const Piece& piece : pieces) {
    std::size_t best_at = next;
    std::size_t best = next < there.size() ? agreement(piece.dense, next) : 0;
    // At a line's start a run that goes on for long is trusted; otherwise another place may be the right one.
    const std::size_t enough = piece.starts_line ? std::min(look_ahead, wanted.size() - piece.dense) : piece.size;
    if (best < enough) {
      const std::size_t n = std::min<std::size_t>(3, piece.size);
      const auto candidates = places.find(key(&wanted[piece.dense], n));
      if (candidates != places.end()) {
        // The nearest first, starting behind the last word.
        const std::vector<std::size_t>& list = candidates->second;
        const auto from = static_cast<std::size_t>(std::lower_bound(list.begin(), list.end(), next) - list.begin());
        for (std::size_t k = 0; k < std::min(list.size(), most_candidates); ++k) {
          const std::size_t at = list[(from + k) % list.size()];
          const std::size_t agreed = agreement(piece.dense, at);
          if (agreed > best) {
            best = agreed;
            best_at = at;
          }
        }
      }
    }
    if (best < piece.size) continue;
    Box box = placed[best_at].box;
    for (std::size_t i = 0; i < piece.size; ++i) {
      used[best_at + i] = 1;
      box = joined(box, placed[best_at + i].box);
    }
    next = best_at + piece.size;
    words.push_back({static_cast<std::int64_t>(piece.start), static_cast<std::int64_t>(piece.end), box});
  }
  return words;
}

}  // namespace lectern::documents

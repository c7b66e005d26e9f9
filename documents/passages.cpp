// Greedy from the top: while more than a passage is left, cut at the best border near the target length. Borders are
// ranked (empty line, line end after a sentence, sentence, line end, space), and of equal ones the nearest to the
// target wins.
#include "documents/passages.h"

#include <cstdlib>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

bool ends_sentence(char32_t c) {
  return c == '.' || c == '!' || c == '?' || c == ':' || c == ';' || c == U'。' || c == U'！' || c == U'？';
}

/// How good a cut before character `i` is; 0: none.
int border_rank(const std::vector<char32_t>& c, std::size_t i) {
  const char32_t before = c[i - 1];
  if (before == '\n') {
    if (i >= 2 && c[i - 2] == '\n') return 5;
    return i >= 2 && ends_sentence(c[i - 2]) ? 4 : 2;
  }
  if (before == U'。' || before == U'！' || before == U'？') return 3;
  if (!is_space(before)) return 0;
  return i >= 2 && ends_sentence(c[i - 2]) ? 3 : 1;
}

}  // namespace

std::vector<Passage> split_passages(const Page& page, std::int64_t target) {
  const std::vector<char32_t> c = decode_utf8(page.text);
  std::vector<Passage> passages;
  const auto wanted = static_cast<std::size_t>(target);
  std::size_t start = 0;
  for (;;) {
    while (start < c.size() && is_space(c[start])) ++start;
    if (start >= c.size()) return passages;
    std::size_t end = c.size();
    if (end - start > wanted + wanted / 4) {
      end = start + wanted;
      int best = 0;
      std::size_t distance = 0;
      for (std::size_t i = start + wanted * 6 / 10; i < start + wanted + wanted / 4; ++i) {
        const int rank = border_rank(c, i);
        const std::size_t away = i > start + wanted ? i - start - wanted : start + wanted - i;
        if (rank > best || (rank == best && rank > 0 && away < distance)) {
          best = rank;
          distance = away;
          end = i;
        }
      }
    }
    std::size_t last = end;
    while (last > start && is_space(c[last - 1])) --last;
    passages.push_back({page.number, static_cast<std::int64_t>(start), static_cast<std::int64_t>(last)});
    start = end;
  }
}

}  // namespace lectern::documents

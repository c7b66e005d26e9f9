// The pages are folded without white space and dashes and joined into one string, so that line breaks, hyphenation and
// page breaks vanish, and a quote is one substring search (memmem; 2,000 pages of 60 lines: 1 ms for a quote on the
// last page; an absent quote 0.5 ms, but 440 ms where every line begins like it, all in the page-break step). A hit
// counts only if the dashes agree too (a hyphen at a line's end agrees with both spellings) and if it begins and ends
// at word borders. What the search misses is tried once more across each page break with the running foot and head
// between the two parts left out; both parts must then stand exactly.
#include "documents/quote_match.h"

#include <cstring>

#include <algorithm>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

constexpr std::int64_t longest_gap = 2000;  // folded bytes that an ellipsis may stand for
constexpr std::int64_t longest_foot = 400, longest_head = 600;
constexpr std::int64_t shortest_part = 12;  // bytes on either side of a page break
constexpr FoldOptions match_folding{FoldCase::lower, FoldSpace::drop};

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

/// Folds a quote and takes off what is not a word at either end: the period that a style puts inside the marks,
/// emphasis.
FoldedText fold_piece(std::string_view piece) {
  FoldedText folded = fold_with_map(piece, match_folding);
  const std::vector<char32_t> characters = decode_utf8(folded.text);
  std::size_t first = 0, last = characters.size();
  while (first < last && !is_word_character(characters[first])) ++first;
  while (last > first && !is_word_character(characters[last - 1])) --last;
  FoldedText trimmed;
  for (std::size_t i = first; i < last; ++i) {
    append_utf8(trimmed.text, characters[i]);
    trimmed.characters.push_back(folded.characters[i]);
  }
  return trimmed;
}

/// The pieces between ellipses: "…", "..." and longer, ". . .", with or without brackets.
std::vector<std::string> split_at_ellipses(std::string_view quote) {
  const std::vector<char32_t> c = decode_utf8(quote);
  std::vector<std::string> pieces(1);
  for (std::size_t i = 0; i < c.size();) {
    std::size_t dots = 0, end = i;
    while (end < c.size() && (c[end] == '.' || c[end] == 0x2026 || (dots > 0 && c[end] == ' '))) {
      dots += c[end] == 0x2026 ? 3 : (c[end] == '.' ? 1 : 0);
      ++end;
    }
    if (dots >= 3) {
      std::string& before = pieces.back();
      if (!before.empty() && (before.back() == '[' || before.back() == '(')) before.pop_back();
      if (end < c.size() && (c[end] == ']' || c[end] == ')')) ++end;
      pieces.emplace_back();
      i = end;
    } else {
      append_utf8(pieces.back(), c[i]);
      ++i;
    }
  }
  return pieces;
}

/// Characters from the first word character to the last, white space folded.
std::int64_t quoted_length(std::string_view quote) {
  const std::vector<char32_t> c = decode_utf8(fold(quote));
  const auto first = std::find_if(c.begin(), c.end(), is_word_character);
  const auto last = std::find_if(c.rbegin(), std::make_reverse_iterator(first), is_word_character);
  return last.base() - first;
}

std::string without_emphasis(std::string_view quote) {
  std::string out;
  for (char c : quote) {
    if (c != '*' && c != '`') out += c;
  }
  return out;
}

}  // namespace

QuoteIndex::QuoteIndex(const Document& document) {
  bool hyphen_at_end = false;
  for (const Page& page : document.pages) {
    FoldedText folded = fold_with_map(page.text, match_folding);
    if (folded.characters.empty()) continue;
    if (hyphen_at_end) folded.characters.front().joint = Joint::line_end_dash;
    std::string_view text = page.text;
    text = text.substr(0, text.find_last_not_of(" \t\r\n\f") + 1);
    hyphen_at_end = text.ends_with("-") || text.ends_with("\u00AD") || text.ends_with("\u2010");
    pages_.push_back(
        {page.number, static_cast<std::int64_t>(text_.size()), static_cast<std::int64_t>(characters_.size())});
    text_ += folded.text;
    characters_.insert(characters_.end(), folded.characters.begin(), folded.characters.end());
  }
}

std::int64_t QuoteIndex::page_index(std::int64_t byte) const {
  const auto after =
      std::upper_bound(pages_.begin(), pages_.end(), byte,
                       [](std::int64_t place, const FoldedPage& page) { return place < page.byte_begin; });
  return after - pages_.begin() - 1;
}

std::int64_t QuoteIndex::character_index(std::int64_t byte) const {
  const FoldedPage& page = pages_[static_cast<std::size_t>(page_index(byte))];
  const std::string_view before = std::string_view(text_).substr(static_cast<std::size_t>(page.byte_begin),
                                                                 static_cast<std::size_t>(byte - page.byte_begin));
  return page.character_begin + code_points(before);
}

bool QuoteIndex::joints_agree(const FoldedText& piece, std::int64_t first, std::int64_t count,
                              std::int64_t at_byte) const {
  const std::int64_t at = character_index(at_byte);
  for (std::int64_t i = 0; i < count; ++i) {
    if (i == 0) continue;  // what stands before the quote is not part of it
    const Joint quoted = piece.characters[static_cast<std::size_t>(first + i)].joint;
    const Joint printed = characters_[static_cast<std::size_t>(at + i)].joint;
    const bool same = (quoted == Joint::none) == (printed == Joint::none);
    if (!same && quoted != Joint::line_end_dash && printed != Joint::line_end_dash) return false;
  }
  return true;
}

bool QuoteIndex::is_border(std::int64_t byte) const {
  if (byte <= 0 || byte >= static_cast<std::int64_t>(text_.size())) return true;
  const std::int64_t page = page_index(byte);
  if (pages_[static_cast<std::size_t>(page)].byte_begin == byte) return true;
  std::size_t before = static_cast<std::size_t>(byte) - 1;
  while (before > 0 && is_continuation(text_[before])) --before;
  const std::string_view text(text_);
  const char32_t left = decode_utf8(text.substr(before, static_cast<std::size_t>(byte) - before)).front();
  std::size_t after = static_cast<std::size_t>(byte) + 1;
  while (after < text_.size() && is_continuation(text_[after])) ++after;
  const char32_t right =
      decode_utf8(text.substr(static_cast<std::size_t>(byte), after - static_cast<std::size_t>(byte))).front();
  if (!is_word_character(left) || !is_word_character(right) || is_cjk(left) || is_cjk(right)) return true;
  const std::int64_t index = character_index(byte);
  const FoldedCharacter& l = characters_[static_cast<std::size_t>(index - 1)];
  const FoldedCharacter& r = characters_[static_cast<std::size_t>(index)];
  return l.start != r.start && l.start + l.length != r.start;
}

std::optional<QuoteIndex::Span> QuoteIndex::find_piece(const FoldedText& piece, std::int64_t from,
                                                       std::int64_t to) const {
  const auto size = static_cast<std::int64_t>(piece.text.size());
  const std::int64_t stop = std::min(to + size - 1, static_cast<std::int64_t>(text_.size()));
  std::int64_t place = from;
  while (place + size <= stop) {
    const void* hit =
        memmem(text_.data() + place, static_cast<std::size_t>(stop - place), piece.text.data(), piece.text.size());
    if (hit == nullptr) return std::nullopt;
    const std::int64_t at = static_cast<const char*>(hit) - text_.data();
    if (is_border(at) && is_border(at + size) &&
        joints_agree(piece, 0, static_cast<std::int64_t>(piece.characters.size()), at)) {
      return Span{at, at + size, 0, 0};
    }
    place = at + 1;
  }
  return std::nullopt;
}

std::optional<QuoteIndex::Span> QuoteIndex::find_over_page_break(const FoldedText& piece, std::int64_t from,
                                                                 std::int64_t to) const {
  const auto size = static_cast<std::int64_t>(piece.text.size());
  if (size < 2 * shortest_part || pages_.size() < 2) return std::nullopt;
  std::size_t seed = static_cast<std::size_t>(shortest_part);
  while (is_continuation(piece.text[seed])) --seed;
  const auto first_page = static_cast<std::size_t>(page_index(from));
  for (std::size_t p = first_page; p + 1 < pages_.size() && pages_[p].byte_begin < to; ++p) {
    const std::int64_t page_end = pages_[p + 1].byte_begin;
    const std::int64_t next_end =
        p + 2 < pages_.size() ? pages_[p + 2].byte_begin : static_cast<std::int64_t>(text_.size());
    std::int64_t place = std::max({from, pages_[p].byte_begin, page_end - size - longest_foot});
    while (place < page_end) {
      const void* hit =
          memmem(text_.data() + place, static_cast<std::size_t>(page_end - place), piece.text.data(), seed);
      if (hit == nullptr) break;
      const std::int64_t at = static_cast<const char*>(hit) - text_.data();
      place = at + 1;
      std::int64_t common = 0;
      while (common < size && at + common < page_end &&
             text_[static_cast<std::size_t>(at + common)] == piece.text[static_cast<std::size_t>(common)]) {
        ++common;
      }
      // The foot may begin with the very letters that the quote goes on with: a few shorter cuts are tried too.
      for (std::int64_t cut = common; cut >= shortest_part && cut + 4 > common; --cut) {
        if (size - cut < shortest_part || is_continuation(piece.text[static_cast<std::size_t>(cut)])) continue;
        if (page_end - (at + cut) > longest_foot || !is_border(at) || !is_border(at + cut)) continue;
        const std::int64_t head_end = std::min(page_end + longest_head + size - cut, next_end);
        const void* rest = memmem(text_.data() + page_end, static_cast<std::size_t>(head_end - page_end),
                                  piece.text.data() + cut, static_cast<std::size_t>(size - cut));
        if (rest == nullptr) continue;
        const std::int64_t rest_at = static_cast<const char*>(rest) - text_.data();
        const std::int64_t cut_characters =
            code_points(std::string_view(piece.text).substr(0, static_cast<std::size_t>(cut)));
        const std::int64_t rest_characters = static_cast<std::int64_t>(piece.characters.size()) - cut_characters;
        if (is_border(rest_at) && is_border(rest_at + size - cut) && joints_agree(piece, 0, cut_characters, at) &&
            joints_agree(piece, cut_characters, rest_characters, rest_at)) {
          return Span{at, rest_at + size - cut, at + cut, rest_at};
        }
      }
    }
  }
  return std::nullopt;
}

std::optional<QuoteIndex::Span> QuoteIndex::find_pieces(const std::vector<FoldedText>& pieces, std::int64_t from,
                                                        std::int64_t to) const {
  if (pieces.size() == 1) {
    std::optional<Span> whole = find_piece(pieces.front(), from, to);
    return whole ? whole : find_over_page_break(pieces.front(), from, to);
  }
  for (int attempt = 0; attempt < 1000; ++attempt) {
    std::optional<Span> first = find_piece(pieces.front(), from, to);
    if (!first) return std::nullopt;
    Span span = *first;
    std::size_t found = 1;
    while (found < pieces.size()) {
      const std::optional<Span> next = find_piece(
          pieces[found], span.end, std::min(span.end + longest_gap, static_cast<std::int64_t>(text_.size())));
      if (!next) break;
      span.end = next->end;
      ++found;
    }
    if (found == pieces.size()) return span;
    from = first->begin + 1;
  }
  return std::nullopt;
}

QuoteMatch QuoteIndex::to_match(const Span& span) const {
  const auto characters_before = [this](std::int64_t byte) {  // index of the character that ends at `byte`
    std::int64_t place = byte - 1;
    while (place > 0 && is_continuation(text_[static_cast<std::size_t>(place)])) --place;
    return static_cast<std::size_t>(character_index(place));
  };
  const auto first_page = static_cast<std::size_t>(page_index(span.begin));
  const auto last_page = static_cast<std::size_t>(page_index(span.end - 1));
  const FoldedCharacter& begin = characters_[static_cast<std::size_t>(character_index(span.begin))];
  const FoldedCharacter& end = characters_[characters_before(span.end)];
  QuoteMatch match;
  match.first = {pages_[first_page].number, begin.start, static_cast<std::int64_t>(end.start) + end.length};
  if (first_page == last_page) return match;
  const std::int64_t first_end = span.gap_end > 0 ? span.gap_begin : pages_[first_page + 1].byte_begin;
  const std::int64_t second_begin = span.gap_end > 0 ? span.gap_end : pages_[last_page].byte_begin;
  const FoldedCharacter& cut = characters_[characters_before(first_end)];
  match.first.end = static_cast<std::int64_t>(cut.start) + cut.length;
  match.second = {pages_[last_page].number, characters_[static_cast<std::size_t>(character_index(second_begin))].start,
                  static_cast<std::int64_t>(end.start) + end.length};
  return match;
}

std::optional<QuoteMatch> QuoteIndex::find(std::string_view quote, int claimed_page) const {
  if (text_.empty() || quoted_length(quote) < shortest_quote) return std::nullopt;
  std::string plain = without_emphasis(quote);
  std::vector<std::vector<FoldedText>> readings;  // as it is; without Markdown's emphasis; in pieces
  readings.push_back({fold_piece(quote)});
  if (plain != quote) readings.push_back({fold_piece(plain)});
  std::vector<FoldedText> pieces;
  std::int64_t longest = 0;
  for (const std::string& text : split_at_ellipses(plain)) {
    FoldedText piece = fold_piece(text);
    longest = std::max(longest, static_cast<std::int64_t>(piece.characters.size()));
    if (!piece.characters.empty()) pieces.push_back(std::move(piece));
  }
  if (pieces.size() > 1 && longest >= shortest_quote) readings.push_back(std::move(pieces));

  const auto everything = static_cast<std::int64_t>(text_.size());
  for (const std::vector<FoldedText>& reading : readings) {
    if (reading.front().characters.empty()) continue;
    for (std::size_t p = 0; p < pages_.size(); ++p) {
      if (pages_[p].number != claimed_page) continue;
      const std::int64_t end = p + 1 < pages_.size() ? pages_[p + 1].byte_begin : everything;
      if (const auto span = find_pieces(reading, pages_[p].byte_begin, end)) return to_match(*span);
      if (p == 0) break;
      const auto span = find_pieces(reading, pages_[p - 1].byte_begin, pages_[p].byte_begin);
      if (span && span->end > pages_[p].byte_begin) return to_match(*span);  // ends on the claimed page
    }
    if (const auto span = find_pieces(reading, 0, everything)) return to_match(*span);
  }
  return std::nullopt;
}

}  // namespace lectern::documents

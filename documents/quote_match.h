// Does a quote stand in a document, and where? Exact after folding: nothing similar is ever called found.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "documents/document.h"
#include "documents/quotations.h"
#include "documents/text_fold.h"

namespace lectern::documents {

struct PageSpan {
  int page = 0;                     // from 1
  std::int64_t start = 0, end = 0;  // code points of the page's text
};

struct QuoteMatch {
  PageSpan first;
  std::optional<PageSpan> second;  // the rest, if the quote runs over a page break
};

/// Characters that a quote needs, from its first letter or digit to its last (white space folded).
inline constexpr std::int64_t shortest_quote = 12;

/// The folded text of a document, made once; const functions may run on several threads. Keeps no reference to the
/// document.
class QuoteIndex {
 public:
  explicit QuoteIndex(const Document& document);

  /// The place on `claimed_page` if it stands there, else the first place in the document. "…", "..." and "[...]"
  /// inside the quote stand for left-out text of at most 2,000 characters. A page break may have a running foot and
  /// head between the two parts.
  std::optional<QuoteMatch> find(std::string_view quote, int claimed_page = 0) const;

 private:
  struct FoldedPage {
    int number = 0;
    std::int64_t byte_begin = 0;       // in text_
    std::int64_t character_begin = 0;  // in characters_
  };
  struct Span {
    std::int64_t begin = 0, end = 0;          // bytes of text_; `begin` first character, `end` past the last
    std::int64_t gap_begin = 0, gap_end = 0;  // left out at a page break; equal: nothing
  };
  std::optional<Span> find_pieces(const std::vector<FoldedText>& pieces, std::int64_t from, std::int64_t to) const;
  std::optional<Span> find_piece(const FoldedText& piece, std::int64_t from, std::int64_t to) const;
  std::optional<Span> find_over_page_break(const FoldedText& piece, std::int64_t from, std::int64_t to) const;
  bool joints_agree(const FoldedText& piece, std::int64_t first, std::int64_t count, std::int64_t at_byte) const;
  bool is_border(std::int64_t byte) const;
  std::int64_t page_index(std::int64_t byte) const;
  std::int64_t character_index(std::int64_t byte) const;
  QuoteMatch to_match(const Span& span) const;

  std::string text_;
  std::vector<FoldedCharacter> characters_;
  std::vector<FoldedPage> pages_;
};

}  // namespace lectern::documents

// A scan over the code points. A straight mark opens only where a word can begin, so that inches and ditto marks open
// nothing; no quotation runs over an empty line. A block quote is one quotation, whatever marks it holds.
#include "documents/quotations.h"

#include "documents/quote_match.h"
#include "documents/text_fold.h"
#include "documents/utf8.h"

namespace lectern::documents {
namespace {

constexpr std::size_t longest_quotation = 8000;

/// The marks that close what `c` opens; empty if it opens nothing.
std::u32string closers(char32_t c) {
  switch (c) {
    case '"': return U"\"";
    case U'“': return U"”\"“";
    case U'„': return U"“”\"";
    case U'«': return U"»";
    case U'»': return U"«";
    case U'「': return U"」";
    case U'『': return U"』";
    case U'＂': return U"＂";
    default: return {};
  }
}

class Scanner {
 public:
  explicit Scanner(std::string_view answer) : c_(decode_utf8(answer)) {}

  std::vector<Quotation> run() {
    std::size_t i = 0;
    bool line_start = true;
    while (i < c_.size()) {
      if (line_start) {
        if (const std::size_t end = fenced_code(i); end > i) {
          i = end;
          continue;
        }
        if (const std::size_t end = block_quote(i); end > i) {
          i = end;
          continue;
        }
      }
      line_start = c_[i] == '\n';
      const std::size_t end = quotation(i);
      i = end > i ? end : i + 1;
    }
    return std::move(out_);
  }

 private:
  std::size_t line_end(std::size_t i) const {
    while (i < c_.size() && c_[i] != '\n') ++i;
    return i;
  }

  /// Past leading blanks (at most three, as Markdown has it).
  std::size_t indent(std::size_t i) const {
    for (int blanks = 0; blanks < 3 && i < c_.size() && c_[i] == ' '; ++blanks) ++i;
    return i;
  }

  bool is_fence(std::size_t i) const {
    i = indent(i);
    return i + 2 < c_.size() && c_[i] == '`' && c_[i + 1] == '`' && c_[i + 2] == '`';
  }

  std::size_t fenced_code(std::size_t i) const {
    if (!is_fence(i)) return i;
    std::size_t line = line_end(i);
    while (line < c_.size()) {
      ++line;
      const bool closed = is_fence(line);
      line = line_end(line);
      if (closed) break;
    }
    return line < c_.size() ? line + 1 : line;
  }

  std::size_t block_quote(std::size_t i) {
    std::string text;
    std::size_t line = i, end = i;
    while (line < c_.size()) {
      std::size_t at = indent(line);
      if (at >= c_.size() || c_[at] != '>') break;
      ++at;
      if (at < c_.size() && c_[at] == ' ') ++at;
      end = line_end(at);
      if (!text.empty()) text += '\n';
      for (std::size_t k = at; k < end; ++k) append_utf8(text, c_[k]);
      line = end < c_.size() ? end + 1 : end;
    }
    if (end > i) add(i, end, std::move(text));
    return line;
  }

  std::size_t quotation(std::size_t i) {
    const std::u32string close = closers(c_[i]);
    if (close.empty() || i + 1 >= c_.size() || is_space(c_[i + 1])) return i;
    const bool straight = c_[i] == '"' || c_[i] == U'“' || c_[i] == U'»';
    if (straight && i > 0 && is_word_character(c_[i - 1]) && !is_cjk(c_[i - 1])) return i;
    for (std::size_t k = i + 1; k < c_.size() && k - i < longest_quotation; ++k) {
      if (c_[k] == '\n' && k + 1 < c_.size() && c_[k + 1] == '\n') return i;
      if (close.find(c_[k]) == std::u32string::npos) continue;
      std::string text;
      for (std::size_t t = i + 1; t < k; ++t) append_utf8(text, c_[t]);
      add(i, k + 1, std::move(text));
      return k + 1;
    }
    return i;
  }

  void add(std::size_t start, std::size_t end, std::string text) {
    if (code_points(fold(text)) < shortest_quote) return;
    out_.push_back({static_cast<std::int64_t>(start), static_cast<std::int64_t>(end), std::move(text)});
  }

  std::vector<char32_t> c_;
  std::vector<Quotation> out_;
};

}  // namespace

std::vector<Quotation> extract_quotes(std::string_view answer) {
  return Scanner(answer).run();
}

}  // namespace lectern::documents

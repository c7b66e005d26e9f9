// Markers are read by a small grammar over the tokens inside a bracket: numbers, a few words, colons, dashes and
// commas. A bracket that holds anything else is not a marker, so that "[12]", "[see 3:1]" and array indices in code
// stay text.
#include "documents/anchors.h"

#include <algorithm>
#include <optional>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

constexpr std::size_t longest_marker = 80;
constexpr int largest_number = 1'000'000;

enum class TokenKind { number, document_word, page_word, line_word, colon, dash, comma, bad };

struct Token {
  TokenKind kind = TokenKind::bad;
  int value = 0;
  std::size_t end = 0;  // in the answer
};

TokenKind word_kind(const std::string& word) {
  const auto is = [&word](std::initializer_list<const char*> list) {
    return std::any_of(list.begin(), list.end(), [&word](const char* known) { return word == known; });
  };
  if (is({"document", "doc", "documents", "docs"})) return TokenKind::document_word;
  if (is({"page", "pages", "p", "pp", "pg"})) return TokenKind::page_word;
  if (is({"line", "lines", "l", "ll"})) return TokenKind::line_word;
  if (is({"to"})) return TokenKind::dash;
  if (is({"and"})) return TokenKind::comma;
  return TokenKind::bad;
}

std::vector<Token> tokens_of(const std::vector<char32_t>& c, std::size_t i, std::size_t end) {
  std::vector<Token> tokens;
  while (i < end) {
    const char32_t ch = c[i];
    if (is_space(ch) || ch == '.' || ch == '#') {
      ++i;
    } else if (ch >= '0' && ch <= '9') {
      int value = 0;
      while (i < end && c[i] >= '0' && c[i] <= '9') {
        value = std::min(value * 10 + static_cast<int>(c[i] - '0'), 2 * largest_number);
        ++i;
      }
      tokens.push_back({value > largest_number ? TokenKind::bad : TokenKind::number, value, i});
    } else if (ch < 0x80 && is_word_character(ch)) {
      std::string word;
      while (i < end && c[i] < 0x80 && is_word_character(c[i]) && !(c[i] >= '0' && c[i] <= '9')) {
        word += static_cast<char>(c[i] >= 'A' && c[i] <= 'Z' ? c[i] + 32 : c[i]);
        ++i;
      }
      tokens.push_back({word_kind(word), 0, i});
    } else {
      ++i;
      TokenKind kind = TokenKind::bad;
      if (ch == ':' || ch == U'：') kind = TokenKind::colon;
      if (ch == '-' || ch == U'–' || ch == U'—' || ch == U'‑') kind = TokenKind::dash;
      if (ch == ',' || ch == ';' || ch == U'，' || ch == U'、') kind = TokenKind::comma;
      tokens.push_back({kind, 0, i});
    }
  }
  return tokens;
}

/// The items inside one bracket, or nothing if it is no marker.
class BracketParser {
 public:
  BracketParser(std::vector<Token> tokens, bool needs_word) : tokens_(std::move(tokens)), needs_word_(needs_word) {}

  std::optional<std::vector<Marker>> parse() {
    std::vector<Marker> items;
    while (at_ < tokens_.size()) {
      if (!items.empty()) {
        if (kind() != TokenKind::comma) return std::nullopt;
        while (kind() == TokenKind::comma) ++at_;
      }
      std::optional<Marker> item = parse_item(items.empty());
      if (!item) return std::nullopt;
      items.push_back(*item);
    }
    if (items.empty() || (needs_word_ && !saw_word_)) return std::nullopt;
    return items;
  }

 private:
  TokenKind kind(std::size_t ahead = 0) const {
    return at_ + ahead < tokens_.size() ? tokens_[at_ + ahead].kind : TokenKind::bad;
  }

  std::optional<Marker> parse_item(bool is_first) {
    Marker item;
    item.document = is_first ? 0 : document_;
    bool placed = !is_first && document_known_;
    if (kind() == TokenKind::document_word) {
      ++at_;
      saw_word_ = true;
      if (kind() != TokenKind::number) return std::nullopt;
      item.document = tokens_[at_++].value;
      if (kind() != TokenKind::colon && kind() != TokenKind::comma) return std::nullopt;
      ++at_;
      placed = true;
    } else if (kind() == TokenKind::number &&
               (kind(1) == TokenKind::colon || (kind(1) == TokenKind::comma && is_place_word(kind(2))))) {
      item.document = tokens_[at_].value;
      at_ += 2;
      placed = true;
    }
    if (is_place_word(kind())) {
      ++at_;
      saw_word_ = true;
      placed = true;
    }
    if (!placed || kind() != TokenKind::number) return std::nullopt;
    item.first = item.last = tokens_[at_++].value;
    if (kind() == TokenKind::dash) {
      ++at_;
      if (kind() != TokenKind::number) return std::nullopt;
      item.last = tokens_[at_++].value;
    }
    if (item.first < 1 || item.last < item.first) return std::nullopt;
    item.end = static_cast<std::int64_t>(tokens_[at_ - 1].end);
    document_ = item.document;
    document_known_ = true;
    return item;
  }

  static bool is_place_word(TokenKind kind) { return kind == TokenKind::page_word || kind == TokenKind::line_word; }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  bool needs_word_, saw_word_ = false, document_known_ = false;
  int document_ = 0;
};

}  // namespace

std::string page_marker(int document, int page) {
  return "[" + std::to_string(document) + ":" + std::to_string(page) + "]";
}

std::string line_marker(int document, int first, int last) {
  std::string marker = "[" + std::to_string(document) + ":" + std::to_string(first);
  if (last > first) marker += "-" + std::to_string(last);
  return marker + "]";
}

std::string marker_of(const Document& document, int number, const Page& page) {
  return is_line_based(document.kind) ? line_marker(number, page.first_line, page.last_line)
                                      : page_marker(number, page.number);
}

std::pair<int, int> lines_of(const Page& page, std::int64_t start, std::int64_t end) {
  if (page.first_line == 0) return {0, 0};
  const auto lines_before = [&page](std::int64_t offset) {
    const std::string_view before = slice(page.text, 0, offset);
    return static_cast<int>(std::count(before.begin(), before.end(), '\n'));
  };
  const int first = page.first_line + lines_before(start);
  const int last = page.first_line + lines_before(std::max(end - 1, start));
  return {std::min(first, page.last_line), std::min(last, page.last_line)};
}

std::vector<Marker> parse_markers(std::string_view answer) {
  const std::vector<char32_t> c = decode_utf8(answer);
  std::vector<Marker> markers;
  for (std::size_t i = 0; i < c.size(); ++i) {
    const char32_t close = c[i] == '[' ? U']' : (c[i] == '(' ? U')' : (c[i] == U'【' ? U'】' : 0));
    if (close == 0) continue;
    std::size_t end = i + 1;
    while (end < c.size() && end - i < longest_marker && c[end] != close && c[end] != c[i] && c[end] != '\n') ++end;
    if (end >= c.size() || c[end] != close) continue;
    std::optional<std::vector<Marker>> items = BracketParser(tokens_of(c, i + 1, end), close == ')').parse();
    if (!items) continue;
    auto start = static_cast<std::int64_t>(i);
    items->back().end = static_cast<std::int64_t>(end) + 1;
    for (Marker& item : *items) {
      item.start = start;
      start = item.end;
      for (auto k = static_cast<std::size_t>(item.start); k < static_cast<std::size_t>(item.end); ++k)
        append_utf8(item.text, c[k]);
      markers.push_back(std::move(item));
    }
    i = end;
  }
  return markers;
}

}  // namespace lectern::documents

// Nothing here may depend on anything but the document and its number: the bytes are the identity of a kept reading.
#include "documents/segments.h"

#include <algorithm>

#include "documents/anchors.h"
#include "documents/utf8.h"

namespace lectern::documents {
namespace {

// Lines of text and code under one marker: at least this many, then up to the next empty line or the upper bound.
constexpr int fewest_lines = 20, most_lines = 40;

/// A file name may hold anything: one line of printable text.
std::string printable_name(const Document& document) {
  std::string name;
  for (char32_t c : decode_utf8(document.name.empty() ? document.path : document.name)) {
    append_utf8(name, c < 0x20 || c == 0x7F || is_space(c) ? U' ' : c);
  }
  return name;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t last = text.find_last_not_of(" \t\r\n\f");
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

std::string counted(int count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

void append_block(std::string& out, const std::string& marker, std::string_view text) {
  text = trimmed(text);
  if (text.empty()) return;
  out += '\n';
  out += marker;
  out += '\n';
  out += text;
  out += '\n';
}

/// Text whose first line is `line`, in blocks of some dozen lines.
void append_lines(std::string& out, int number, std::string_view text, int line) {
  text = trimmed(text);
  while (!text.empty()) {
    int lines = 0;
    std::size_t end = 0;
    while (end < text.size() && lines < most_lines) {
      std::size_t next = text.find('\n', end);
      next = next == std::string_view::npos ? text.size() : next + 1;
      const bool blank = trimmed(text.substr(end, next - end)).empty();
      end = next;
      ++lines;
      if (blank && lines >= fewest_lines) break;
    }
    append_block(out, line_marker(number, line, line + lines - 1), text.substr(0, end));
    text.remove_prefix(end);
    line += lines;
  }
}

const Page* find_page(const Document& document, int number) {
  for (const Page& page : document.pages) {
    if (page.number == number) return &page;
  }
  return nullptr;
}

}  // namespace

std::string document_segment_text(const Document& document, int number) {
  const bool lines = is_line_based(document.kind);
  const int count =
      lines ? (document.pages.empty() ? 0 : document.pages.back().last_line) : static_cast<int>(document.pages.size());
  std::string out = "Document " + std::to_string(number) + ": " + printable_name(document) + " (" +
                    counted(count, lines ? "line" : "page") + ")\n";
  for (const Page& page : document.pages) {
    if (lines) {
      append_lines(out, number, page.text, page.first_line);
    } else {
      append_block(out, page_marker(number, page.number), page.text);
    }
  }
  return out;
}

std::string passages_segment_text(const Document& document, int number, std::vector<Passage> passages) {
  std::sort(passages.begin(), passages.end(), [](const Passage& a, const Passage& b) {
    return a.page != b.page ? a.page < b.page : (a.start != b.start ? a.start < b.start : a.end < b.end);
  });
  std::vector<Passage> joined;
  for (const Passage& passage : passages) {
    const Page* page = find_page(document, passage.page);
    if (page == nullptr) continue;
    Passage* last = joined.empty() || joined.back().page != passage.page ? nullptr : &joined.back();
    if (last != nullptr && passage.start <= last->end + 2) {
      last->end = std::max(last->end, passage.end);
    } else {
      joined.push_back(passage);
    }
  }
  int pages = 0;
  for (std::size_t i = 0; i < joined.size(); ++i) pages += i == 0 || joined[i].page != joined[i - 1].page ? 1 : 0;

  const bool lines = is_line_based(document.kind);
  std::string out = "Document " + std::to_string(number) + ": " + printable_name(document) + " (excerpts from " +
                    std::to_string(pages) + " of " +
                    counted(static_cast<int>(document.pages.size()), lines ? "part" : "page") + ")\n";
  for (const Passage& passage : joined) {
    const Page& page = *find_page(document, passage.page);
    if (!lines) {
      append_block(out, page_marker(number, page.number), slice(page.text, passage.start, passage.end));
      continue;
    }
    // Whole lines only, so that the line numbers are true.
    const std::string_view text = page.text;
    auto first = static_cast<std::size_t>(byte_offset(text, passage.start));
    auto last = static_cast<std::size_t>(byte_offset(text, passage.end));
    while (first > 0 && text[first - 1] != '\n') --first;
    while (last < text.size() && text[last] != '\n') ++last;
    const auto before = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(first), '\n');
    append_lines(out, number, text.substr(first, last - first), page.first_line + static_cast<int>(before));
  }
  return out;
}

std::vector<Passage> whole_pages(const Document& document, const std::vector<int>& pages) {
  std::vector<Passage> passages;
  for (int number : pages) {
    if (const Page* page = find_page(document, number)) passages.push_back({number, 0, code_points(page->text)});
  }
  return passages;
}

}  // namespace lectern::documents

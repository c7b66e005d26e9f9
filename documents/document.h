// A document that was read: plain values. Text is UTF-8; offsets are code points of the text of one page; boxes are in
// points (1/72 inch), origin at the top left of the page as it is shown.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lectern::documents {

enum class DocumentKind { pdf, text, markdown, code };
const char* name(DocumentKind kind);
/// The kind of that name; throws std::invalid_argument.
DocumentKind document_kind(std::string_view name);

struct Box {
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};

/// A word (of Chinese and Japanese text: a character) and where it stands.
struct Word {
  std::int64_t start = 0, end = 0;
  Box box;
};

/// A page of a PDF, or a block of lines of a text file.
struct Page {
  int number = 0;                      // from 1
  double width_pt = 0, height_pt = 0;  // 0 for text and code
  std::string text;
  std::vector<Word> words;            // in the order of the text; empty for text and code
  bool has_image = false;             // known only for pages with (nearly) no text
  int first_line = 0, last_line = 0;  // text and code: lines of the file, from 1; else 0
};

/// The outline flattened, depth first.
struct OutlineItem {
  std::string title;
  int page = 0;   // from 1; 0: no target in this document
  int depth = 0;  // 0: top level
};

/// What reading did not bring, in numbers.
struct ReadingReport {
  int pages = 0;
  std::vector<int> pages_without_text;
  std::int64_t problems = 0;             // complaints of the reader about damage inside the file
  std::int64_t replaced_characters = 0;  // bytes that were no text in the file's encoding
  std::string encoding;                  // text files: what it was read as
  std::vector<std::string> warnings;     // one sentence each
};

struct Document {
  std::string fingerprint;  // XXH3-128 of the file's bytes, 32 hexadecimal digits
  std::string path;
  std::string name;  // file name without folder
  DocumentKind kind = DocumentKind::text;
  std::string title, author;
  std::vector<Page> pages;
  std::vector<OutlineItem> outline;
  ReadingReport report;
};

/// Whether places in this kind of document are lines (text and code), not pages.
inline bool is_line_based(DocumentKind kind) {
  return kind != DocumentKind::pdf;
}

}  // namespace lectern::documents

// What the reader needs of a document: text by page in code points, boxes of words, lines; searching in it.
#pragma once

#include <QRectF>
#include <QSizeF>
#include <QString>
#include <cstdint>
#include <string>
#include <vector>

#include "documents/document.h"

namespace lectern::ui {

/// A range of code points in the text of a page.
struct TextPlace {
  int page = 0;  // from 1
  std::int64_t start = 0, end = 0;
  bool operator==(const TextPlace&) const = default;
};

class ReaderText {
 public:
  ReaderText() = default;
  explicit ReaderText(documents::Document document);

  const documents::Document& document() const { return document_; }
  bool is_empty() const { return document_.pages.empty(); }
  int page_count() const { return static_cast<int>(document_.pages.size()); }
  bool has_pictures() const { return !documents::is_line_based(document_.kind); }
  QSizeF page_size_pt(int page) const;

  /// One rectangle per line of print over the words of the range, in points; empty if the page has no boxes.
  std::vector<QRectF> boxes(const TextPlace& place) const;
  /// Lines of the file (from 1) that the range touches; text and code only.
  std::pair<int, int> lines(const TextPlace& place) const;
  /// The text of the words whose boxes touch the rectangle, in reading order.
  QString text_in(int page, const QRectF& area_pt) const;
  /// Text and code: the whole file.
  QString whole_text() const;

  /// Every place of the text, case and kind of white space ignored; at most `limit`.
  std::vector<TextPlace> find(const QString& text, std::size_t limit = 2000) const;

 private:
  const std::u32string& folded(int page) const;
  documents::Document document_;
  mutable std::vector<std::u32string> folded_;  // made when first searched
};

/// One rectangle per line of print.
std::vector<QRectF> join_lines(const std::vector<documents::Word>& words, std::int64_t start, std::int64_t end);

}  // namespace lectern::ui

// Markdown of an answer, written into a text document with a map from the source to the places of the document.
#pragma once

#include <QByteArray>
#include <QColor>
#include <QTextCursor>
#include <cstdint>
#include <vector>

namespace lectern::ui {

struct MarkdownStyle {
  int text_px = 14;
  QColor text, secondary, code_background, hairline;
};

/// UTF-8 bytes [start, end) of the source stand at `position` of the document.
struct SourceSpan {
  std::int64_t start = 0, end = 0;
  int position = 0;
};

/// Writes the Markdown at the cursor, which must stand in an empty block; the cursor ends behind it. HTML is shown as
/// text, a link as its text and address, an image as its description: nothing is ever loaded or followed.
std::vector<SourceSpan> write_markdown(QTextCursor& cursor, const QByteArray& markdown, const MarkdownStyle& style,
                                       std::int64_t source_offset = 0);

/// End of the part of a growing Markdown text that no later text can change: the start of its last block.
qsizetype stable_end(const QByteArray& markdown);

}  // namespace lectern::ui

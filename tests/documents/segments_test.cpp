#include "documents/segments.h"

#include <gtest/gtest.h>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

Document agreement() {
  Document document;
  document.kind = DocumentKind::pdf;
  document.name = "agree\nment.pdf";
  for (const char* text : {"First page.\n", "", "Third page has more words."}) {
    Page page;
    page.number = static_cast<int>(document.pages.size()) + 1;
    page.text = text;
    document.pages.push_back(page);
  }
  return document;
}

Document code(int lines) {
  Document document;
  document.kind = DocumentKind::code;
  document.name = "a.py";
  Page page;
  page.number = 1;
  page.first_line = 1;
  page.last_line = lines;
  for (int i = 1; i <= lines; ++i) page.text += "line " + std::to_string(i) + (i < lines ? "\n" : "");
  document.pages.push_back(page);
  return document;
}

TEST(Segments, EveryPageStandsUnderItsMarker) {
  EXPECT_EQ(document_segment_text(agreement(), 2),
            "Document 2: agree ment.pdf (3 pages)\n\n[2:1]\nFirst page.\n\n[2:3]\nThird page has more words.\n");
}

TEST(Segments, CodeHasLineMarkersThatAreTrue) {
  const std::string text = document_segment_text(code(100), 1);
  EXPECT_NE(text.find("Document 1: a.py (100 lines)"), std::string::npos);
  EXPECT_NE(text.find("\n[1:1-40]\nline 1\n"), std::string::npos);
  EXPECT_NE(text.find("\n[1:41-80]\nline 41\n"), std::string::npos);
  EXPECT_NE(text.find("\n[1:81-100]\nline 81\n"), std::string::npos);
}

TEST(Segments, ChosenPassagesAreSortedAndJoined) {
  EXPECT_EQ(passages_segment_text(agreement(), 1, {{3, 6, 10}, {3, 0, 5}, {1, 0, 5}, {9, 0, 1}}),
            "Document 1: agree ment.pdf (excerpts from 2 of 3 pages)\n\n[1:1]\nFirst\n\n[1:3]\nThird page\n");
  EXPECT_EQ(passages_segment_text(agreement(), 1, whole_pages(agreement(), {1})),
            "Document 1: agree ment.pdf (excerpts from 1 of 3 pages)\n\n[1:1]\nFirst page.\n");
}

TEST(Segments, ChosenPassagesOfCodeAreWholeLines) {
  EXPECT_EQ(passages_segment_text(code(30), 1, {{1, 16, 22}}),
            "Document 1: a.py (excerpts from 1 of 1 part)\n\n[1:3-4]\nline 3\nline 4\n");
}

}  // namespace
}  // namespace lectern::documents

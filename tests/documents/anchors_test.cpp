#include "documents/anchors.h"

#include <gtest/gtest.h>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

std::string read(std::string_view answer) {
  std::string out;
  for (const Marker& marker : parse_markers(answer)) {
    out += "(" + std::to_string(marker.document) + " " + std::to_string(marker.first) + " " +
           std::to_string(marker.last) + ")";
    EXPECT_EQ(slice(answer, marker.start, marker.end), marker.text);
  }
  return out;
}

TEST(Anchors, WritesMarkers) {
  EXPECT_EQ(page_marker(1, 31), "[1:31]");
  EXPECT_EQ(line_marker(2, 10, 57), "[2:10-57]");
  EXPECT_EQ(line_marker(2, 10, 10), "[2:10]");
}

TEST(Anchors, ReadsWhatItWrites) {
  EXPECT_EQ(read("é a [1:31] b [1:31-32] c [2:10-20]."), "(1 31 31)(1 31 32)(2 10 20)");
}

TEST(Anchors, ReadsFormsThatModelsWrite) {
  EXPECT_EQ(read("[document 1, page 31] [Doc 1: p. 4] [1: 31] [1, page 7] [page 5] (p. 31) (pp. 3–5) (Page 9) 【1:6】 "
                 "[2, lines 10-20]"),
            "(1 31 31)(1 4 4)(1 31 31)(1 7 7)(0 5 5)(0 31 31)(0 3 5)(0 9 9)(1 6 6)(2 10 20)");
  EXPECT_EQ(read("[1:3, 1:7] [1:3, 7; 2:9]"), "(1 3 3)(1 7 7)(1 3 3)(1 7 7)(2 9 9)");
}

TEST(Anchors, LeavesOtherBracketsAlone) {
  EXPECT_EQ(read("[12] a[1:3:2] (3) (1:31) [see 1:3] [1:] [:3] [0] [1:0] [1:9-3] [a:b] [99999999999:1] (2021) "
                 "[link](1:2) [1:3"),
            "");
}

TEST(Anchors, CountsLinesOfAPage) {
  Page page;
  page.text = "one\ntwo\nthree\nfour";
  page.first_line = 11;
  page.last_line = 14;
  EXPECT_EQ(lines_of(page, 0, 3), std::make_pair(11, 11));
  EXPECT_EQ(lines_of(page, 5, 13), std::make_pair(12, 13));
  EXPECT_EQ(lines_of(page, 0, 18), std::make_pair(11, 14));
  EXPECT_EQ(lines_of(page, 0, 4), std::make_pair(11, 11));  // the line's own break belongs to it
  EXPECT_EQ(lines_of(Page{}, 0, 3), std::make_pair(0, 0));
}

}  // namespace
}  // namespace lectern::documents

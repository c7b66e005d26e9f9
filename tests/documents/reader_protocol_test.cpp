#include "documents/reader_protocol.h"

#include <gtest/gtest.h>

#include <cstring>

namespace lectern::documents::protocol {
namespace {

Page sample() {
  Page page;
  page.number = 3;
  page.width_pt = 612;
  page.text = "né word";
  page.words = {{0, 2, {1, 2, 3, 4}}, {3, 7, {5, 6, 7, 8}}};
  return page;
}

TEST(ReaderProtocol, APageComesBackAsItWas) {
  const Page page = decode_page(encode_page(sample()));
  EXPECT_EQ(page.text, "né word");
  ASSERT_EQ(page.words.size(), 2U);
  EXPECT_EQ(page.words[1].end, 7);
  EXPECT_EQ(page.words[1].box.y1, 8);
}

TEST(ReaderProtocol, RefusesPagesThatLie) {
  Message beyond = encode_page(sample());
  beyond.header["text_bytes"] = 4'000'000'000U;
  EXPECT_THROW(decode_page(beyond), std::exception);
  Message many = encode_page(sample());
  many.header["words"] = ~std::uint64_t{0};
  EXPECT_THROW(decode_page(many), std::exception);
  Page outside = sample();
  outside.words[1].end = 8;
  EXPECT_THROW(decode_page(encode_page(outside)), std::exception);
  Page backwards = sample();
  backwards.words[1].start = 1;
  EXPECT_THROW(decode_page(encode_page(backwards)), std::exception);
  Page broken = sample();
  broken.text = "\xFF\xFE";
  broken.words.clear();
  EXPECT_THROW(decode_page(encode_page(broken)), std::exception);
  EXPECT_THROW(decode_page({{{"number", "three"}}, {}}), std::exception);
}

TEST(ReaderProtocol, RefusesFramesBeyondTheBounds) {
  std::string frame = encode({{{"a", 1}}, "body"});
  EXPECT_EQ(decode_lengths(frame).body, 4);
  std::string noise = frame;
  noise[0] = 'x';
  EXPECT_THROW(decode_lengths(noise), std::exception);
  std::memset(frame.data() + 8, 0xFF, 8);
  EXPECT_THROW(decode_lengths(frame), std::exception);
  EXPECT_THROW(decode_lengths("short"), std::exception);
}

TEST(ReaderProtocol, RefusesPathsOutsideTheFolder) {
  for (const char* path : {"../secret", "/etc/passwd", "a/../../b", ""}) {
    EXPECT_THROW(decode_list({{"files", {{path, "code", 1}}}, {"skipped", nlohmann::json::array()}}, "/folder"),
                 std::exception)
        << path;
  }
}

TEST(ReaderProtocol, AnOutlineStaysInsideTheDocument) {
  const auto outline = decode_outline({{"One", 2, 0}, {"Far", 99, -1}}, 5);
  EXPECT_EQ(outline[0].page, 2);
  EXPECT_EQ(outline[1].page, 0);
  EXPECT_EQ(outline[1].depth, 0);
}

}  // namespace
}  // namespace lectern::documents::protocol

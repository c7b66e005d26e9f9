#include "inference/text_stream.h"

#include <gtest/gtest.h>

#include <random>

#include "inference/utf8.h"

namespace {

using namespace lectern::inference;

/// What a stream shows in all, fed with pieces of the given size.
std::string streamed(const std::string& bytes, std::size_t size) {
  Utf8Stream stream;
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += size) text += stream.feed(std::string_view(bytes).substr(at, size));
  return text + stream.finish();
}

std::string stopped_text(const std::string& bytes, std::size_t size, const std::vector<std::string>& stop) {
  TextStream stream(stop);
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += size) text += stream.feed(std::string_view(bytes).substr(at, size));
  return text + stream.finish();
}

}  // namespace

TEST(Utf8, ReplacesInvalidBytesAsPythonDoes) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(to_valid_utf8("a\xFF"
                          "b"),
            "a" + r + "b");
  EXPECT_EQ(to_valid_utf8("\xE4\xB8"), r);
  EXPECT_EQ(to_valid_utf8("\xE4\xB8x"), r + "x");
  EXPECT_EQ(to_valid_utf8("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(to_valid_utf8("\xF0\x80\x80\x80"), r + r + r + r);
  EXPECT_EQ(to_valid_utf8("\xF4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(to_valid_utf8("\xC0\x80"), r + r);
  EXPECT_EQ(to_valid_utf8("\xF0\x9F\x98\xF0\x9F\x98\x80"), r + "\xF0\x9F\x98\x80");
}

TEST(Utf8Stream, HoldsTheBeginningOfACharacterBack) {
  Utf8Stream stream;
  EXPECT_EQ(stream.feed("a\xF0\x9F"), "a");
  EXPECT_EQ(stream.feed("\x98"), "");
  EXPECT_EQ(stream.feed("\x80"
                        "b\xC3"),
            "\xF0\x9F\x98\x80"
            "b");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, GivesTheSameTextHoweverTheBytesAreCut) {
  std::mt19937 random(3);
  const std::string alphabet = "a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\xFF\xED\xA0";
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (auto i = random() % 20; i > 0; --i) bytes += alphabet[random() % alphabet.size()];
    for (const std::size_t size : {1U, 2U, 3U, 7U}) EXPECT_EQ(streamed(bytes, size), to_valid_utf8(bytes));
  }
}

TEST(TextStream, WithholdsWhatMayBecomeAStopString) {
  TextStream stream({"</answer>"});
  EXPECT_EQ(stream.feed("yes </ans"), "yes ");
  EXPECT_EQ(stream.feed("x </"), "</ansx ");
  EXPECT_EQ(stream.feed("answer> more"), "");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.feed("still more"), "");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, ShowsWhatWasWithheldAtTheEnd) {
  TextStream stream({"STOP"});
  EXPECT_EQ(stream.feed("a STO"), "a ");
  EXPECT_EQ(stream.finish(), "STO");
  EXPECT_FALSE(stream.stopped());
}

TEST(TextStream, EndsBeforeTheFirstOfSeveralStopStrings) {
  EXPECT_EQ(stopped_text("one two three", 1, {"three", "two", ""}), "one ");
  EXPECT_EQ(stopped_text("aaab", 1, {"aab"}), "a");
  EXPECT_EQ(stopped_text("no stop", 2, {}), "no stop");
}

TEST(TextStream, GivesTheSameTextHoweverTheBytesAreCut) {
  std::mt19937 random(4);
  const std::vector<std::string> stop = {"abab", "b\xC3\xA9", "aaa"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (auto i = random() % 25; i > 0; --i) text += random() % 9 == 0 ? "\xC3\xA9" : random() % 2 == 0 ? "a" : "b";
    // The first end of a stop string, and the longest that ends there.
    std::string expected = text;
    for (std::size_t end = 1; end <= text.size() && expected == text; ++end)
      for (const std::string& s : stop)
        if (std::string_view(text).substr(0, end).ends_with(s) && end - s.size() < expected.size())
          expected = text.substr(0, end - s.size());
    for (const std::size_t size : {1U, 2U, 5U, 100U}) EXPECT_EQ(stopped_text(text, size, stop), expected) << text;
  }
}

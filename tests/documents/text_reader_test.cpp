#include "documents/text_reader.h"

#include <gtest/gtest.h>

#include "documents/utf8.h"

namespace lectern::documents {
namespace {

using namespace std::string_view_literals;

TEST(TextReader, KnowsEncodingsByMarkByProofAndByGuess) {
  const auto decode = [](std::string_view bytes) {
    const DecodedText decoded = decode_text(bytes);
    EXPECT_EQ(decoded.replaced_characters, 0) << decoded.encoding;
    return decoded.encoding + ":" + decoded.text;
  };
  EXPECT_EQ(decode("caf\xC3\xA9"), "UTF-8:café");
  EXPECT_EQ(decode("\xEF\xBB\xBFx"), "UTF-8:x");
  EXPECT_EQ(decode("\xFF\xFE"
                   "a\0\xE9\0"sv),
            "UTF-16LE:aé");
  EXPECT_EQ(decode("\xFE\xFF\x4E\x2D\x65\x87"sv), "UTF-16BE:中文");
  EXPECT_EQ(decode("\xFF\xFE\0\0a\0\0\0\x2D\x4E\0\0"sv), "UTF-32LE:a中");
  EXPECT_EQ(decode("W\0o\0r\0d\0s\0 \0h\0e\0r\0e\0.\0\n\0"sv), "UTF-16LE:Words here.\n");
  EXPECT_EQ(decode("Die Geb\xFChr betr\xE4gt zw\xF6lf Euro f\xFCr jede \xC4nderung des Vertrages."),
            "WINDOWS-1252:Die Gebühr beträgt zwölf Euro für jede Änderung des Vertrages.");
  // "本合同自双方签字之日起生效，有效期为三年。" in GB18030 and "契約の有効期間は三年とする。" in Shift-JIS.
  EXPECT_EQ(decode("\xB1\xBE\xBA\xCF\xCD\xAC\xD7\xD4\xCB\xAB\xB7\xBD\xC7\xA9\xD7\xD6\xD6\xAE\xC8\xD5\xC6\xF0\xC9\xFA"
                   "\xD0\xA7\xA3\xAC\xD3\xD0\xD0\xA7\xC6\xDA\xCE\xAA\xC8\xFD\xC4\xEA\xA1\xA3"),
            "GB18030:本合同自双方签字之日起生效，有效期为三年。");
  EXPECT_EQ(decode("\x8C\x5F\x96\xF1\x82\xCC\x97\x4C\x8C\xF8\x8A\xFA\x8A\xD4\x82\xCD\x8E\x4F\x94\x4E\x82\xC6\x82\xB7"
                   "\x82\xE9\x81\x42"),
            "CP932:契約の有効期間は三年とする。");
}

TEST(TextReader, CountsWhatWasNoText) {
  const DecodedText decoded = decode_text(
      "Größe und Länge und Höhe und Fülle und Wörter und Käse und Öl und Übel und Ämter und Süß und f\xC3 x");
  EXPECT_EQ(decoded.encoding, "UTF-8");
  EXPECT_EQ(decoded.replaced_characters, 1);
}

TEST(TextReader, NormalisesLineEnds) {
  EXPECT_EQ(decode_text("a\r\nb\rc\n").text, "a\nb\nc\n");
}

TEST(TextReader, RefusesBinaryData) {
  EXPECT_THROW(decode_text("abc\0def\1\2"sv), Error);
  EXPECT_THROW(decode_text(std::string(200, '\x03')), Error);
}

TEST(TextReader, PagesHoldWholeLinesWithTrueNumbers) {
  std::string text;
  for (int i = 1; i <= 300; ++i) text += "line " + std::to_string(i) + "\n";
  const auto reader = open_text(text, DocumentKind::code);
  ASSERT_EQ(reader->info().pages, 3);
  EXPECT_EQ(reader->info().kind, DocumentKind::code);
  const Page second = reader->page(2);
  EXPECT_EQ(second.first_line, 121);
  EXPECT_EQ(second.last_line, 240);
  EXPECT_TRUE(second.text.starts_with("line 121\n"));
  EXPECT_TRUE(second.text.ends_with("\nline 240"));
  EXPECT_EQ(reader->page(3).last_line, 300);
  EXPECT_THROW(reader->page(4), Error);
}

TEST(TextReader, AFormFeedEndsAPage) {
  const auto reader = open_text("one\ntwo\n\fthree\nfour\n", DocumentKind::text);
  ASSERT_EQ(reader->info().pages, 2);
  EXPECT_EQ(reader->page(1).text, "one\ntwo");
  EXPECT_EQ(reader->page(2).text, "three\nfour");
  EXPECT_EQ(reader->page(2).first_line, 3);
  EXPECT_EQ(reader->page(2).last_line, 4);
}

TEST(TextReader, AnEndlessLineIsCutWithoutBreakingCharacters) {
  std::string text = "short\n";
  for (int i = 0; i < 30000; ++i) text += "中";
  const auto reader = open_text(text, DocumentKind::text);
  std::int64_t characters = 0;
  for (int i = 1; i <= reader->info().pages; ++i) {
    const Page page = reader->page(i);
    EXPECT_TRUE(is_valid_utf8(page.text));
    EXPECT_LE(page.last_line, 2);
    characters += code_points(page.text);
  }
  EXPECT_EQ(characters, 30005);
}

}  // namespace
}  // namespace lectern::documents
